"""What one rank does between two moves: its box, and the transforms of the axes that are whole there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.fft.basis import Basis
from hpcsim.solvers.fft.local import Lines
from hpcsim.solvers.fft.plane import PLANE_BYTES, PlaneStage
from hpcsim.solvers.fft.stage import LineStage, Shape3, Stage
from hpcsim.solvers.fft.workers import Workers

Types = Sequence[np.dtype[Any]]
"""``types[axis + 1]`` is the type of the data before an axis is transformed, ``types[axis]`` the one after it."""


class Holding:
    """Arrays of one rank before and after each transform that it can do without the others.

    Parameters
    ----------
    box : Box
        Box of the rank before the transforms.
    axes : sequence of int
        Axes to transform, the last one first. The first axis of the lattice is never among them: `Transform` itself
        does it, since what lies between its two transforms is done in the same pass.
    bases, lines : sequence
        Functions and local transforms of all axes of the lattice.
    types : sequence of dtype
        See `Types`.
    from_caller : bool
        Whether the first transform reads the array of a caller; otherwise there is memory before it.
    workers : Workers
        Threads of the rank.

    Attributes
    ----------
    result_box : Box
        Box after the transforms.
    """

    def __init__(
        self,
        box: Box,
        axes: Sequence[int],
        bases: Sequence[Basis],
        lines: Sequence[Lines],
        types: Types,
        from_caller: bool,
        workers: Workers,
    ) -> None:
        self.box = box
        shape = extent(box)
        self.type = types[axes[0] + 1] if axes else types[1]
        self._steps: list[Stage] = []
        # Memory before the first step and after each; a transform that keeps shape and type is done in place.
        self._arrays: list[NDArray[Any] | None] = [None if from_caller else np.empty(shape, self.type)]
        for group in _groups(axes, bases):
            before = shape
            shape = tuple(bases[k].kept if k in group and 0 not in before else n for k, n in enumerate(before))
            self._steps.append(_step(group, before, shape, lines, types, workers))
            last = self._arrays[-1]
            fits = last is not None and last.shape == shape and last.dtype == types[group[-1]]
            self._arrays.append(last if fits else np.empty(shape, types[group[-1]]))
        lo, hi = box
        ends = enumerate(zip(lo, hi, shape, strict=True))
        self.result_box: Box = (lo, tuple(a + n if k in axes else b for k, (a, b, n) in ends))

    @property
    def start(self) -> NDArray[Any]:
        """Memory before the first transform."""
        assert self._arrays[0] is not None
        return self._arrays[0]

    @property
    def result(self) -> NDArray[Any]:
        """Memory after the last transform."""
        assert self._arrays[-1] is not None
        return self._arrays[-1]

    def forward(self, values: NDArray[Any]) -> None:
        """Transform values into `result`; they are `start` or, where there is none, the caller's."""
        for step, after in zip(self._steps, self._arrays[1:], strict=True):
            assert after is not None
            step.forward(values.reshape(step.sites), after.reshape(step.modes))
            values = after

    def backward(self, values: NDArray[Any]) -> None:
        """Transform `result` back into values; they are `start` or, where there is none, the caller's."""
        arrays = [values, *self._arrays[1:]]
        for place in range(len(self._steps) - 1, -1, -1):
            step, before, after = self._steps[place], arrays[place], arrays[place + 1]
            assert before is not None and after is not None
            step.backward(after.reshape(step.modes), before.reshape(step.sites))


def _groups(axes: Sequence[int], bases: Sequence[Basis]) -> list[tuple[int, ...]]:
    """Axes that are transformed in one go: the last two of the lattice where a plane of them stays in the cache."""
    last = len(bases) - 1
    if list(axes[:2]) == [last, last - 1]:
        plane = max(bases[last].length, 2 * bases[last].kept) * bases[last - 1].length * 8
        if plane <= PLANE_BYTES:
            return [(last, last - 1), *[(axis,) for axis in axes[2:]]]
    return [(axis,) for axis in axes]


def _step(
    group: tuple[int, ...],
    before: tuple[int, ...],
    after: tuple[int, ...],
    lines: Sequence[Lines],
    types: Types,
    workers: Workers,
) -> Stage:
    """Transform of one axis, or of the last two, of arrays taken as three-dimensional ones."""
    first = group[-1]

    def folded(shape: tuple[int, ...]) -> Shape3:
        return math.prod(shape[:first]), shape[first], math.prod(shape[first + 1 :])

    if len(group) == 2:
        return PlaneStage(lines[first], lines[group[0]], folded(before), folded(after), types[group[0]], workers)
    return LineStage(lines[first], folded(before), folded(after), types[first], workers)
