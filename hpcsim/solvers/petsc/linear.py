"""The parts of a linear solve that Krylov, Newton and time-stepping solvers share: operator, matrix, preconditioner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.petsc.matrix import KINDS, Matrix, Shell, negative_diagonal
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.choose import AUTO, choose

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.options import SolverOptions
    from hpcsim.solvers.petsc.system import System

# Methods that can measure the residual itself rather than the preconditioned one, and the side they need for it.
_TRUE_RESIDUAL = {
    "cg": "left",
    "fcg": "left",
    "richardson": "left",
    "gmres": "right",
    "fgmres": "right",
    "gcr": "right",
    "bcgs": "right",
    "fbcgs": "right",
}


class Parts(Owner):
    """Operator and preconditioner of a system, made to suit each other; creation is collective.

    Parameters
    ----------
    library : Library
        PETSc.
    system : System
        What is solved.
    options : SolverOptions
        Options of the user; those for the preconditioner win over what is chosen here.
    preconditioner : str or Preconditioner
        A name in the table, an object, or ``"auto"``.
    signed : bool
        Whether the sign of a matrix with a negative diagonal is changed.

    Attributes
    ----------
    choice : Choice
        The preconditioner and why it was taken.
    sign : float
        Factor by which the matrix PETSc sees differs from the one of the system: -1 if its diagonal is negative.
    operator, matrix : petsc4py.PETSc.Mat
        What is solved, and what the preconditioner is made from.

    Raises
    ------
    ConfigError
        If the preconditioner does not suit the system.
    """

    def __init__(
        self,
        library: Library,
        system: System,
        options: SolverOptions,
        preconditioner: str | Preconditioner = AUTO,
        signed: bool = True,
    ) -> None:
        super().__init__()
        self._library, self._system, self._options = library, system, options
        self.choice = choose(library, system, preconditioner, options.given("pc_type"))
        self.preconditioner = self.choice.preconditioner
        wanted = self.preconditioner.needs_rows or system.apply is None
        rows = system.rows if wanted else None
        # Methods for positive definite matrices meet our elliptic operators, which are negative definite.
        self.sign = -1.0 if signed and rows is not None and negative_diagonal(library, rows) else 1.0
        self._assembled: Matrix | None = None
        if rows is not None:
            self._assembled = self.keep(
                Matrix(library, rows, self._storage(), self.sign, system.symmetric, system.null_space, options.prefix)
            )
            self.matrix: Any = self._assembled.mat
        if system.apply is not None:
            sizes = (system.count, system.size)
            shell = Shell(library, *sizes, system.apply, self.sign, system.block_size, system.null_space)
            self.operator: Any = self.keep(shell).mat
            self.matrix = self.operator if rows is None else self.matrix
        else:
            self.operator = self.matrix
        self.keep(self.preconditioner)

    def _storage(self) -> str:
        """What the user asked for, or what suits the preconditioner."""
        asked = self._options.asked("mat_type")
        if asked is None:
            return self.preconditioner.storage(self._system)
        if asked not in KINDS:
            raise ConfigError(f"option -{self._options.prefix}mat_type: {unknown_name('storage', asked, KINDS)}")
        return asked

    @property
    def method(self) -> str:
        """Type of the Krylov method."""
        return self._options.given("ksp_type") or self.preconditioner.krylov(self._library, self._system)

    def configure(self, ksp: Any) -> None:
        """Give a Krylov solver its operators, its preconditioner and default options; call before options are read."""
        library, system, chosen = self._library, self._system, self.preconditioner
        kind = chosen.kind(library)
        self._options.default({"ksp_type": self.method, "pc_type": kind, **chosen.options(library, system)})
        side = _TRUE_RESIDUAL.get(self.method)
        if side is not None and self._options.given("ksp_pc_side") is None:
            self._options.default({"ksp_norm_type": "unpreconditioned", "ksp_pc_side": side})
        ksp.setOperators(self.operator, self.matrix)
        pc = ksp.getPC()
        with self.explained():
            pc.setType(kind)
            # Smoothers work with the assembled matrix, which is cheaper than an action and always there.
            pc.setUseAmat(False)
            chosen.attach(pc, library, system, self._options, self.sign)

    def explained(self) -> Any:
        """Turn errors of PETSc within the block into ours, with the name of the solver."""
        return self._library.errors(f"solver {self._options.name}")

    def update(self, data: NDArray[np.float64]) -> None:
        """Give the entries of the matrix other values; collective."""
        if self._assembled is not None:
            self._assembled.update(data)
            self.preconditioner.update(self._assembled.rows)

    def describe(self, ksp: Any) -> str:
        """Krylov method and preconditioner, as they are after all options."""
        pc = ksp.getPC()
        kind = pc.getType()
        if kind == "hypre":
            kind = f"hypre {pc.getHYPREType()}"
        elif kind == "python":
            kind = pc.getPythonContext().name
        return f"PETSc {ksp.getType()} with {kind}"


def refuse_own_matrix(parts: Parts, options: SolverOptions) -> None:
    """Refuse preconditioners that put a matrix of their own in place of the Jacobian.

    Raises
    ------
    ConfigError
        If this is one.
    """
    if parts.preconditioner.own_matrix:
        name = parts.choice.name
        raise ConfigError(
            f"{options.name}: preconditioner {name} cannot follow a changing Jacobian; use gamg or geometric"
        )
