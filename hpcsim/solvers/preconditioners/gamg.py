"""Algebraic multigrid of PETSc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System


class Gamg(Preconditioner):
    """Algebraic multigrid by smoothed aggregation (GAMG): elliptic operators on any lattice, variable coefficients.

    A matrix that is not symmetric gets plain aggregation and a smoother that needs no bounds of its spectrum.
    """

    pc_type = "gamg"

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Aggregation that suits the symmetry of the matrix, and a coarse solver that suits its null space."""
        found = {"pc_gamg_type": "agg", "pc_gamg_agg_nsmooths": "1"}
        if not system.symmetric:
            found |= {"pc_gamg_agg_nsmooths": "0", "mg_levels_ksp_type": "richardson", "mg_levels_pc_type": "sor"}
        if system.null_space is not None:
            # A factorisation would fill the solution with the null space and drown it in rounding errors.
            found["mg_coarse_sub_pc_type"] = "svd"
        return found
