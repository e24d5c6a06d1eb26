"""Time integration by PETSc, an alternative to our own implicit schemes for stiff systems."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.petsc.equation import Equation, ImplicitPart
from hpcsim.solvers.petsc.linear import Parts, refuse_own_matrix
from hpcsim.solvers.petsc.options import SolverOptions
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.petsc.reasons import linear_reason, nonlinear_reason, time_reason
from hpcsim.solvers.petsc.vectors import Slot
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.choose import AUTO

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System

Vector = NDArray[np.float64]
Progress = Callable[[int, float], object]

_IMPLICIT = {
    "backward_euler": "beuler",
    "crank_nicolson": "cn",
    "theta": "theta",
    "bdf": "bdf",
    "arkimex": "arkimex",
    "rosenbrock": "rosw",
}
_EXPLICIT = {"runge_kutta": "rk", "ssp": "ssp"}
_ADDITIVE = "arkimex"
SCHEMES = (*_IMPLICIT, *_EXPLICIT)
"""Names of the schemes; order and variant are options: ``ts_bdf_order``, ``ts_arkimex_type``, ``ts_theta_theta``."""


@dataclass(frozen=True)
class Integration:
    """What came of a time integration; equal on all ranks but for the seconds.

    Attributes
    ----------
    outcome : Outcome
        Whether the final time was reached, and why it ended; its iterations are steps, its residuals those of the last
        Newton iteration.
    time : float
        Time that was reached.
    dt : float
        Step that the error control would take next.
    rejected : int
        Rejected steps.
    newton, linear : int
        Newton and Krylov iterations in all.
    """

    outcome: Outcome
    time: float
    dt: float
    rejected: int
    newton: int
    linear: int


class TsSolver(Owner):
    """Integrates a system of equations in time; every verb is collective.

    Parameters
    ----------
    library : Library
        PETSc.
    system : System
        Pattern or action of the Jacobian: of dg/du if the equation has no f, else of ``shift*df/dudot + df/du``.
    equation : Equation
        What is integrated.
    options : SolverOptions
        Options of the user, which win over everything else; freed with the solver.
    scheme : str
        One of `SCHEMES`.
    adaptive : bool
        Whether the step follows the estimated error; else it stays as given.
    rtol, atol : float
        Tolerances of the error of one step.
    preconditioner : str or Preconditioner
        As for `KspSolver`.
    max_steps : int
        Most steps of one call.
    progress : callable, optional
        ``progress(step, time)``.

    Raises
    ------
    ConfigError
        If the scheme is unknown, the equation lacks what it needs, or the preconditioner does not suit it.
    """

    def __init__(
        self,
        library: Library,
        system: System,
        equation: Equation,
        options: SolverOptions,
        scheme: str = "arkimex",
        adaptive: bool = True,
        rtol: float = 1e-6,
        atol: float = 1e-9,
        preconditioner: str | Preconditioner = AUTO,
        max_steps: int = 100_000,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self._library, self._options, self._equation = library, self.keep(options), equation
        self._parts: Parts | None = None
        self._settled = False
        self.method = f"PETSc {scheme}"
        try:
            self._check(scheme, equation)
            options.default({"ts_type": (_IMPLICIT | _EXPLICIT)[scheme]})
            options.default({"ts_adapt_type": "basic" if adaptive else "none"})
            self._u, self._f, self._g = (self.keep(Slot(library, system.count, system.size)) for _ in range(3))
            self._ts = self.keep(library.petsc.TS().create(library.comm))
            self._ts.setOptionsPrefix(options.prefix)
            apart = scheme == _ADDITIVE and equation.ifunction is not None
            if scheme in _IMPLICIT:
                self._connect(ImplicitPart(equation, system, not apart), preconditioner)
            if equation.rhs is not None and (apart or scheme in _EXPLICIT):
                self._ts.setRHSFunction(self._explicit, self._g.vec)
            self._configure(rtol, atol, max_steps, progress)
        except BaseException:
            self.abandon()
            raise

    def _check(self, scheme: str, equation: Equation) -> None:
        if scheme not in SCHEMES:
            raise ConfigError(unknown_name("scheme of PETSc", scheme, SCHEMES))
        fault = equation.fault(scheme in _IMPLICIT, scheme == _ADDITIVE)
        if fault:
            raise ConfigError(f"{self._options.name}: {scheme}: {fault}")

    def _connect(self, part: ImplicitPart, preconditioner: str | Preconditioner) -> None:
        """Give PETSc the implicit part, its Jacobian and a linear solver."""
        self._part = part
        self._parts = self.keep(Parts(self._library, part.system, self._options, preconditioner, signed=False))
        refuse_own_matrix(self._parts, self._options)
        self._ts.setIFunction(self._residual, self._f.vec)
        self._ts.setIJacobian(self._differentiate, self._parts.operator, self._parts.matrix)
        snes = self._ts.getSNES()
        # A good first guess leaves nothing to gain but rounding errors: a small step is then an end as well.
        snes.setTolerances(1e-8, 0.0, 1e-8, 20)
        snes.setConvergenceHistory(reset=True)
        ksp = snes.getKSP()
        self._parts.configure(ksp)
        ksp.setTolerances(1e-6, 0.0, max_it=1000)
        self.method = f"{self.method}, {self._parts.choice.name}"

    def _configure(self, rtol: float, atol: float, max_steps: int, progress: Progress | None) -> None:
        ts = self._ts
        ts.setExactFinalTime(self._library.petsc.TS.ExactFinalTime.MATCHSTEP)
        ts.setErrorIfStepFails(False)
        ts.setTolerances(rtol, atol)
        ts.setMaxSteps(max_steps)
        if progress is not None:
            ts.setMonitor(lambda _, step, now, u: progress(step, now))
        with self._explained():
            ts.setFromOptions()

    def _explained(self) -> Any:
        return self._library.errors(f"solver {self._options.name}")

    def _explicit(self, ts: Any, t: float, u: Any, g: Any) -> None:
        if self._equation.rhs is not None:
            self._equation.rhs(t, u.array_r, g.array_w)

    def _residual(self, ts: Any, t: float, u: Any, udot: Any, f: Any) -> None:
        self._part.residual(t, u.array_r, udot.array_r, f.array_w)

    def _differentiate(self, ts: Any, t: float, u: Any, udot: Any, shift: float, operator: Any, matrix: Any) -> None:
        data = self._part.entries(t, u.array_r, udot.array_r, shift)
        if data is not None and self._parts is not None:
            self._parts.update(data)
        for mat in (operator, matrix):
            mat.assemble()

    def _settle(self, u: Any, t: float, dt: float) -> None:
        """Set everything up at the starting point, so that unused options show before work is done."""
        self._ts.setUp()
        if self._parts is not None:
            rest = u.duplicate()
            rest.set(0.0)
            operators = (self._parts.operator, self._parts.matrix)
            self._ts.computeIJacobian(t, u, rest, 1.0 / dt, *operators)
            rest.destroy()
            ksp = self._ts.getSNES().getKSP()
            ksp.setOperators(*operators)
            ksp.setUp()
            ksp.setUpOnBlocks()
        self._options.settle()
        self._settled = True

    def advance(self, u: Vector, t: float, until: float, dt: float) -> Integration:
        """Integrate from one time to another, which is met exactly.

        Parameters
        ----------
        u : ndarray of float64
            Values at `t`, and the result at the time that was reached.
        t, until : float
            Beginning and end. Schemes of several steps start anew.
        dt : float
            First step; every step, if they are not adaptive.

        Returns
        -------
        Integration
            Not converged if a nonlinear solve failed, or there were too many steps or rejections.

        Raises
        ------
        ConfigError
            If the vector has the wrong form, or an option was not used.
        """
        ts = self._ts
        begun = time.perf_counter()
        with self._u.holding(u, f"{self._options.name}: solution") as values, self._explained():
            ts.setTime(t)
            ts.setMaxTime(until)
            ts.setTimeStep(dt)
            ts.setStepNumber(0)
            if not self._settled:
                ts.setSolution(values)
                self._settle(values, t, dt)
            ready = time.perf_counter()
            ts.solve(values)
        seconds = {"set-up": ready - begun, "solve": time.perf_counter() - ready}
        self._options.settle(finished=True)
        return self._integration(seconds)

    def _integration(self, seconds: dict[str, float]) -> Integration:
        ts = self._ts
        code, steps = ts.getConvergedReason(), ts.getStepNumber()
        reason = time_reason(code)
        residuals: tuple[float, ...] = ()
        finished = self._library.petsc.TS.ConvergedReason
        if self._parts is not None:
            snes = ts.getSNES()
            residuals = tuple(float(norm) for norm in snes.getConvergenceHistory()[0])
            if code == finished.DIVERGED_NONLINEAR_SOLVE:
                reason += f": {nonlinear_reason(snes.getConvergedReason())}"
                reason += f" ({linear_reason(snes.getKSP().getConvergedReason())})"
        reached = code in (finished.CONVERGED_TIME, finished.CONVERGED_EVENT, finished.CONVERGED_USER)
        outcome = Outcome(self.method, reached, reason, steps, residuals, seconds)
        counts = (ts.getStepRejections(), ts.getSNESIterations(), ts.getKSPIterations())
        return Integration(outcome, ts.getTime(), ts.getTimeStep(), *counts)
