"""Our own multigrid as a preconditioner of PETSc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsim.solvers.preconditioners.action import ActionPC
from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.options import SolverOptions
    from hpcsim.solvers.petsc.system import System


class NativeMultigrid(Preconditioner):
    """One cycle of the native block multigrid: elliptic operators on a rectangular lattice, no matrix needed.

    The cycle may work in lower precision or differ from call to call, so the Krylov method is a flexible one: FCG after
    Notay, SIAM J. Sci. Comput. 22 (2000) 1444, or FGMRES.
    """

    pc_type = "python"
    needs_rows = False
    flexible = True

    def obstacle(self, library: Library, system: System) -> str:
        """A system without the native cycle."""
        if system.multigrid is None:
            return "native_multigrid needs the native cycle, which this operator does not have; use gamg"
        return ""

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Keep one direction: more cost memory traffic and gain nothing with a nearly constant cycle."""
        return {"ksp_fcg_mmax": "1"}

    def attach(self, pc: Any, library: Library, system: System, options: SolverOptions, sign: float) -> None:
        """Hand the cycle over."""
        if system.multigrid is not None:
            pc.setPythonContext(ActionPC("native multigrid", system.multigrid, sign))
