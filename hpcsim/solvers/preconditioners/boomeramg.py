"""Algebraic multigrid of hypre."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System

NO_HYPRE = "PETSc {version} was built without hypre; use gamg, or a build with it ('--download-hypre')"


class BoomerAmg(Preconditioner):
    """Algebraic multigrid BoomerAMG of hypre: elliptic operators on any lattice, variable coefficients.

    HMIS coarsening with extended interpolation after De Sterck, Yang and Heys, SIAM J. Matrix Anal. Appl. 27 (2006)
    1019, cheaper in three dimensions than the default of hypre.
    """

    pc_type = "hypre"

    def obstacle(self, library: Library, system: System) -> str:
        """A PETSc without hypre."""
        return "" if library.has("hypre") else NO_HYPRE.format(version=library.version)

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Coarsening, interpolation and the limit of strong couplings."""
        planar = system.grid is not None and len(system.grid.axes) <= 2
        found = {
            "pc_hypre_type": "boomeramg",
            "pc_hypre_boomeramg_coarsen_type": "HMIS",
            "pc_hypre_boomeramg_interp_type": "ext+i",
            "pc_hypre_boomeramg_strong_threshold": "0.25" if planar else "0.5",
        }
        if system.null_space is not None:
            # Elimination would fill the solution with the null space and drown it in rounding errors.
            found["pc_hypre_boomeramg_relax_type_coarse"] = "symmetric-SOR/Jacobi"
        return found
