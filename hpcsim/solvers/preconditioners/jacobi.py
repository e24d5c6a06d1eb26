"""Division by the diagonal."""

from __future__ import annotations

from hpcsim.solvers.preconditioners.base import Preconditioner


class Jacobi(Preconditioner):
    """Division by the diagonal of the matrix: cheap, enough for matrices that the diagonal dominates."""

    pc_type = "jacobi"
