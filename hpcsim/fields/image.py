"""Images: copies of registers at one step, in memory of the pool, for readers that must not hold up the steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, LeaseError, unknown_name
from hpcsim.fields.pool import Lease, Pool, carve, padding
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import Register, State, owned_window
from hpcsim.lattice.layout import Block, Layout
from hpcsim.lattice.storage import Storage

MOST_OVERHEAD = 1.15
"""A register whose array is at most so many times its owned sites is copied whole: one long copy beats many short."""

# Work below which another thread costs more than it brings.
_LEAST_PER_THREAD = 4 << 20


class Copy(NamedTuple):
    """One copy of a capture: where to, and what of which register."""

    target: NDArray[Any]
    register: str
    part: Any


def owned_boxes(layout: Layout, storage: Storage, spec: FieldSpec) -> list[tuple[Block, int, tuple[int, ...]]]:
    """Block, component and shape of every box that a rank owns of a field, in the order of its arrays."""
    ndim = len(storage.pitch)
    shapes = []
    for block in storage.blocks:
        for component, location in enumerate(spec.locations(ndim)):
            lo, hi = layout.owned_box(block, location)
            shapes.append((block, component, tuple(b - a for a, b in zip(lo, hi, strict=True))))
    return shapes


def copies_whole(layout: Layout, storage: Storage, spec: FieldSpec) -> bool:
    """Whether an image holds the whole array of a register, ghosts and padding included."""
    owned = sum(int(np.prod(shape)) for _, _, shape in owned_boxes(layout, storage, spec))
    return storage.length(spec.components) <= MOST_OVERHEAD * owned


def image_bytes(layout: Layout, storage: Storage, spec: FieldSpec) -> int:
    """Bytes that the image of one register takes from the pool."""
    if copies_whole(layout, storage, spec):
        return padding(0, spec.itemsize, storage.ghost) + storage.length(spec.components) * spec.itemsize
    return sum(int(np.prod(shape)) for _, _, shape in owned_boxes(layout, storage, spec)) * spec.itemsize


class Image:
    """A copy of registers.

    The memory is leased and touched once, when the image is made; a capture then is one copy in memory.

    Parameters
    ----------
    state : State
        What is copied.
    names : sequence of str
        Registers.
    pool : Pool, optional
        Where the memory comes from; by default the pool of the state.
    threads : int
        Threads that share the copying.
    owner : str
        Word for messages and lists of the pool; the name of the register is added.

    Attributes
    ----------
    names : tuple of str
        The registers.
    version : int
        Number of captures so far; 0 for an image that was never filled.
    step : int
        Step of the last capture.
    time : float
        Simulated time of the last capture.

    Raises
    ------
    ConfigError
        If there is no register of a name.
    MemoryBudgetError
        If the pool has no room; nothing stays leased then.

    Examples
    --------
    >>> from hpcsim.lattice.domain import Domain
    >>> from hpcsim.lattice.layout import make_layout
    >>> layout = make_layout(Domain((4,), (0,), (4,), (True,)), 1)
    >>> state = State(Storage.build(layout, 0, 1, False, 8), layout, 0)
    >>> state.add("u", FieldSpec("u")).flat[:] = 1.0
    >>> image = Image(state, ["u"])
    >>> image.capture(step=10, time=0.5)
    >>> state["u"].flat[:] = 2.0
    >>> image.step, image.interior("u", layout.blocks[0]).tolist()
    (10, [1.0, 1.0, 1.0, 1.0])
    >>> image.release()
    """

    def __init__(
        self, state: State, names: Sequence[str], pool: Pool | None = None, threads: int = 1, owner: str = "copy of"
    ) -> None:
        self.names = tuple(names)
        self.version = self.step = 0
        self.time = 0.0
        self._state = state
        self._released = False
        self._workers: ThreadPoolExecutor | None = None
        self._leases: list[Lease] = []
        self._views: dict[tuple[str, int, int], NDArray[Any]] = {}
        self._copies: list[Copy] = []
        registers = [state[name] for name in self.names]
        pool = pool if pool is not None else state.pool
        try:
            for register in registers:
                self._add(register, pool, owner)
        except BaseException:
            self.release()
            raise
        self._parts = _shared_out(self._copies, threads)
        # Threads beside the one that captures.
        if len(self._parts) > 1:
            self._workers = ThreadPoolExecutor(len(self._parts) - 1, "image")
        self._run(_touch)

    @property
    def nbytes(self) -> int:
        """Bytes of a capture."""
        return sum(copy.target.nbytes for copy in self._copies)

    def capture(self, step: int = 0, time: float = 0.0) -> None:
        """Copy the registers as they are now.

        Parameters
        ----------
        step : int
            Step of the state.
        time : float
            Its simulated time.

        Raises
        ------
        LeaseError
            If the image was released.
        """
        self._check()
        self._run(self._copy)
        self.step, self.time = step, time
        self.version += 1

    def interior(self, name: str, block: Block, component: int = 0) -> NDArray[Any]:
        """Read-only view of the sites that a local block owns in one component, as `State.interior`.

        Raises
        ------
        ConfigError
            If the image has no register of that name.
        LeaseError
            If it was released.
        """
        self._check()
        if name not in self.names:
            raise ConfigError(unknown_name("register of the image", name, self.names))
        return self._views[name, block.id, component]

    def release(self) -> None:
        """Give the memory back; views taken before must not be used after. A second call does nothing."""
        self._released = True
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown()
        self._copies, self._parts, self._views = [], [], {}
        while self._leases:
            self._leases.pop().release()

    def __enter__(self) -> Image:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _check(self) -> None:
        if self._released:
            raise LeaseError(f"the image of {', '.join(self.names)} was released")

    def _add(self, register: Register, pool: Pool, owner: str) -> None:
        """Memory, copies and views of one register."""
        state, spec = self._state, register.spec
        layout, storage = state.layout, state.storage
        lease = pool.lease(image_bytes(layout, storage, spec), f"{owner} {register.name}")
        self._leases.append(lease)
        if copies_whole(layout, storage, spec):
            # Placed in its cache line as the register is.
            skip = padding(0, spec.itemsize, storage.ghost)
            flat = carve(lease.view(), skip, storage.length(spec.components), spec.dtype)
            self._copies.append(Copy(flat.view(np.uint8), register.name, slice(None)))
            array = flat.reshape(register.array.shape)
            for block, component, _ in owned_boxes(layout, storage, spec):
                window = owned_window(layout, storage, spec, block, component)
                self._keep(register.name, block, component, array[storage.slot(block.id), component][window])
            return
        flat, first = lease.view(spec.dtype), 0
        for block, component, shape in owned_boxes(layout, storage, spec):
            box = flat[first : first + int(np.prod(shape))].reshape(shape)
            first += box.size
            window = owned_window(layout, storage, spec, block, component)
            self._copies.append(Copy(box, register.name, (storage.slot(block.id), component, *window)))
            self._keep(register.name, block, component, box)

    def _keep(self, name: str, block: Block, component: int, view: NDArray[Any]) -> None:
        shown = view.view()
        shown.flags.writeable = False
        self._views[name, block.id, component] = shown

    def _run(self, verb: Any) -> None:
        """Do something with the copies of every part, each part on its thread."""
        others = [self._workers.submit(_each, verb, part) for part in self._parts[1:]] if self._workers else []
        _each(verb, self._parts[0])
        for other in others:
            other.result()

    def _copy(self, copy: Copy) -> None:
        register = self._state[copy.register]
        # Registers change their memory with each other between steps, so it is looked up every time.
        source = register.flat.view(np.uint8)[copy.part] if isinstance(copy.part, slice) else register.array[copy.part]
        np.copyto(copy.target, source)


def _each(verb: Any, part: Iterable[Copy]) -> None:
    for copy in part:
        verb(copy)


def _touch(copy: Copy) -> None:
    copy.target.fill(0)


def _shared_out(copies: Sequence[Copy], threads: int) -> list[list[Copy]]:
    """Copies of nearly equal bytes for every thread, long ones cut where that is needed."""
    total = sum(copy.target.nbytes for copy in copies)
    count = max(1, min(threads, total // _LEAST_PER_THREAD))
    # Boundaries at whole pages, so that no page is touched by two threads.
    ends = [total * (k + 1) // count // 4096 * 4096 for k in range(count - 1)] + [total]
    parts: list[list[Copy]] = [[] for _ in ends]
    firsts = [0, *accumulate(copy.target.nbytes for copy in copies)]
    for copy, first in zip(copies, firsts, strict=False):
        last, start = first + copy.target.nbytes, first
        for part, end in zip(parts, ends, strict=True):
            if start >= last:
                break
            if end <= start:
                continue
            stop = min(last, end)
            if isinstance(copy.part, slice):
                part.append(
                    Copy(copy.target[start - first : stop - first], copy.register, slice(start - first, stop - first))
                )
                start = stop
            else:
                part.append(copy)
                start = last
    return parts
