"""The account of a pool: what it holds of the system's memory, the most it ever held, and the most it may."""

from __future__ import annotations

from typing import Protocol

from hpcsim.fields.chunks import Bytes, map_bytes

ALIGNMENT = 64
"""Every lease begins at a multiple of this many bytes: a cache line, and the widest vector register."""


class NoRoom(Exception):  # noqa: N818 (a signal inside the room, turned into an error that names the owner)
    """The budget, or the system, does not allow another mapping."""


class Ledger:
    """Counts mapped memory and refuses what goes beyond the budget.

    Parameters
    ----------
    budget : int or None
        Most bytes that may be held; None for no limit.

    Attributes
    ----------
    held : int
        Bytes held now: mapped ones, and those counted for memory that others allocate.
    high_water : int
        The most that was ever held.
    growths : int
        How often memory was asked of the system.
    """

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.held = 0
        self.high_water = 0
        self.growths = 0

    def excess(self, nbytes: int) -> int:
        """Bytes by which the budget would be broken by so many more; negative or zero if it would not."""
        return 0 if self.budget is None else self.held + nbytes - self.budget

    def map(self, nbytes: int) -> Bytes:
        """Fresh memory from the system.

        Raises
        ------
        NoRoom
            If the budget or the system refuses.
        """
        if self.excess(nbytes) > 0:
            raise NoRoom
        try:
            memory = map_bytes(nbytes)
        except MemoryError as error:
            raise NoRoom(str(error)) from None
        self.growths += 1
        self.add(nbytes)
        return memory

    def add(self, nbytes: int) -> None:
        """Count bytes as held."""
        self.held += nbytes
        self.high_water = max(self.high_water, self.held)

    def drop(self, nbytes: int) -> None:
        """Count bytes as given back."""
        self.held -= nbytes


class Block:
    """Memory behind one lease.

    Parameters
    ----------
    memory : ndarray of uint8
        At least as long as was asked for; begins at a multiple of `ALIGNMENT`.
    home : object
        What the strategy needs to take it back.
    place : int
        The same.
    """

    __slots__ = ("home", "memory", "place")

    def __init__(self, memory: Bytes, home: object, place: int) -> None:
        self.memory, self.home, self.place = memory, home, place


class Strategy(Protocol):
    """How a pool cuts memory into blocks; called under the lock of the pool."""

    def take(self, nbytes: int) -> Block:
        """A block of at least so many bytes.

        Raises
        ------
        NoRoom
            If the budget or the system refuses.
        """
        ...

    def give(self, block: Block) -> None:
        """Take a block back."""
        ...

    def free(self, nbytes: int) -> None:
        """Give at least so many bytes of unused memory back to the system, or all there are."""
        ...

    def size_class(self, nbytes: int) -> int:
        """Bytes of the class that serves a request."""
        ...

    def footprint(self, nbytes: int) -> int:
        """Bytes that a request takes of the budget when it is served by new memory."""
        ...

    @property
    def unused(self) -> int:
        """Bytes that are held but not in use and could go back to the system."""
        ...
