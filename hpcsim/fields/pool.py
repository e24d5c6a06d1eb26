"""Memory of a run: a pool that hands out leases under a budget, and the allocators that make registers of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpcsim.errors import ConfigError, LeaseError, MemoryBudgetError, unknown_name
from hpcsim.fields.buddy import Buddy
from hpcsim.fields.ledger import ALIGNMENT, Block, Ledger, NoRoom, Strategy
from hpcsim.fields.slabs import SizeClasses
from hpcsim.sizes import size_text

if TYPE_CHECKING:
    from hpcsim.comm.context import Context
    from hpcsim.comm.window import SharedWindow

STRATEGIES = ("buddy", "classes")
_MOST_NAMED = 4
T = TypeVar("T")


@dataclass(frozen=True)
class PoolStatistics:
    """What a pool did so far, in bytes where nothing else is said.

    Attributes
    ----------
    in_use : int
        Asked for by the leases of this moment.
    most_in_use : int
        The most that was ever asked for at the same time.
    held : int
        Held of the system's memory now, unused blocks and counted memory included.
    high_water : int
        The most that was ever held.
    leases : int
        Number of leases so far.
    growths : int
        How often memory was asked of the system; does not rise in a run that repeats itself.
    classes : dict of int to int
        Size class to the number of its leases of this moment.
    budget : int or None
        Most bytes that may be held.
    """

    in_use: int
    most_in_use: int
    held: int
    high_water: int
    leases: int
    growths: int
    classes: dict[int, int]
    budget: int | None


class Lease:
    """Memory that is returned; made by `Pool.lease`.

    Attributes
    ----------
    nbytes : int
        Bytes that were asked for.
    owner : str
        Who asked.
    number : int
        Place in the order of all leases of the pool.
    """

    __slots__ = ("_block", "_pool", "nbytes", "number", "owner")

    def __init__(self, pool: Pool, block: Block | None, nbytes: int, owner: str, number: int) -> None:
        self._pool, self._block = pool, block
        self.nbytes, self.owner, self.number = nbytes, owner, number

    def view(self, dtype: DTypeLike = np.uint8, shape: int | tuple[int, ...] | None = None) -> NDArray[Any]:
        """The memory as an array, 64-byte aligned, not initialised; it must not be used after the return.

        Parameters
        ----------
        dtype : dtype-like
            Type of the values.
        shape : int or tuple of int, optional
            Shape; by default as many values as fit, in one row.

        Raises
        ------
        LeaseError
            If the lease was returned, or is only a count of memory kept elsewhere.
        ValueError
            If so many values do not fit.
        """
        block = self._block
        if block is None:
            held = self._pool.is_held(self)
            why = "counts memory that is kept elsewhere" if held else "was returned and cannot be used"
            raise LeaseError(f"the lease of '{self.owner}' ({size_text(self.nbytes)}) {why}")
        kind = np.dtype(dtype)
        count = self.nbytes // kind.itemsize if shape is None else int(np.prod(shape, dtype=np.int64))
        if count * kind.itemsize > self.nbytes:
            wanted = f"{count} values of {kind} need {count * kind.itemsize} bytes"
            raise ValueError(f"{wanted}; the lease of '{self.owner}' has {self.nbytes}")
        flat = block.memory[: count * kind.itemsize].view(kind)
        return flat if shape is None else flat.reshape(shape)

    def release(self) -> None:
        """Return the memory to the pool; from any thread.

        Raises
        ------
        LeaseError
            If it was returned before.
        """
        self._pool._take_back(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Pool:
    """Aligned memory by leases; safe to use from several threads.

    Memory that is returned is kept and serves later leases, so that a run that repeats itself asks the system for
    nothing. The pool never touches it: new pages are placed by the thread that first writes them, used ones stay where
    they are.

    Parameters
    ----------
    budget : int, optional
        Most bytes that may be held of the system's memory; by default there is no limit.
    strategy : {"classes", "buddy"}
        How memory is cut into blocks, see `hpcsim.fields.slabs` and `hpcsim.fields.buddy`.

    Raises
    ------
    ConfigError
        If there is no such strategy.

    Examples
    --------
    >>> pool = Pool(budget=1_000_000)
    >>> with pool.lease(800, "work array") as lease:
    ...     values = lease.view("float64", (10, 10))
    ...     values.ctypes.data % 64, pool.leaks()
    (0, [('work array', 800)])
    >>> pool.leaks()
    []
    >>> pool.lease(2_000_000, "u")
    Traceback (most recent call last):
    hpcsim.errors.MemoryBudgetError: 'u' needs 2 MB; 0 B of the memory budget of 1 MB is in use
    """

    def __init__(self, budget: int | None = None, strategy: str = "classes") -> None:
        if strategy not in STRATEGIES:
            raise ConfigError(unknown_name("strategy of the pool", strategy, STRATEGIES))
        self._ledger = Ledger(budget)
        self._strategy: Strategy = Buddy(self._ledger) if strategy == "buddy" else SizeClasses(self._ledger)
        self._lock = threading.Lock()
        # Number to owner and bytes; the leases themselves are not kept, so that a pool dies with its last user.
        self._held: dict[int, tuple[str, int]] = {}
        self._in_use = self._most_in_use = self._leases = 0

    def lease(self, nbytes: int, owner: str) -> Lease:
        """Memory of at least so many bytes.

        Parameters
        ----------
        nbytes : int
            Size, zero or more.
        owner : str
            Who asks, for messages and the list of leaks.

        Raises
        ------
        MemoryBudgetError
            If the budget or the system has no room for it.
        """
        return self._hand_out(nbytes, owner, False)

    def count(self, nbytes: int, owner: str) -> Lease:
        """Count memory that is kept elsewhere (shared between processes, by a library) as if it were of the pool.

        Parameters and errors as for `lease`; the lease has no memory to view.
        """
        return self._hand_out(nbytes, owner, True)

    def _hand_out(self, nbytes: int, owner: str, elsewhere: bool) -> Lease:
        if nbytes < 0:
            raise ValueError(f"a lease of {nbytes} bytes for '{owner}'")
        with self._lock:
            try:
                if elsewhere:
                    block = None
                    self._count(nbytes)
                else:
                    block = self._strategy.take(nbytes)
            except NoRoom as reason:
                raise self._refusal(nbytes, owner, str(reason)) from None
            self._leases += 1
            self._held[self._leases] = owner, nbytes
            lease = Lease(self, block, nbytes, owner, self._leases)
            self._in_use += nbytes
            if self._in_use > self._most_in_use:
                self._most_in_use = self._in_use
        return lease

    def _count(self, nbytes: int) -> None:
        excess = self._ledger.excess(nbytes)
        if excess > 0:
            self._strategy.free(excess)
        if self._ledger.excess(nbytes) > 0:
            raise NoRoom
        self._ledger.add(nbytes)

    def _refusal(self, nbytes: int, owner: str, reason: str) -> MemoryBudgetError:
        budget = self._ledger.budget
        text = f"'{owner}' needs {size_text(nbytes)}; "
        if reason or budget is None:
            text += f"{reason or 'there is none'} (the pool holds {size_text(self._ledger.held)})"
        else:
            text += f"{size_text(self._in_use)} of the memory budget of {size_text(budget)} is in use"
        largest = sorted(self._owners().items(), key=lambda item: -item[1])[:_MOST_NAMED]
        if largest:
            text += ": " + ", ".join(f"{name} {size_text(size)}" for name, size in largest)
        return MemoryBudgetError(text)

    def _take_back(self, lease: Lease) -> None:
        with self._lock:
            if self._held.pop(lease.number, None) is None:
                raise LeaseError(f"the lease of '{lease.owner}' ({size_text(lease.nbytes)}) is returned a second time")
            self._in_use -= lease.nbytes
            block, lease._block = lease._block, None
            if block is None:
                self._ledger.drop(lease.nbytes)
            else:
                self._strategy.give(block)

    def is_held(self, lease: Lease) -> bool:
        """Whether a lease was not returned yet."""
        return lease.number in self._held

    @property
    def budget(self) -> int | None:
        """Most bytes that may be held."""
        return self._ledger.budget

    @property
    def statistics(self) -> PoolStatistics:
        """Figures of this moment."""
        with self._lock:
            ledger, classes = self._ledger, dict[int, int]()
            for _, nbytes in self._held.values():
                size = self._strategy.size_class(nbytes)
                classes[size] = classes.get(size, 0) + 1
            return PoolStatistics(
                self._in_use, self._most_in_use, ledger.held, ledger.high_water, self._leases, ledger.growths,
                dict(sorted(classes.items())), ledger.budget,
            )  # fmt: skip

    def leaks(self) -> list[tuple[str, int]]:
        """Owner and bytes of every lease that was not returned, oldest first; empty at the end of a sound run."""
        with self._lock:
            return list(self._held.values())

    def owners(self) -> dict[str, int]:
        """Bytes in use by owner."""
        with self._lock:
            return self._owners()

    def _owners(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for owner, nbytes in self._held.values():
            sums[owner] = sums.get(owner, 0) + nbytes
        return sums

    def footprint(self, nbytes: int) -> int:
        """Bytes that a lease takes of the budget when it is served by new memory."""
        return self._strategy.footprint(nbytes)

    def fits(self, sizes: Iterable[int]) -> bool:
        """Whether the budget has room for leases of these sizes beside those of this moment."""
        with self._lock:
            budget, taken = self._ledger.budget, self._ledger.held - self._strategy.unused
            return budget is None or taken + sum(map(self._strategy.footprint, sizes)) <= budget

    def trim(self) -> int:
        """Give all unused memory back to the system; how many bytes that were."""
        with self._lock:
            before = self._ledger.held
            self._strategy.free(before)
            return before - self._ledger.held


@dataclass(eq=False)
class Memory:
    """One piece of memory and what the other ranks of the node hold in theirs.

    Attributes
    ----------
    flat : ndarray
        The values, 1-D; element `lead` lies on a 64-byte boundary. Not initialised.
    peers : dict of int to ndarray
        Rank to that rank's flat array, for the other ranks of the node; empty for private memory.
    """

    flat: NDArray[Any]
    peers: dict[int, NDArray[Any]] = field(default_factory=dict)
    window: SharedWindow | None = None
    lease: Lease | None = None

    def drop(self) -> None:
        """Let go of the memory on this rank alone; shared memory stays until the process ends."""
        self.flat = np.empty(0, self.flat.dtype)
        self.peers = {}
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release()

    def free(self) -> None:
        """Give the memory back; collective over the node for shared memory. A second call does nothing."""
        self.drop()
        window, self.window = self.window, None
        if window is not None:
            window.free()


class Allocator(Protocol):
    """Source of memory for registers."""

    def allocate(self, count: int, dtype: str, lead: int, owner: str = "") -> Memory:
        """Memory for `count` values whose element `lead` is 64-byte aligned."""
        ...


def padding(address: int, itemsize: int, lead: int) -> int:
    """Bytes to skip from an address so that element `lead` of what follows is 64-byte aligned.

    Examples
    --------
    >>> padding(4096, 8, 2)
    48
    """
    return -(address + lead * itemsize) % ALIGNMENT


def carve(raw: NDArray[np.uint8], skip: int, count: int, dtype: str) -> NDArray[Any]:
    """View of `count` values in raw bytes, starting after `skip` bytes."""
    return raw[skip : skip + count * np.dtype(dtype).itemsize].view(dtype)


def together(context: Context, take: Callable[[], T], give: Callable[[T], None]) -> T:
    """Take memory on all ranks or on none; collective.

    Parameters
    ----------
    context : Context
        The ranks.
    take : callable
        Takes the memory of this rank; may be refused.
    give : callable
        Gives it back where another rank was refused.

    Raises
    ------
    MemoryBudgetError
        On every rank, if one was refused; with the words of the first such rank.
    """
    taken: T | None = None
    refusal = ""
    try:
        taken = take()
    except MemoryBudgetError as error:
        refusal = str(error)
    if context.agree(taken is not None):
        assert taken is not None
        return taken
    if taken is not None:
        give(taken)
    rank, text = next((rank, text) for rank, text in enumerate(context.texts(refusal)) if text)
    raise MemoryBudgetError(text if context.size == 1 else f"rank {rank}: {text}")


class PoolAllocator:
    """Private memory by leases of a pool; its pages are placed by whoever touches them first.

    Parameters
    ----------
    pool : Pool
        Where the leases come from.

    Examples
    --------
    >>> pool = Pool()
    >>> memory = PoolAllocator(pool).allocate(10, "float64", lead=2, owner="u")
    >>> memory.flat[2:].ctypes.data % 64, pool.owners()
    (0, {'u': 128})
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def allocate(self, count: int, dtype: str, lead: int, owner: str = "") -> Memory:
        """Memory for `count` values whose element `lead` is 64-byte aligned."""
        itemsize = np.dtype(dtype).itemsize
        # A lease begins on a 64-byte boundary.
        skip = padding(0, itemsize, lead)
        lease = self._pool.lease(skip + count * itemsize, owner)
        return Memory(carve(lease.view(), skip, count, dtype), lease=lease)


