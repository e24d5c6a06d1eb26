"""Transforms along one axis of the array a rank holds, piece by piece through the cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpcsim.solvers.fft.local import Lines
from hpcsim.solvers.fft.workers import Workers

CHUNK_BYTES = 1 << 18
"""Memory of one piece. It stays in the second cache of a core, and the C library keeps freed pieces of this size
instead of giving them back to the system, which would cost more than the transform."""

Shape3 = tuple[int, int, int]
_Piece = tuple[slice, slice, slice]
Middle = Callable[[NDArray[Any], slice], None]
"""Changes modes in place: those of an axis for some columns, shape (modes, columns), and which columns these are."""


class Stage(Protocol):
    """A step between two three-dimensional arrays of a rank.

    Attributes
    ----------
    sites, modes : tuple of int
        Shapes before and after.
    """

    sites: Shape3
    modes: Shape3

    def forward(self, sites: NDArray[Any], modes: NDArray[Any]) -> None:
        """Modes from sites; the two arrays may be one."""
        ...

    def backward(self, modes: NDArray[Any], sites: NDArray[Any], factor: float = 1.0) -> None:
        """Sites from modes, times a factor; the two arrays may be one."""
        ...


class LineStage:
    """Transforms of the middle axis of a three-dimensional array; the last axis has one entry if it is the last one.

    Parameters
    ----------
    lines : Lines
        Transform of the axis.
    sites, modes : tuple of int
        Shape before and after; they differ in the middle.
    mode_type : dtype-like
        Type after.
    workers : Workers
        Threads that share the pieces.
    """

    def __init__(self, lines: Lines, sites: Shape3, modes: Shape3, mode_type: DTypeLike, workers: Workers) -> None:
        self._lines, self._workers = lines, workers
        self.sites, self.modes = sites, modes
        self._pieces = _pieces(sites, max(lines.length, modes[1]) * np.dtype(mode_type).itemsize)

    def forward(self, sites: NDArray[Any], modes: NDArray[Any]) -> None:
        """See `Stage`."""

        def task(piece: _Piece) -> None:
            modes[piece] = self._lines.forward(self._load(sites[piece]), 1)

        self._workers.run(task, self._pieces)

    def backward(self, modes: NDArray[Any], sites: NDArray[Any], factor: float = 1.0) -> None:
        """See `Stage`."""

        def task(piece: _Piece) -> None:
            work = self._load(modes[piece])
            if factor != 1.0:
                work *= factor
            sites[piece] = self._lines.backward(work, 1)

        self._workers.run(task, self._pieces)

    def through(self, source: NDArray[Any], target: NDArray[Any], change: Middle) -> None:
        """Forward, a change of the modes, and backward, while a piece is in the cache; the first axis has one entry."""

        def task(piece: _Piece) -> None:
            work = self._lines.forward(self._load(source[piece]), 1)
            change(work[0], piece[2])
            target[piece] = self._lines.backward(work, 1)

        self._workers.run(task, self._pieces)

    def _load(self, values: NDArray[Any]) -> NDArray[Any]:
        """A copy of a piece that the transform may overwrite."""
        work = spaced(values.shape, values.dtype)
        work[...] = values
        return work


def _pieces(sites: Shape3, line_bytes: int) -> list[_Piece]:
    """Pieces with whole lines, of neighbouring lines as far as they go."""
    first, _, last = sites
    room = max(1, CHUNK_BYTES // line_bytes)
    # Whole cache lines along the last axis, even if long lines then fill more than their share.
    columns = min(last, max(room, 8))
    rows = min(first, max(1, room // max(columns, 1)))
    if 0 in sites:
        return []
    return list(product(runs(first, rows), [slice(None)], runs(last, columns)))


def runs(count: int, step: int) -> list[slice]:
    """Slices of at most `step` entries that cover `count` of them, as even as they can be.

    Examples
    --------
    >>> runs(10, 4)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    parts = -(-count // step)
    return [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]


def spaced(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Memory of a shape with rows of an odd number of cache lines.

    Entries a power of two apart fall into the same few places of a cache, so that lines across the rows evict each
    other.
    """
    *outer, n = shape
    kind = np.dtype(dtype)
    pitch = n + 64 // kind.itemsize if math.prod(outer) > 1 and n * kind.itemsize % 512 == 0 else n
    return np.empty((*outer, pitch), kind)[..., :n]
