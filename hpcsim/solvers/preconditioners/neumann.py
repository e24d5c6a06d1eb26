"""The truncated Neumann series of a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hpcsim.comm.context import Context
    from hpcsim.solvers.rows import Rows

_SHARE = 4.0 / 3.0


class NeumannSeries:
    """``M^-1 = sum over k = 0..degree of (I - w D^-1 A)^k w D^-1`` with the diagonal D of A.

    Dubois, Greenbaum and Rodrigue, Computing 22 (1979) 257. The eigenvalues of ``D^-1 A`` are at most its largest sum
    of absolute values along a row; w is 4/3 over that bound, which makes the sum positive definite if A is.

    Parameters
    ----------
    context : Context
        The ranks.
    pc : petsc4py.PETSc.PC
        Preconditioner that will apply it, with its operators.
    degree : int
        Degree of the sum.
    sign : float
        Factor by which the matrix PETSc sees differs from the rows.
    """

    def __init__(self, context: Context, pc: Any, degree: int, sign: float = 1.0) -> None:
        self.name = f"Neumann series of degree {degree}"
        self._context, self._degree, self._sign = context, degree, sign
        matrix = pc.getOperators()[1]
        self._weights, self._product = matrix.createVecRight(), matrix.createVecLeft()

    def update(self, rows: Rows) -> None:
        """Take the diagonal and the bound from rows; collective."""
        diagonal = rows.diagonal()
        sums = np.bincount(rows.row_numbers(), np.abs(rows.data), rows.count)
        zeros = diagonal == 0.0
        inverse = 1.0 / np.where(zeros, 1.0, diagonal)
        bound = self._context.max(float((sums * np.abs(inverse)).max(initial=0.0)))
        with self._weights as weights:
            weights[:] = inverse * (self._sign * _SHARE / bound)

    def apply(self, pc: Any, r: Any, z: Any) -> None:
        """Z = M^-1 r, by as many steps of the Jacobi iteration from zero."""
        matrix = pc.getOperators()[1]
        z.pointwiseMult(self._weights, r)
        for _ in range(self._degree):
            matrix.mult(z, self._product)
            self._product.aypx(-1.0, r)
            self._product.pointwiseMult(self._product, self._weights)
            z.axpy(1.0, self._product)

    def free(self) -> None:
        """Give the work vectors back; collective. PETSc calls a verb ``destroy`` by itself, hence the name."""
        self._product.destroy()
        self._weights.destroy()
