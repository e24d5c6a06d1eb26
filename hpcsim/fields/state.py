"""The registers of a run: for each field one array over the local blocks, plus registered numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, HpcsimError, unknown_name
from hpcsim.fields.pool import Allocator, Memory, Pool, PoolAllocator
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.layout import Block, Layout
from hpcsim.lattice.storage import Storage

FRESH = {"zero": 0.0, "nan": float("nan")}
FirstTouch = Callable[[NDArray[Any], float], None]


def touch(flat: NDArray[Any], value: float) -> None:
    """Default first touch: the calling thread writes every value."""
    flat.fill(value)


@dataclass(eq=False)
class Register:
    """One named array over the local blocks.

    Attributes
    ----------
    name : str
        Name in the state, e.g. ``u`` or ``u@prev``.
    spec : FieldSpec
        Components, centring and dtype.
    flat : ndarray
        All values, 1-D, block-major, then component, then site.
    array : ndarray
        The same memory as ``[block, component, *pitch]``.
    peers : dict of int to ndarray
        Rank to its flat array, for the other ranks of the node when the memory is shared.
    saved : bool
        Whether a checkpoint must hold it.
    static : bool
        Whether it never changes after the start.
    """

    name: str
    spec: FieldSpec
    memory: Memory
    flat: NDArray[Any]
    array: NDArray[Any]
    peers: dict[int, NDArray[Any]]
    saved: bool = True
    static: bool = False


def owned_window(layout: Layout, storage: Storage, spec: FieldSpec, block: Block, component: int) -> tuple[slice, ...]:
    """Where the sites that a block owns in one component lie in the array of that block."""
    lo, hi = layout.owned_box(block, spec.locations(len(block.lo))[component])
    return tuple(
        slice(first - start + storage.ghost, last - start + storage.ghost)
        for first, last, start in zip(lo, hi, block.lo, strict=True)
    )


class State:
    """All registers of one rank.

    Parameters
    ----------
    storage : Storage
        Index arithmetic of the local blocks.
    layout : Layout
        Blocks and owners.
    rank : int
        Whose blocks these are.
    allocator : Allocator, optional
        Where memory comes from; private memory of the pool by default.
    fresh : {"zero", "nan"}
        What new memory holds. NaN shows any value that is read before it was set.
    first_touch : callable, optional
        ``first_touch(flat, value)`` writes `value` everywhere, each page by the thread that will compute on it.
    pool : Pool, optional
        Pool of the run; by default one without a budget.

    Attributes
    ----------
    pool : Pool
        Where the registers, and copies of them, take their memory.

    Raises
    ------
    ConfigError
        If `fresh` is not one of those allowed.
    """

    def __init__(
        self,
        storage: Storage,
        layout: Layout,
        rank: int,
        allocator: Allocator | None = None,
        *,
        fresh: str = "zero",
        first_touch: FirstTouch = touch,
        pool: Pool | None = None,
    ) -> None:
        if fresh not in FRESH:
            raise ConfigError(unknown_name("content of fresh memory", fresh, FRESH))
        self.storage = storage
        self.layout = layout
        self.rank = rank
        self.scalars: dict[str, float | int] = {}
        self.pool = pool if pool is not None else Pool()
        self._allocator = allocator if allocator is not None else PoolAllocator(self.pool)
        self._fresh = FRESH[fresh]
        self._first_touch = first_touch
        self._registers: dict[str, Register] = {}
        self._freed = False

    def add(self, name: str, spec: FieldSpec, *, saved: bool = True, static: bool = False) -> Register:
        """New register of fresh memory; collective over ranks when the memory is shared.

        Raises
        ------
        ConfigError
            If the name is taken.
        MemoryBudgetError
            If the budget of the pool has no room for it.
        HpcsimError
            If the state was freed.
        """
        if self._freed:
            raise HpcsimError(f"register '{name}' cannot be added: the state was freed")
        if name in self._registers:
            raise ConfigError(f"the register '{name}' exists already; names of registers are unique")
        shape = (len(self.storage.blocks), spec.components, *self.storage.pitch)
        count = int(np.prod(shape, dtype=np.int64))
        memory = self._allocator.allocate(count, spec.dtype, self.storage.ghost, owner=name)
        self._first_touch(memory.flat, self._fresh)
        array = memory.flat.reshape(shape)
        register = Register(name, spec, memory, memory.flat, array, memory.peers, saved, static)
        self._registers[name] = register
        return register

    def __getitem__(self, name: str) -> Register:
        if name not in self._registers:
            raise ConfigError(unknown_name("register", name, self._registers))
        return self._registers[name]

    def __contains__(self, name: object) -> bool:
        return name in self._registers

    def __iter__(self) -> Iterator[Register]:
        return iter(self._registers.values())

    def __len__(self) -> int:
        return len(self._registers)

    def names(self) -> list[str]:
        """Names of the registers in the order they were added."""
        return list(self._registers)

    @property
    def nbytes(self) -> int:
        """Bytes of all registers of this rank, ghosts and padding included."""
        return sum(register.flat.nbytes for register in self)

    def swap(self, a: str, b: str) -> None:
        """Exchange the memory of two registers without copying; every rank must swap the same two.

        The registers keep their names and flags. The peers' arrays go along, so a read of a neighbour's register
        in place stays right when all ranks swap at the same step.

        Raises
        ------
        ConfigError
            If a name is unknown or the two differ in components, centring or dtype.
        """
        first, second = self[a], self[b]
        if not first.spec.same_storage(second.spec):
            raise ConfigError(f"registers '{a}' and '{b}' cannot be swapped: {first.spec} and {second.spec} differ")
        for part in ("memory", "flat", "array", "peers"):
            mine, other = getattr(first, part), getattr(second, part)
            setattr(first, part, other)
            setattr(second, part, mine)

    def interior(self, name: str, block: Block, component: int = 0) -> NDArray[Any]:
        """View of the sites that a local block owns in one component, shape of its owned box.

        Raises
        ------
        ConfigError
            If the name is unknown.
        """
        register = self[name]
        window = owned_window(self.layout, self.storage, register.spec, block, component)
        return register.array[self.storage.slot(block.id), component][window]

    def free(self) -> None:
        """Give back all memory, the newest register first; views taken before must not be used after.

        Collective over the node when the memory is shared. A second call does nothing.
        """
        self._release(Memory.free)

    def _release(self, release: Callable[[Memory], None]) -> None:
        """Empty the state, each piece of memory by the given verb."""
        self._freed = True
        while self._registers:
            _, register = self._registers.popitem()
            register.flat = register.array = np.empty(0, register.spec.dtype)
            register.peers = {}
            release(register.memory)
        self.pool.trim()

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # with an exception under way the other ranks are not here to take part in a collective free
        self._release(Memory.free if kind is None else Memory.drop)
