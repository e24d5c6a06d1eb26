"""Direct solve of problems in which no site couples to another: one small dense system per site."""

from __future__ import annotations

import numpy as np

from hpcsim.errors import ConfigError
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.unknowns import Vector


class Pointwise:
    """Gaussian elimination at every site.

    Raises
    ------
    ConfigError
        If sites couple, or components of one site live at different places.
    """

    method = "pointwise elimination"

    def __init__(self, equations: Equations) -> None:
        operator = equations.operator
        if not operator.linear.pointwise or not operator.unknowns.together:
            raise ConfigError(f'solver.{operator.problem.name}.method: sites couple here; use "auto"')
        self._unknowns = operator.unknowns
        self._context = operator.setting.context
        self.update(equations)

    def update(self, equations: Equations) -> None:
        """Take up coefficients that have changed."""
        operator, size = equations.operator, equations.operator.linear.size
        self._matrices = []
        for piece in self._unknowns.pieces:
            matrix = np.zeros((*piece.shape, size))
            for entry in operator.linear.entries:
                matrix[..., entry.row, entry.column] = operator.values(entry, piece)
            self._matrices.append(matrix)

    def solve(self, b: Vector, x: Vector, rtol: float, atol: float) -> Outcome:
        """Solve every site; singular sites make the outcome one that did not converge."""
        regular = True
        for piece, matrix in zip(self._unknowns.pieces, self._matrices, strict=True):
            right, target = self._unknowns.view(b, piece), self._unknowns.view(x, piece)
            try:
                target[...] = np.linalg.solve(matrix, right[..., None])[..., 0]
            except np.linalg.LinAlgError:
                regular = False
        ok = self._context.agree(regular and bool(np.isfinite(x).all()))
        norm = self._unknowns.norm(b)
        reason = "solved" if ok else "the matrix of a site is singular"
        return Outcome(self.method, ok, reason, 0, (norm, 0.0 if ok else norm))

    def free(self) -> None:
        """Nothing is held."""