class HeapAllocator:
    """Private memory without a pool, for arrays that live and die with what uses them.

    Examples
    --------
    >>> memory = HeapAllocator().allocate(10, "float64", lead=2)
    >>> memory.flat[2:].ctypes.data % 64
    0
    """

    def allocate(self, count: int, dtype: str, lead: int, owner: str = "") -> Memory:
        """Memory for `count` values whose element `lead` is 64-byte aligned."""
        itemsize = np.dtype(dtype).itemsize
        raw = np.empty(count * itemsize + ALIGNMENT, np.uint8)
        return Memory(carve(raw, padding(raw.ctypes.data, itemsize, lead), count, dtype))


class SharedAllocator:
    """Memory that all ranks of a node can read in place. Allocation is collective over the context.

    Parameters
    ----------
    context : Context
        The ranks of the run.
    pool : Pool, optional
        Counts the memory of this rank and refuses what goes beyond its budget, on all ranks alike.
    """

    def __init__(self, context: Context, pool: Pool | None = None) -> None:
        self._context = context
        self._pool = pool

    def allocate(self, count: int, dtype: str, lead: int, owner: str = "") -> Memory:
        """Memory for `count` values (may differ over ranks) whose element `lead` is 64-byte aligned."""
        from hpcsim.comm.window import SharedWindow

        context = self._context
        itemsize = np.dtype(dtype).itemsize
        # every piece starts on a 64-byte boundary, on every rank: one skip serves all ranks
        skip = padding(0, itemsize, lead)
        nbytes = skip + count * itemsize
        pool = self._pool
        lease = together(context, lambda: pool.count(nbytes, owner), Lease.release) if pool is not None else None
        window = SharedWindow(context, nbytes)
        peers = {rank: window.peer(rank)[skip:].view(dtype) for rank in context.node_ranks if rank != context.rank}
        return Memory(carve(window.local, skip, count, dtype), peers, window, lease)
