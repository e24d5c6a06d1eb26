"""Transforms of the last two axes in one go, plane by plane through the cache."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpcsim.solvers.fft.local import Lines
from hpcsim.solvers.fft.stage import CHUNK_BYTES, Shape3, runs, spaced
from hpcsim.solvers.fft.workers import Workers

PLANE_BYTES = 1 << 20
"""Largest plane that stays in the second cache of a core."""


class PlaneStage:
    """Transforms of the middle and the last axis of a three-dimensional array.

    Parameters
    ----------
    middle, last : Lines
        Transforms of the two axes.
    sites, modes : tuple of int
        Shape before and after.
    plane_type : dtype-like
        Type between the two transforms.
    workers : Workers
        Threads that share the planes.
    """

    def __init__(
        self, middle: Lines, last: Lines, sites: Shape3, modes: Shape3, plane_type: DTypeLike, workers: Workers
    ) -> None:
        self._middle, self._last, self._workers = middle, last, workers
        self.sites, self.modes = sites, modes
        self._type = np.dtype(plane_type)
        self._planes = range(sites[0]) if 0 not in sites else range(0)
        # Transforms that make new memory get pieces of a size that the C library keeps.
        size = self._type.itemsize
        self._rows = runs(sites[1], max(1, CHUNK_BYTES // (size * max(last.length, 1)))) if sites[1] else []
        self._columns = runs(modes[2], max(8, CHUNK_BYTES // (size * max(middle.length, 1)))) if modes[2] else []
        self._memory = threading.local()

    def forward(self, sites: NDArray[Any], modes: NDArray[Any]) -> None:
        """See `Stage`."""
        middle, last = self._middle, self._last

        def task(place: int) -> None:
            source, target, plane = sites[place], modes[place], self._plane()
            if last.in_place:
                plane[...] = source
                last.forward(plane, 1)
            else:
                for rows in self._rows:
                    plane[rows] = last.forward(source[rows].copy(), 1)
            if middle.in_place:
                middle.forward(plane, 0)
                target[...] = plane
            else:
                for columns in self._columns:
                    target[:, columns] = middle.forward(plane[:, columns], 0)

        self._workers.run(task, self._planes)

    def backward(self, modes: NDArray[Any], sites: NDArray[Any], factor: float = 1.0) -> None:
        """See `Stage`."""
        middle, last = self._middle, self._last

        def task(place: int) -> None:
            source, target, plane = modes[place], sites[place], self._plane()
            if middle.in_place:
                plane[...] = source
                middle.backward(plane, 0)
            else:
                for columns in self._columns:
                    plane[:, columns] = middle.backward(source[:, columns].copy(), 0)
            if factor != 1.0:
                plane *= factor
            if last.in_place:
                last.backward(plane, 1)
                target[...] = plane
            else:
                for rows in self._rows:
                    target[rows] = last.backward(plane[rows], 1)

        self._workers.run(task, self._planes)

    def _plane(self) -> NDArray[Any]:
        """Memory of this thread for a plane between its two transforms."""
        memory: NDArray[Any] | None = getattr(self._memory, "plane", None)
        if memory is None:
            memory = self._memory.plane = spaced((self.sites[1], self.modes[2]), self._type)
        return memory
