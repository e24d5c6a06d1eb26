"""Linear solves by PETSc."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.petsc.linear import Parts
from hpcsim.solvers.petsc.options import SolverOptions
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.petsc.reasons import linear_reason
from hpcsim.solvers.petsc.vectors import Slot
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.choose import AUTO, Choice

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System

Vector = NDArray[np.float64]
Progress = Callable[[int, float], object]
"""Called with the number of the iteration and the norm of the residual, on all ranks."""

# The method that computes every residual from the solution.
_MEASURES = "richardson"
# So much above the tolerance the true residual may be by rounding errors.
_DRIFT = 10.0


class KspSolver(Owner):
    """Solves one system for many right-hand sides; every verb is collective.

    Parameters
    ----------
    library : Library
        PETSc.
    system : System
        What is solved.
    options : SolverOptions
        Options of the user, which win over everything else; freed with the solver.
    preconditioner : str or Preconditioner
        A name in the table of preconditioners, an object, or ``"auto"``.
    rtol, atol : float
        The two-norm of the residual at the end is at most ``max(rtol*|b|, atol)``.
    max_iterations : int
        Most iterations.
    progress : callable, optional
        ``progress(iteration, residual)``, called in every iteration.

    Attributes
    ----------
    choice : Choice
        The preconditioner and why it was taken.
    method : str
        Krylov method and preconditioner, in words.

    Raises
    ------
    ConfigError
        If the preconditioner does not suit the system, or an option was not used.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> from hpcsim.solvers.petsc.library import Library
    >>> from hpcsim.solvers.petsc.options import OptionBook, SolverOptions
    >>> from hpcsim.solvers.petsc.system import system_of
    >>> from hpcsim.solvers.rows import Rows
    >>> rows = Rows.of([0, 2, 4], [0, 1, 0, 1], [2.0, -1.0, -1.0, 2.0])
    >>> x = np.zeros(2)
    >>> with Library(Context.serial()) as library:  # doctest: +SKIP
    ...     options = SolverOptions(library, "phi", OptionBook([("ksp_type", "cg")], ["phi"]))
    ...     with KspSolver(library, system_of(rows, symmetric=True), options) as solver:
    ...         outcome = solver.solve(np.ones(2), x).check("phi")
    """

    def __init__(
        self,
        library: Library,
        system: System,
        options: SolverOptions,
        preconditioner: str | Preconditioner = AUTO,
        rtol: float = 1e-8,
        atol: float = 0.0,
        max_iterations: int = 1000,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self._library, self._options = library, self.keep(options)
        self._rtol, self._atol = rtol, atol
        try:
            self._parts = self.keep(Parts(library, system, options, preconditioner))
            self._b, self._x = (self.keep(Slot(library, system.count, system.size)) for _ in range(2))
            self._ksp = self._make(max_iterations, progress)
            options.settle()
        except BaseException:
            self.abandon()
            raise
        self.choice: Choice = self._parts.choice
        self.method = self._parts.describe(self._ksp)

    def _make(self, max_iterations: int, progress: Progress | None) -> Any:
        """The solver of PETSc, set up as far as it can be without a right-hand side."""
        ksp = self.keep(self._library.petsc.KSP().create(self._library.comm))
        ksp.setOptionsPrefix(self._options.prefix)
        self._parts.configure(ksp)
        ksp.setTolerances(self._rtol, self._atol, max_it=max_iterations)
        ksp.setConvergenceHistory(reset=True)
        if progress is not None:
            ksp.setMonitor(lambda _, iteration, norm: progress(iteration, norm))
        with self._parts.explained():
            ksp.setFromOptions()
            ksp.setUp()
            ksp.setUpOnBlocks()
        self._residual = self.keep(self._parts.operator.createVecLeft())
        return ksp

    def update(self, data: Vector, keep_preconditioner: bool = False) -> None:
        """Give the entries of the matrix other values.

        Parameters
        ----------
        data : ndarray of float64
            Values in the order of the rows.
        keep_preconditioner : bool
            Go on with the preconditioner of the old values, which is cheaper and may need more iterations.
        """
        self._ksp.getPC().setReusePreconditioner(keep_preconditioner)
        self._parts.update(data)

    def solve(self, b: Vector, x: Vector, rtol: float | None = None, atol: float | None = None) -> Outcome:
        """Improve `x` until the residual is small enough.

        Parameters
        ----------
        b : ndarray of float64
            Right-hand side of this rank; what the left null space has of it is left out of account.
        x : ndarray of float64
            Starting value, and the result.
        rtol, atol : float, optional
            Tolerances of this solve; by default those of the solver. Options of the user win.

        Returns
        -------
        Outcome
            Equal on all ranks; not converged if the tolerance was not reached.

        Raises
        ------
        ConfigError
            If a vector has the wrong form, or an option was not used in the first solve either.
        """
        ksp, parts, name = self._ksp, self._parts, self._options.name
        self._set_tolerances(self._rtol if rtol is None else rtol, self._atol if atol is None else atol)
        with self._x.holding(x, f"{name}: solution") as solution, self._right_side(b) as right, parts.explained():
            # A start from zero spares a product with the matrix.
            ksp.setInitialGuessNonzero(self._library.context.any(bool(x.any())))
            parts.operator.getNullSpace().remove(solution)
            begun = time.perf_counter()
            ksp.setUp()
            ready = time.perf_counter()
            ksp.solve(right, solution)
            parts.operator.getNullSpace().remove(solution)
            seconds = {"set-up": ready - begun, "solve": time.perf_counter() - ready}
            outcome = self._outcome(right, solution, seconds)
        self._options.settle(finished=True)
        return outcome

    @contextmanager
    def _right_side(self, b: Vector) -> Iterator[Any]:
        """The right-hand side with the sign of the matrix."""
        what = f"{self._options.name}: right-hand side"
        if self._parts.sign == 1.0:
            with self._b.holding(b, what) as held:
                yield held
            return
        self._b.check(b, what)
        with self._b.vec as own:
            np.multiply(b, self._parts.sign, out=own)
        yield self._b.vec

    def _set_tolerances(self, rtol: float, atol: float) -> None:
        """Take tolerances over, but for those that the user gave as options."""
        given = self._options.given
        now = self._ksp.getTolerances()
        self._ksp.setTolerances(
            rtol if given("ksp_rtol") is None else now[0], atol if given("ksp_atol") is None else now[1]
        )

    def _outcome(self, right: Any, solution: Any, seconds: dict[str, float]) -> Outcome:
        """What PETSc says of the solve, if the residual says so too."""
        ksp, kinds = self._ksp, self._library.petsc.KSP.NormType
        code, iterations = ksp.getConvergedReason(), ksp.getIterationNumber()
        history = tuple(float(norm) for norm in ksp.getConvergenceHistory())
        reason, converged = linear_reason(code), code > 0
        norm_type = ksp.getNormType()
        if converged and norm_type in (kinds.NONE, kinds.UNPRECONDITIONED) and ksp.getType() != _MEASURES:
            first, last = right.norm(), self._true_residual(right, solution)
            rtol, atol, _, _ = ksp.getTolerances()
            # PETSc measures against the start where the right side is zero.
            goal = max(rtol * (first or max(history, default=0.0)), atol)
            if norm_type == kinds.NONE:
                history = (first, last)
            # Residuals by recurrence may shrink while the true one stays, as they do for a system without a solution.
            converged = last <= (goal if norm_type == kinds.NONE else _DRIFT * goal)
            if not converged:
                reason = f"{reason}, but the true residual is {last:.3g}, above the tolerance of {goal:.3g}"
        return Outcome(self.method, converged, reason, iterations, history, seconds)

    def _true_residual(self, right: Any, solution: Any) -> float:
        """Norm of b - A x, without what the left null space has of it."""
        operator, residual = self._parts.operator, self._residual
        operator.mult(solution, residual)
        residual.aypx(-1.0, right)
        operator.getTransposeNullSpace().remove(residual)
        return float(residual.norm())
