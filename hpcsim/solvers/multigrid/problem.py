"""What a solver is made for: axes, boxes and weights with at least two axes, and what is known of the operator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.grid import Axis, End, Star, Weight
from hpcsim.solvers.multigrid.varying import Varying
from hpcsim.solvers.multigrid.walls import folded
from hpcsim.solvers.multigrid.weights import Constant

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]
_ALONE = Axis(1, 1.0, False, (End(0.0, 1.0), End(0.0, 1.0)))
_ROUNDING = 1e-12


class Problem:
    """A star operator on the boxes of the ranks; all verbs are collective.

    Parameters
    ----------
    context : Context
        The ranks.
    star : Star
        The operator on this rank.
    boxes : sequence of Box
        Boxes of all ranks, the last axis whole.

    Attributes
    ----------
    axes : tuple of Axis
        At least two; an operator on one axis gets a second one of one site.
    boxes : tuple of Box
        With as many axes.
    constant : bool
        Whether the weights are numbers.

    Raises
    ------
    ConfigError
        If the operator has too many axes, or the boxes are no pencils.
    """

    def __init__(self, context: Context, star: Star, boxes: Sequence[Box]) -> None:
        if not 1 <= len(star.axes) <= 4:
            raise ConfigError(f"multigrid works on one to four axes, not on {len(star.axes)}")
        self.context = context
        self._added = len(star.axes) == 1
        self.axes = (_ALONE, *star.axes) if self._added else star.axes
        self.boxes = tuple(((0, *lo), (1 if hi > lo else 0, *hi)) if self._added else (lo, hi) for lo, hi in boxes)
        self.constant = star.constant
        for lo, hi in self.boxes:
            if all(b > a for a, b in zip(lo, hi, strict=True)) and (lo[-1], hi[-1]) != (0, self.axes[-1].count):
                raise ConfigError(f"multigrid needs boxes with the last axis whole, not {lo} to {hi}")

    @property
    def box(self) -> Box:
        """Sites of this rank."""
        return self.boxes[self.context.rank]

    @property
    def size(self) -> int:
        """Unknowns."""
        return math.prod(axis.count for axis in self.axes)

    def shaped(self, values: Values) -> Values:
        """Values on the box with all axes."""
        return values.reshape(extent(self.box))

    def weights(self, star: Star) -> Constant | Varying:
        """The weights of an operator of the same form."""
        if star.constant != self.constant:
            raise ConfigError("multigrid: constant weights cannot become arrays, nor the reverse; make a new solver")
        if self.constant:
            lower, upper = tuple(map(_number, star.lower)), tuple(map(_number, star.upper))
            none = (0.0,) if self._added else ()
            return Constant((*none, *lower), (*none, *upper), _number(star.centre))
        arrays = [tuple(self._array(w) for w in side) for side in (star.lower, star.upper)]
        if self._added:
            none_here = (np.zeros(extent(self.box)),)
            arrays = [(*none_here, *side) for side in arrays]
        return Varying(arrays[0], arrays[1], self._array(star.centre))

    def _array(self, weight: Weight) -> Values:
        if isinstance(weight, np.ndarray):
            return np.asarray(self.shaped(weight), np.float64)
        return np.full(extent(self.box), float(weight))

    def strengths(self, weights: Constant | Varying) -> tuple[float, ...]:
        """Coupling along each axis, on average."""
        if isinstance(weights, Constant):
            return tuple(abs(a + b) / 2 for a, b in zip(weights.lower, weights.upper, strict=True))
        own = [float(np.abs(a + b).sum() / 2) for a, b in zip(weights.lower, weights.upper, strict=True)]
        return tuple(float(v) / self.size for v in self._sums(own))

    def scale(self, weights: Constant | Varying) -> float:
        """A power of two of the size of the weights."""
        largest = float(np.abs(weights.centre).max()) if np.size(weights.centre) else 0.0
        largest = float(self.context.max(largest))
        return 2.0 ** math.frexp(largest)[1] if largest > 0.0 and math.isfinite(largest) else 1.0

    def singular(self, weights: Constant | Varying) -> bool:
        """Whether the operator makes nothing of a constant, ends included."""
        if isinstance(weights, Constant):
            size = abs(weights.centre) + sum(map(abs, (*weights.lower, *weights.upper)))
            closed = all(
                not np.abs(np.add.reduce(folded(axis, low, high)) - (low + high)).max() > _ROUNDING * size
                for axis, low, high in zip(self.axes, weights.lower, weights.upper, strict=True)
            )
            return closed and abs(weights.total) <= _ROUNDING * size
        ready = weights.folded(self.axes, self.box)
        excess = np.abs(ready.centre + sum(ready.lower) + sum(ready.upper))
        worst = float(excess.max() / np.abs(ready.centre).max()) if excess.size else 0.0
        return float(self.context.max(worst)) <= _ROUNDING

    def _sums(self, own: Sequence[float]) -> Values:
        every = np.zeros((self.context.size, len(own)))
        self.context.comm.Allgather(np.array(own), every)
        total: Values = every.sum(axis=0)
        return total


def _number(weight: Weight) -> float:
    assert not isinstance(weight, np.ndarray)
    return float(weight)
