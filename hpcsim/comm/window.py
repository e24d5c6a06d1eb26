"""Memory that the ranks of a node share: each owns a piece, all can read every piece."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcsim.errors import LaunchError

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

_ALIGN = 64


class SharedWindow:
    """A piece of node-shared memory per rank, 64-byte aligned and zero at the start.

    Parameters
    ----------
    context : Context
        The ranks; creation and :meth:`free` are collective over each node.
    nbytes : int
        Size of this rank's piece; may differ between ranks.

    Attributes
    ----------
    local : numpy.ndarray
        This rank's piece, uint8, shape ``(nbytes,)``.

    Raises
    ------
    LaunchError
        On all ranks of the node, if its shared memory cannot hold the pieces (a later write would kill the process).

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> window = SharedWindow(Context.serial(), 256)
    >>> window.local.view("float64")[:] = 1.0
    >>> float(window.peer(0).view("float64").sum())
    32.0
    """

    def __init__(self, context: Context, nbytes: int) -> None:
        self._window: Any = None
        self._pieces: dict[int, np.ndarray] = {}
        sizes = np.zeros(context.node_size, np.int64)
        context.node_comm.Allgather(np.array([nbytes], np.int64), sizes)
        if context.node_size == 1:
            self._pieces[context.rank] = _aligned(np.zeros(nbytes + _ALIGN, np.uint8), nbytes)
        else:
            self._allocate(context, nbytes, sizes)
        self.local = self._pieces[context.rank]
        self.local[:] = 0
        self.sync()
        context.node_comm.Barrier()

    def _allocate(self, context: Context, nbytes: int, sizes: np.ndarray) -> None:
        from mpi4py import MPI

        _check_room(context, int(sizes.sum()) + (_ALIGN + 4096) * len(sizes))
        # Separate page-aligned pieces: pages land near the rank that touches them first.
        info = MPI.Info.Create()
        info.Set("alloc_shared_noncontig", "true")
        self._window = MPI.Win.Allocate_shared(nbytes + _ALIGN, 1, info, context.node_comm)
        info.Free()
        self._window.Lock_all(MPI.MODE_NOCHECK)
        for place, rank in enumerate(context.node_ranks):
            memory, _ = self._window.Shared_query(place)
            self._pieces[rank] = _aligned(np.frombuffer(memory, np.uint8), int(sizes[place]))

    def peer(self, rank: int) -> np.ndarray:
        """The piece of another rank of this node (by its rank in the context), uint8.

        Raises
        ------
        KeyError
            If that rank is on another node.
        """
        return self._pieces[rank]

    def sync(self) -> None:
        """Memory fence: what was written before is visible before what is written after."""
        if self._window is not None:
            self._window.Sync()

    def free(self) -> None:
        """Give the memory back; collective over the node. No view of it may be used afterwards."""
        self._pieces = {}
        self.local = np.empty(0, np.uint8)
        if self._window is not None:
            self._window.Unlock_all()
            self._window.Free()
            self._window = None


def _aligned(memory: np.ndarray, nbytes: int) -> np.ndarray:
    start = -memory.ctypes.data % _ALIGN
    return memory[start : start + nbytes]


def _check_room(context: Context, needed: int) -> None:
    """Refuse what the shared-memory file system cannot hold: touching a page it lacks is a bus error."""
    directory = "/dev/shm"
    short = ""
    if os.path.isdir(directory):
        status = os.statvfs(directory)
        free = status.f_bavail * status.f_frsize
        if needed > free:
            short = f"{directory} has {free / 2**20:.0f} MiB free, the ranks of this node need {needed / 2**20:.0f} MiB"
    notes = [text for text in context.gather_node_text(short) if text]
    if notes:
        raise LaunchError(f"shared memory: {notes[0]}; enlarge it or use run.exchange = 'overlapped'")
