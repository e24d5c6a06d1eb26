"""An implicit stage compiled for a run: finds the registers for which every residual vanishes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcsim.config.sections.solver import STEP
from hpcsim.solvers.choose import Choice, choose
from hpcsim.solvers.linear import LINEAR_SOLVERS
from hpcsim.solvers.linear.base import Equations, LinearSolver
from hpcsim.solvers.newton import newton
from hpcsim.solvers.operator import Operator
from hpcsim.solvers.outcome import Outcome
from hpcsim.sweeps.compiled import CompiledSweep
from hpcsim.symbolic.expr import Symbol

if TYPE_CHECKING:
    from hpcsim.solvers.options import SolverOptions
    from hpcsim.solvers.petsc.session import Session
    from hpcsim.solvers.unknowns import Vector
    from hpcsim.sweeps.setting import Setting
    from hpcsim.sweeps.sweep import Solve


class CompiledSolve:
    """A problem with its operator and solver; every verb is collective.

    A linear problem is one linear solve, started from the unknowns as they are; any other is solved by Newton's method.

    Parameters
    ----------
    problem : Solve
        What is solved; its time is not looked at.
    setting : Setting
        The run.
    options : SolverOptions
        What was asked for.
    session : Session
        PETSc, if it is needed.

    Attributes
    ----------
    outcome : Outcome or None
        The last solve.
    choice : Choice or None
        The solver and why it was chosen, once the first solve has begun.
    """

    def __init__(self, problem: Solve, setting: Setting, options: SolverOptions, session: Session) -> None:
        self.problem = problem
        self.outcome: Outcome | None = None
        self.choice: Choice | None = None
        self._setting = setting
        self._options, self._session = options, session
        self._guess = [CompiledSweep(sweep, setting) for sweep in problem.guess]
        self._directions = setting.ghosts.homogeneous()
        self.operator = Operator(problem, setting, self._directions)
        self._solver: LinearSolver | None = None
        self._prepared: tuple[float, ...] | None = None
        self._solves = self._iterations = 0
        coefficients = [entry.coefficient for entry in self.operator.linear.entries]
        self._timed = any(node == Symbol("t") for expr in coefficients for node in expr.walk())

    def run(self, t: float, dt: float) -> None:
        """Solve at time t, for a step of dt.

        Raises
        ------
        ConvergenceError
            On all ranks, if the tolerance was not reached; the unknowns are then undefined.
        """
        with self._setting.timers.region("solve"):
            for sweep in self._guess:
                sweep.run({**self._setting.values, "t": t, "dt": dt})
            solve = self._linear if self.operator.linear.linear else self._nonlinear
            self.outcome = solve(t, dt)
        self._solves += 1
        self._iterations += self.outcome.iterations
        self.outcome.check(self.problem.name, self._advice())

    def _linear(self, t: float, dt: float) -> Outcome:
        """With unknowns of zero the residual is minus the right side."""
        operator, (b, x) = self.operator, self._vectors
        solver = self._ready(t, dt)
        operator.get(x)
        operator.clear()
        operator.residual(t, dt, b)
        np.negative(b, out=b)
        outcome = solver.solve(b, x, self._options.rtol, self._options.atol)
        operator.set(x)
        return outcome

    @cached_property
    def _vectors(self) -> tuple[Vector, Vector]:
        """Right side and solution of linear solves; memory that is touched for the first time is slow."""
        return self.operator.vector(), self.operator.vector()

    def _nonlinear(self, t: float, dt: float) -> Outcome:
        operator, options = self.operator, self._options

        def residual(x: Vector, out: Vector) -> Vector:
            operator.set(x)
            return operator.residual(t, dt, out)

        def step(b: Vector, d: Vector, rtol: float) -> Outcome:
            return self._ready(t, dt, again=True).solve(b, d, rtol, 0.0)

        x = operator.get(operator.vector())
        limit = options.newton_iterations
        outcome = newton(operator.unknowns, residual, step, x, options.newton_rtol, options.atol, limit)
        operator.set(x)
        return outcome

    def _ready(self, t: float, dt: float, again: bool = False) -> LinearSolver:
        """The linear solver with coefficients of this step."""
        key = (dt, t) if self._timed else (dt,)
        if self._solver is not None and key == self._prepared and not again and not self.operator.changes:
            return self._solver
        self.operator.prepare(t, dt)
        equations = Equations(self.operator, self._directions.conditions, self._options, self._session, t, dt)
        if self._solver is None:
            self.choice = choose(equations)
            self._solver = LINEAR_SOLVERS.get(self.choice.method)(equations)
        else:
            self._solver.update(equations)
        self._prepared = key
        return self._solver

    def record(self) -> dict[str, Any]:
        """What the record of a run says of this solver."""
        if self.outcome is None or self.choice is None:
            return {}
        return {
            "method": self.choice.method, "reason": self.choice.reason, "solver": self.outcome.method,
            "solves": self._solves, "iterations": self._iterations, "reduction": self.outcome.reduction,
        }  # fmt: skip

    def _advice(self) -> str:
        """What may help if a solve does not converge."""
        name, choice = self.problem.name, self.choice
        if not self.operator.linear.linear:
            nearer = (
                "take a smaller run.dt" if name == STEP else f"give [initial] values of {name} nearer to the solution"
            )
            return f"{nearer}, raise solver.{name}.newton_iterations or loosen solver.{name}.newton_rtol"
        if choice is not None and choice.method == "pointwise":
            return "check the equations: at some site they do not determine their unknowns"
        chosen = "" if choice is None else f" (chosen: {choice.method}, {choice.reason})"
        return f"raise solver.{name}.max_iterations, loosen solver.{name}.rtol or change solver.{name}.method{chosen}"

    def free(self) -> None:
        """Give back the solver and the messages."""
        if self._solver is not None:
            self._solver.free()
            self._solver = None
        self._directions.free()
