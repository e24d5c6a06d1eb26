"""Transforms along one or two axes of the array a rank holds, piece by piece through the cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.fft.fast import head
from hpcsim.solvers.fft.local import Lines
from hpcsim.solvers.fft.workers import Workers

CHUNK_BYTES = 1 << 18
"""Memory of one piece; with its copy it stays in the second cache of a core."""

PLANE_BYTES = 1 << 20
"""Largest plane of which both axes are transformed in one go."""

_Piece = tuple[slice, slice, slice]
Middle = Callable[[NDArray[Any], slice], None]
"""Changes modes in place: those of an axis for some columns, shape (modes, columns), and which columns these are."""


class Stage:
    """Forward and backward transforms of the middle and/or the last axis of a three-dimensional array.

    Parameters
    ----------
    middle, last : Lines or None
        Transforms of the two axes.
    sites, modes : tuple of int
        Shape before and after.
    site_type, mode_type : dtype-like
        Types before and after.
    workers : Workers
        Threads that share the pieces.
    """

    def __init__(
        self,
        middle: Lines | None,
        last: Lines | None,
        sites: tuple[int, int, int],
        modes: tuple[int, int, int],
        site_type: Any,
        mode_type: Any,
        workers: Workers,
    ) -> None:
        self._middle, self._last = middle, last
        self.sites, self.modes = sites, modes
        self.site_type, self.mode_type = np.dtype(site_type), np.dtype(mode_type)
        self._workers = workers
        self._pieces = self._cut()

    def _cut(self) -> list[_Piece]:
        """Pieces with whole lines; the other axes are cut, the first before the last."""
        whole = (False, self._middle is not None, self._last is not None)
        extents = [max(a, b) for a, b in zip(self.sites, self.modes, strict=True)]
        if 0 in self.sites:
            return []
        lines = math.prod(n for n, w in zip(extents, whole, strict=True) if w)
        room = max(1, CHUNK_BYTES // (self.mode_type.itemsize * lines))
        steps = [n if w else 0 for n, w in zip(extents, whole, strict=True)]
        for axis in (2, 1, 0):
            if not whole[axis]:
                # Whole cache lines along the last axis, even if a long column then fills more than its share.
                steps[axis] = min(extents[axis], max(room, 8 if axis == 2 else 1))
                room = max(1, room // steps[axis])
        first, middle, last = (
            [slice(None)] if w else [slice(lo, min(lo + step, n)) for lo in range(0, n, step)]
            for n, w, step in zip(extents, whole, steps, strict=True)
        )
        return list(product(first, middle, last))

    def forward(self, sites: NDArray[Any], modes: NDArray[Any]) -> None:
        """Modes from sites; the two arrays may be one."""

        def task(piece: _Piece) -> None:
            modes[piece] = self._there(self._load(sites[piece]))

        self._workers.run(task, self._pieces)

    def backward(self, modes: NDArray[Any], sites: NDArray[Any], factor: float = 1.0) -> None:
        """Sites from modes, times a factor; the two arrays may be one."""

        def task(piece: _Piece) -> None:
            work = self._load(modes[piece])
            if factor != 1.0:
                work *= factor
            sites[piece] = self._back(work)

        self._workers.run(task, self._pieces)

    def through(self, source: NDArray[Any], target: NDArray[Any], change: Middle) -> None:
        """Forward, a change of the modes, and backward, while a piece is in the cache.

        Only for a transform of the middle axis of an array whose first axis has one entry.
        """

        def task(piece: _Piece) -> None:
            work = self._there(self._load(source[piece]))
            change(work[0], piece[2])
            target[piece] = self._back(work)

        self._workers.run(task, self._pieces)

    def _there(self, work: NDArray[Any]) -> NDArray[Any]:
        if self._last is not None:
            work = self._last.forward(work, 2)
        return self._middle.forward(work, 1) if self._middle is not None else work

    def _back(self, work: NDArray[Any]) -> NDArray[Any]:
        if self._middle is not None:
            work = self._middle.backward(work, 1)
        return self._last.backward(work, 2) if self._last is not None else work

    def _load(self, values: NDArray[Any]) -> NDArray[Any]:
        """A copy of a piece that the transforms may overwrite."""
        *outer, n = values.shape
        # Lines a power of two apart would fall into the same few places of the cache.
        pitch = n + 64 // values.itemsize if self._middle is not None and n * values.itemsize % 512 == 0 else n
        work = head(np.empty((*outer, pitch), values.dtype), 2, n)
        work[...] = values
        return work
