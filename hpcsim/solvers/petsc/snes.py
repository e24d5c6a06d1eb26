"""Nonlinear solves by PETSc: Newton's method with a line search."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.petsc.linear import Parts, refuse_own_matrix
from hpcsim.solvers.petsc.options import SolverOptions
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.petsc.reasons import FAILED_LINEAR, linear_reason, nonlinear_reason
from hpcsim.solvers.petsc.vectors import Slot
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.choose import AUTO, Choice

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System

Vector = NDArray[np.float64]
Residual = Callable[[Vector, Vector], object]
"""``residual(x, f)`` fills f; x is read-only."""
Refresh = Callable[[Vector], Vector | None]
"""``jacobian(x)`` returns the new entries of the matrix in the order of its rows, or None if there is no matrix or it
stays as it is; the action of a matrix-free Jacobian is the one at this x from then on."""
Progress = Callable[[int, float], object]


class SnesSolver(Owner):
    """Finds x with ``residual(x) = 0``; every verb is collective.

    Parameters
    ----------
    library : Library
        PETSc.
    system : System
        The Jacobian: the pattern of its rows, or its action, or both.
    residual : callable
        ``residual(x, f)``.
    jacobian : callable
        ``jacobian(x)``, called before each linear solve.
    options : SolverOptions
        Options of the user, which win over everything else; freed with the solver.
    preconditioner : str or Preconditioner
        As for `KspSolver`.
    rtol, atol : float
        The two-norm of the residual at the end is at most ``max(rtol*first, atol)``.
    max_iterations : int
        Most Newton steps.
    linear_rtol, linear_iterations : float, int
        Tolerance and most iterations of each linear solve.
    progress : callable, optional
        ``progress(step, residual)``.

    Attributes
    ----------
    choice : Choice
        The preconditioner and why it was taken.
    method : str
        In words.

    Raises
    ------
    ConfigError
        If the preconditioner does not suit the system.
    """

    def __init__(
        self,
        library: Library,
        system: System,
        residual: Residual,
        jacobian: Refresh,
        options: SolverOptions,
        preconditioner: str | Preconditioner = AUTO,
        rtol: float = 1e-8,
        atol: float = 0.0,
        max_iterations: int = 50,
        linear_rtol: float = 1e-5,
        linear_iterations: int = 1000,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self._library, self._options = library, self.keep(options)
        self._residual, self._jacobian = residual, jacobian
        self._rtol, self._atol, self._limit = rtol, atol, max_iterations
        self._ready = False
        try:
            self._parts = self.keep(Parts(library, system, options, preconditioner))
            refuse_own_matrix(self._parts, options)
            self._x, self._f = (self.keep(Slot(library, system.count, system.size)) for _ in range(2))
            self._snes = self._make(linear_rtol, linear_iterations, progress)
        except BaseException:
            self.abandon()
            raise
        self.choice: Choice = self._parts.choice
        self.method = f"PETSc Newton, {self._parts.describe(self._snes.getKSP())}"

    def _make(self, linear_rtol: float, linear_iterations: int, progress: Progress | None) -> Any:
        snes = self.keep(self._library.petsc.SNES().create(self._library.comm))
        snes.setOptionsPrefix(self._options.prefix)
        self._options.default({"snes_type": "newtonls"})
        snes.setFunction(self._evaluate, self._f.vec)
        snes.setJacobian(self._differentiate, self._parts.operator, self._parts.matrix)
        # The size of a step says nothing about the residual: only the tolerances that were asked for count.
        snes.setTolerances(self._rtol, self._atol, 0.0, self._limit)
        snes.setConvergenceHistory(reset=True)
        ksp = snes.getKSP()
        self._parts.configure(ksp)
        ksp.setTolerances(linear_rtol, 0.0, max_it=linear_iterations)
        if progress is not None:
            snes.setMonitor(lambda _, step, norm: progress(step, norm))
        with self._parts.explained():
            snes.setFromOptions()
        return snes

    def _evaluate(self, snes: Any, x: Any, f: Any) -> None:
        """The residual, with the sign of the matrix."""
        target = f.array_w
        self._residual(x.array_r, target)
        if self._parts.sign != 1.0:
            np.multiply(target, self._parts.sign, out=target)

    def _differentiate(self, snes: Any, x: Any, operator: Any, matrix: Any) -> None:
        """New entries of the Jacobian."""
        data = self._jacobian(x.array_r)
        if data is not None:
            self._parts.update(data)
        for mat in (operator, matrix):
            mat.assemble()

    def _set_up(self, x: Any) -> None:
        """Set the linear solver up at the starting point, so that unused options show before work is done."""
        snes = self._snes
        snes.setUp()
        snes.computeJacobian(x, self._parts.operator, self._parts.matrix)
        ksp = snes.getKSP()
        ksp.setUp()
        ksp.setUpOnBlocks()
        self._options.settle()
        self._ready = True

    def solve(self, x: Vector) -> Outcome:
        """Improve `x` until the residual is small enough.

        Parameters
        ----------
        x : ndarray of float64
            Starting value, and the result.

        Returns
        -------
        Outcome
            Equal on all ranks; not converged if the tolerance was not reached or a linear solve failed.

        Raises
        ------
        ConfigError
            If the vector has the wrong form, or an option was not used.
        """
        begun = time.perf_counter()
        with self._x.holding(x, f"{self._options.name}: solution") as solution, self._parts.explained():
            if not self._ready:
                self._set_up(solution)
            ready = time.perf_counter()
            self._snes.solve(None, solution)
        outcome = self._outcome({"set-up": ready - begun, "solve": time.perf_counter() - ready})
        self._options.settle(finished=True)
        return outcome

    def _outcome(self, seconds: dict[str, float]) -> Outcome:
        snes = self._snes
        code = snes.getConvergedReason()
        reason = nonlinear_reason(code)
        if reason == FAILED_LINEAR:
            reason += f": {linear_reason(snes.getKSP().getConvergedReason())}"
        norms = snes.getConvergenceHistory()[0]
        history = tuple(float(norm) for norm in norms)
        return Outcome(self.method, code > 0, reason, snes.getIterationNumber(), history, seconds)
