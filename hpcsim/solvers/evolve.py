"""A step by PETSc's TS, compiled for a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsim.solvers.assemble import Assembly
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.linear.petsc import make_system
from hpcsim.solvers.operator import Operator
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.petsc.equation import Equation
from hpcsim.solvers.petsc.options import SolverOptions as PetscOptions
from hpcsim.solvers.petsc.ts import TsSolver
from hpcsim.sweeps.compiled import CompiledStage
from hpcsim.sweeps.sweep import Solve
from hpcsim.symbolic.expr import Access, Symbol, add, mul, power

if TYPE_CHECKING:
    from hpcsim.solvers.options import SolverOptions
    from hpcsim.solvers.petsc.session import Session
    from hpcsim.solvers.unknowns import Vector
    from hpcsim.sweeps.evolve import Evolve
    from hpcsim.sweeps.setting import Setting

_SCHEME = "arkimex"


class CompiledEvolve:
    """Carries an `Evolve` out; every verb is collective.

    The problem ``u/dt = implicit(u)`` is made an operator once. At dt = 1 its residual gives the implicit rates, at
    dt = 1/shift its derivative is the matrix that TS asks for.

    Parameters
    ----------
    problem : Evolve
        What is integrated.
    setting : Setting
        The run.
    options : SolverOptions
        What was asked for.
    session : Session
        PETSc.
    """

    def __init__(self, problem: Evolve, setting: Setting, options: SolverOptions, session: Session) -> None:
        self._problem, self._setting, self._options, self._session = problem, setting, options, session
        self._directions = setting.ghosts.homogeneous()
        origin = (0,) * setting.layout.domain.ndim
        residuals = tuple(
            add(mul(power(Symbol("dt"), -1), Access(*unknown, origin)), mul(-1, rate))
            for unknown, rate in zip(problem.unknowns, problem.implicit, strict=True)
        )
        self.operator = Operator(Solve(problem.name, 0.0, problem.unknowns, residuals), setting, self._directions)
        self._explicit = CompiledStage(self.operator.stage(problem.explicit), setting)
        self._solver: TsSolver | None = None
        self._assembly: Assembly | None = None
        self._steps = self._iterations = 0

    def run(self, t: float, dt: float) -> None:
        """Integrate from t to t + dt.

        Raises
        ------
        ConvergenceError
            If PETSc gave up; the message has its reason.
        """
        with self._setting.timers.region("solve"):
            if self._solver is None:
                self._solver = self._make(t, dt)
            u = self.operator.get(self.operator.vector())
            found = self._solver.advance(u, t, t + dt, dt)
            self.operator.set(u)
        self._steps += 1
        self._iterations += found.outcome.iterations
        found.outcome.check(self._problem.name, "loosen run.rtol, lower run.dt, or give options of TS in [petsc]")

    def _make(self, t: float, dt: float) -> TsSolver:
        self.operator.prepare(t, dt)
        equations = Equations(self.operator, self._directions.conditions, self._options, self._session, t, dt)
        self._assembly = Assembly(self.operator, equations.conditions)
        # The shift changes with every inner step, and with it the matrix: GMRES stands a preconditioner that lags.
        system = replace(make_system(equations, self._assembly.rows()), symmetric=False)
        equation = Equation(rhs=self._rates, rhs_jacobian=None, ifunction=self._implicit, ijacobian=self._jacobian)
        library = self._session.library
        options = PetscOptions(library, self._problem.name, self._session.book)
        values = self._setting.values
        return TsSolver(
            library, system, equation, options, _SCHEME, True, values["rtol"], values["atol"],
            self._options.preconditioner,
        )  # fmt: skip

    def _rates(self, t: float, u: Vector, g: Vector) -> None:
        """Explicit rates at u."""
        self.operator.set(u)
        self._explicit.run(t, 1.0)
        self.operator.results(g)

    def _implicit(self, t: float, u: Vector, udot: Vector, f: Vector) -> None:
        """Rate of change minus the implicit rates; the residual at dt = 1 is u minus these."""
        self.operator.set(u)
        self.operator.residual(t, 1.0, f)
        f += udot
        f -= u

    def _jacobian(self, t: float, u: Vector, udot: Vector, shift: float) -> Vector:
        assert self._assembly is not None
        self.operator.set(u)
        self.operator.prepare(t, 1.0 / shift)
        return self._assembly.rows().data

    @property
    def outcome(self) -> Outcome | None:
        """Nothing is kept of single solves."""
        return None

    def record(self) -> dict[str, Any]:
        """What the record of a run says."""
        if self._solver is None:
            return {}
        return {
            "method": "petsc", "reason": "the integrator is petsc_ts", "solver": self._solver.method,
            "solves": self._steps, "iterations": self._iterations, "reduction": 0.0,
        }  # fmt: skip

    def free(self) -> None:
        """Destroy the objects of PETSc and give back the messages."""
        if self._solver is not None:
            self._solver.free()
            self._solver = None
        self._directions.free()
