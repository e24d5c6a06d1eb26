"""Incomplete factorisations of the whole matrix, on one rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.block_jacobi import checked_levels

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System


class IncompleteLU(Preconditioner):
    """ILU(k) of the whole matrix: one rank only.

    Parameters
    ----------
    levels : int
        Levels of fill k.
    """

    pc_type = "ilu"

    def __init__(self, levels: int = 0) -> None:
        super().__init__()
        self.levels = checked_levels(levels)

    def obstacle(self, library: Library, system: System) -> str:
        """Several ranks."""
        if library.context.size > 1:
            return f"{self.pc_type} works on one rank; use block_jacobi or additive_schwarz, which have it inside"
        return ""

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Levels of fill."""
        return {"pc_factor_levels": str(self.levels)}


class IncompleteCholesky(IncompleteLU):
    """ICC(k) of a symmetric matrix: half the work of ILU(k), one rank only.

    Parameters
    ----------
    levels : int
        Levels of fill k.
    """

    pc_type = "icc"

    def obstacle(self, library: Library, system: System) -> str:
        """Several ranks, or a matrix that is not symmetric."""
        return super().obstacle(library, system) or (
            "" if system.symmetric else "icc needs a symmetric matrix; use ilu"
        )
