"""Memory for registers: 64-byte aligned at the first interior site of a row, private or shared on a node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hpcsim.comm.context import Context
    from hpcsim.comm.window import SharedWindow

ALIGNMENT = 64


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

    def drop(self) -> None:
        """Let go of the memory on this rank alone; shared memory stays until the process ends."""
        self.flat = np.empty(0, self.flat.dtype)
        self.peers = {}

    def free(self) -> None:
        """Give the memory back; collective over the node for shared memory. A second call does nothing."""
        self.drop()
        window, self.window = self.window, None
        if window is not None:
            window.free()


class Allocator(Protocol):
    """Source of memory for registers."""

    def allocate(self, count: int, dtype: str, lead: int) -> Memory:
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


class HeapAllocator:
    """Private memory; its pages are placed by whoever touches them first.

    Examples
    --------
    >>> memory = HeapAllocator().allocate(10, "float64", lead=2)
    >>> memory.flat[2:].ctypes.data % 64
    0
    """

    def allocate(self, count: int, dtype: str, lead: int) -> Memory:
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
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def allocate(self, count: int, dtype: str, lead: int) -> Memory:
        """Memory for `count` values (may differ over ranks) whose element `lead` is 64-byte aligned."""
        from hpcsim.comm.window import SharedWindow

        context = self._context
        itemsize = np.dtype(dtype).itemsize
        # every piece starts on a 64-byte boundary, on every rank: one skip serves all ranks
        skip = padding(0, itemsize, lead)
        window = SharedWindow(context, skip + count * itemsize)
        peers = {rank: window.peer(rank)[skip:].view(dtype) for rank in context.node_ranks if rank != context.rank}
        return Memory(carve(window.local, skip, count, dtype), peers, window)
