"""Fast transforms as a linear solver: direct, for constant coefficients."""

from __future__ import annotations

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.direct import DirectSolver
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.linear.grid import Grid, make_star, needed_axes
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.unknowns import Vector


class TransformSolver:
    """Diagonalises the stencil by Fourier, sine and cosine transforms.

    Raises
    ------
    ConfigError
        If coefficients vary, or the operator cannot be diagonalised so.
    """

    def __init__(self, equations: Equations) -> None:
        self._make(equations)

    def update(self, equations: Equations) -> None:
        """Take up coefficients that have changed."""
        self.free()
        self._make(equations)

    def _make(self, equations: Equations) -> None:
        operator = equations.operator
        if not operator.linear.constant:
            where = f"solver.{operator.problem.name}.method"
            raise ConfigError(f'{where}: coefficients vary in space, and fft needs constant ones; use "multigrid"')
        axes = needed_axes(equations)
        setting = operator.setting
        self._direct = DirectSolver(setting.context, make_star(equations, axes), setting.threads)
        self.method = self._direct.method
        self._grid = Grid(equations, axes, self._direct.box)
        self._values = self._grid.empty()

    def solve(self, b: Vector, x: Vector, rtol: float, atol: float) -> Outcome:
        """Solve to rounding, whatever the tolerance."""
        self._grid.gather(b, self._values)
        outcome = self._direct.solve(self._values, self._values)
        self._grid.scatter(self._values, x)
        return outcome

    def free(self) -> None:
        """Give back messages and memory."""
        self._grid.free()
        self._direct.free()
