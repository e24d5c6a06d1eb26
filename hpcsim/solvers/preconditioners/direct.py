"""Direct solvers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System


class Direct(Preconditioner):
    """A complete factorisation by MUMPS or SuperLU_DIST: small or badly conditioned systems.

    The residual is measured and improved by iterative refinement until it meets the tolerance. Without those packages
    one rank factorises by PETSc alone, and several ranks each factorise the whole matrix.
    """

    pc_type = "lu"

    def kind(self, library: Library) -> str:
        """A factorisation on all ranks together, or one on each of them."""
        return "redundant" if _package(library) == "petsc" and library.context.size > 1 else "lu"

    def krylov(self, library: Library, system: System) -> str:
        """Iterative refinement."""
        return "richardson"

    def options(self, library: Library, system: System) -> dict[str, str]:
        """The package; null pivots are looked for where the matrix is singular."""
        package = _package(library)
        found = {"pc_factor_mat_solver_type": package}
        if system.null_space is not None:
            found |= {"mat_mumps_icntl_24": "1"} if package == "mumps" else {"pc_factor_shift_type": "nonzero"}
        prefix = "redundant_" if self.kind(library) == "redundant" else ""
        return {prefix + key: value for key, value in found.items()}


def _package(library: Library) -> str:
    """The first package that is built in, ``"petsc"`` if none is."""
    return next((name for name in ("mumps", "superlu_dist") if library.has(name)), "petsc")
