"""Native multigrid as a linear solver, and one cycle of it as a preconditioner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpcsim.errors import ConfigError
from hpcsim.lattice.pencils import pencils
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.linear.constants import skew_and_free
from hpcsim.solvers.linear.grid import Grid, make_star, needed_axes
from hpcsim.solvers.multigrid.options import MultigridOptions
from hpcsim.solvers.multigrid.solver import Multigrid
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.unknowns import Vector

_AGAIN = 3


class MultigridSolver:
    """Multigrid on one box per rank; the unknowns are moved there and back.

    Raises
    ------
    ConfigError
        If the operator is no star, a boundary condition has no form that multigrid knows, or the problem is singular
        and not symmetric.
    """

    def __init__(self, equations: Equations) -> None:
        axes = needed_axes(equations)
        if skew_and_free(equations):
            raise ConfigError(
                f"solver.{equations.operator.problem.name}.method: the solution is free up to a constant and the "
                'matrix is not symmetric, which multigrid cannot handle; write it in flux form, or use "petsc"'
            )
        setting, asked = equations.operator.setting, equations.options
        boxes = pencils(tuple(axis.count for axis in axes), setting.context.size)
        self._axes = axes
        self._grid = Grid(equations, axes, boxes[setting.context.rank])
        options = MultigridOptions(
            cycle=asked.cycle, smoother=asked.smoother, sweeps=asked.sweeps, precision=asked.precision,
            max_iterations=asked.max_iterations,
        )  # fmt: skip
        star = make_star(equations, axes, self._grid)
        self._multigrid = Multigrid(setting.context, star, boxes, options, setting.threads)
        self._right, self._left = self._grid.empty(), self._grid.empty()
        self._operator = equations.operator
        self.method = self._multigrid.method

    def update(self, equations: Equations) -> None:
        """Take up coefficients that have changed."""
        self._multigrid.update(make_star(equations, self._axes, self._grid))

    def solve(self, b: Vector, x: Vector, rtol: float, atol: float) -> Outcome:
        """Improve `x`; see the protocol."""
        self._grid.gather(b, self._right)
        self._grid.gather(x, self._left)
        outcome = self._multigrid.solve(self._right, self._left, rtol, atol, guess=True)
        for _ in range(_AGAIN):
            if not outcome.converged or self._multigrid.singular or not outcome.method.startswith("orthomin"):
                break
            # Its residual is carried along, and drifts from the true one where weights differ much.
            true = self._residual()
            if true <= max(rtol * outcome.residuals[0], atol):
                break
            later = self._multigrid.solve(self._right, self._left, rtol, atol, guess=True)
            history = (*outcome.residuals[:-1], true, *later.residuals[1:])
            outcome = replace(later, iterations=outcome.iterations + later.iterations, residuals=history)
        self._grid.scatter(self._left, x)
        return outcome

    def _residual(self) -> float:
        """Two-norm of the true residual; collective."""
        work = self._grid.empty()
        self._multigrid.operator(self._left, work)
        np.subtract(self._right, work, out=work)
        packed = self._grid.scatter(work, self._operator.vector())
        return self._operator.unknowns.norm(packed)

    def apply(self, r: Vector, z: Vector) -> None:
        """One cycle from zero: ``z`` becomes an approximate solution for ``r``."""
        self._grid.gather(r, self._right)
        self._multigrid.apply(self._right, self._left)
        self._grid.scatter(self._left, z)

    def free(self) -> None:
        """Give back messages and memory."""
        self._multigrid.free()
        self._grid.free()
