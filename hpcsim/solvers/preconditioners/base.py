"""What a preconditioner is to a solver of PETSc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsim.solvers.petsc.owner import Owner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.options import SolverOptions
    from hpcsim.solvers.petsc.system import System
    from hpcsim.solvers.rows import Rows


class Preconditioner(Owner):
    """Base of the preconditioners: by default a type of PETSc with default options, all of which the user can override.

    Attributes
    ----------
    pc_type : str
        Type of the preconditioner in PETSc; see `kind`.
    needs_rows : bool
        Whether it looks at the entries of the matrix.
    flexible : bool
        Whether it may change from one application to the next.
    own_matrix : bool
        Whether it is made from another matrix than the one of the solver.
    """

    pc_type = "none"
    needs_rows = True
    flexible = False
    own_matrix = False

    def obstacle(self, library: Library, system: System) -> str:
        """Why it cannot be used for a system here, in words; empty if it can."""
        return ""

    def kind(self, library: Library) -> str:
        """Type of the preconditioner in this PETSc."""
        return self.pc_type

    def symmetric(self, library: Library, system: System) -> bool:
        """Whether it is symmetric and definite, as conjugate gradients need it."""
        return system.symmetric

    def krylov(self, library: Library, system: System) -> str:
        """Type of the Krylov method that suits it."""
        if self.symmetric(library, system):
            return "fcg" if self.flexible else "cg"
        return "fgmres" if self.flexible else "gmres"

    def storage(self, system: System) -> str:
        """How the matrix is best stored for it: ``"aij"`` or ``"baij"``."""
        return "aij"

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Options of PETSc that set it up, without ``pc_type``."""
        return {}

    def attach(self, pc: Any, library: Library, system: System, options: SolverOptions, sign: float) -> None:
        """Give PETSc what options cannot say; called once, before options are read; collective.

        Parameters
        ----------
        pc : petsc4py.PETSc.PC
            Of that type, with its operators.
        library : Library
            PETSc.
        system : System
            What is solved.
        options : SolverOptions
            Options of the solver.
        sign : float
            Factor by which the matrix PETSc sees differs from the one of the system.
        """

    def update(self, rows: Rows) -> None:
        """Take up new entries of the matrix; collective."""
