"""Programs with the arrays they work on: what the iterations are written in terms of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.multigrid import fields
from hpcsim.solvers.multigrid.assemble import Program
from hpcsim.solvers.multigrid.engine import Engine
from hpcsim.solvers.multigrid.natural import Solution, writable

Values = NDArray[np.float64]

_INWARD, _OUTWARD, _MEAN = (fields.SCALARS.index(name) for name in ("INWARD", "OUTWARD", "MEAN"))
_ROWS_SAMPLED = 16


@dataclass
class Machine:
    """Runs programs on a right side and a solution.

    Values on the levels are scaled by powers of two, so that single precision neither overflows nor loses digits.

    Attributes
    ----------
    engine : Engine
        Runs the programs.
    programs : mapping
        By name.
    solution : Solution
        The array that is improved.
    size : int
        Unknowns.
    sigma : float
        The weights of the levels are those of the operator divided by this.
    """

    engine: Engine
    programs: Mapping[str, Program]
    solution: Solution
    size: int
    sigma: float = 1.0
    _right: Values = field(default_factory=lambda: np.zeros(1))
    _array: Values = field(default_factory=lambda: np.zeros(1))
    _scale: float = 1.0

    @property
    def inward(self) -> float:
        """What came to the levels last was multiplied by this."""
        return self._scale

    @property
    def cut(self) -> bool:
        """Whether the arrays are parts of larger ones."""
        return not self.engine.levels[0].shared

    def take(self, f: Values, u: Values, mean: float = 0.0) -> None:
        """Work on these arrays; `mean` is taken from the right side."""
        self._right, self._array = writable(f), self.solution.array(u)
        self.engine.scalars[_MEAN] = mean

    def run(self, name: str) -> None:
        """Run a program."""
        self.engine.run(self.programs[name], self._right, self._array)

    def expect(self, norm: float) -> None:
        """Scale what comes next to the levels, a right side of about this norm; what leaves them as it came."""
        self.engine.scalars[_OUTWARD] = 1.0 / (self._scale * self.sigma)
        typical = norm / math.sqrt(self.size)
        if typical > 0.0 and math.isfinite(typical):
            self._scale = 2.0 ** -math.frexp(typical)[1]
        self.engine.scalars[_INWARD] = self._scale

    def expect_back(self) -> None:
        """What leaves the levels next is what came last."""
        self.engine.scalars[_OUTWARD] = 1.0 / (self._scale * self.sigma)

    def estimate(self, f: Values) -> float:
        """Norm of a right side from some of its rows; from all if these are zero; collective."""
        step = max(1, f.shape[0] // _ROWS_SAMPLED)
        for sample in (f[::step], f):
            norm = math.sqrt(max(self.total(float(np.vdot(sample, sample))), 0.0))
            if norm > 0.0:
                break
        return norm * (math.sqrt(step) if sample is not f else 1.0)

    def norm(self, loaded: bool = False) -> float:
        """Norm that the last program has summed: of the residual, or of the right side it loaded; collective."""
        return math.sqrt(self.engine.square(loaded))

    def total(self, own: float) -> float:
        """Sum over the ranks if the arrays are parts; collective."""
        return self.engine.total(own) if self.cut else own

    def least(self, own: float) -> float:
        """Smallest value of the ranks; collective."""
        return self.engine.least(own)

    def dot(self, a: Values, b: Values) -> float:
        """Sum of products; collective."""
        return self.total(float(np.vdot(a, b)))
