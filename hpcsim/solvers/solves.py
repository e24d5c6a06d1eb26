"""All joint parts of a run in their compiled form: one table from what is done to what does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from hpcsim.sweeps.evolve import Evolve
from hpcsim.sweeps.joint import Joint
from hpcsim.sweeps.sweep import Solve
from hpcsim.sweeps.transforms import Convolve, Propagate

if TYPE_CHECKING:
    from hpcsim.solvers.convolve import Convolutions
    from hpcsim.solvers.options import SolverOptions
    from hpcsim.solvers.petsc.session import Session
    from hpcsim.sweeps.setting import Setting


class CompiledJoint(Protocol):
    """A joint part ready to run; every verb is collective."""

    def run(self, t: float, dt: float) -> None:
        """Carry it out at time t, for a step of dt."""
        ...

    def record(self) -> dict[str, Any]:
        """What the record of a run says of it; empty if nothing."""
        ...

    def free(self) -> None:
        """Give back what it holds."""
        ...


class Solves:
    """Makes compiled parts and keeps them: parts that differ in their time alone share one.

    Parameters
    ----------
    setting : Setting
        The run.
    options : callable
        Options of a solver by its name.
    session : Session
        PETSc, if it is needed.
    """

    def __init__(self, setting: Setting, options: Callable[[str], SolverOptions], session: Session) -> None:
        self._setting = setting
        self._options = options
        self._session = session
        self._convolutions: Convolutions | None = None
        self.made: dict[Joint, CompiledJoint] = {}

    def __call__(self, problem: Joint) -> CompiledJoint:
        """The compiled form of a part; collective when it is new."""
        key = replace(problem, time=0.0)
        if key not in self.made:
            self.made[key] = self._compiled(key)
        return self.made[key]

    def _compiled(self, problem: Joint) -> CompiledJoint:
        # What each needs is loaded only for cases that have it.
        if isinstance(problem, Propagate):
            from hpcsim.solvers.propagate import CompiledPropagate

            return CompiledPropagate(problem, self._setting)
        if isinstance(problem, Convolve):
            return self._convolved(problem)
        options = self._options(problem.name)
        if isinstance(problem, Evolve):
            from hpcsim.solvers.evolve import CompiledEvolve

            return CompiledEvolve(problem, self._setting, options, self._session)
        assert isinstance(problem, Solve)
        from hpcsim.solvers.solve import CompiledSolve

        return CompiledSolve(problem, self._setting, options, self._session)

    def _convolved(self, problem: Convolve) -> CompiledJoint:
        from hpcsim.solvers.convolve import CompiledConvolve, Convolutions

        if self._convolutions is None:
            self._convolutions = Convolutions(self._setting)
        return CompiledConvolve(problem, self._setting, self._convolutions)

    def record(self) -> dict[str, dict[str, Any]]:
        """What the record of a run says, by the name of the solver; parts of one name are added up."""
        found: dict[str, dict[str, Any]] = {}
        for problem, solve in self.made.items():
            own = solve.record()
            before = found.get(problem.name)
            if before is not None and own:
                own |= {key: before[key] + own[key] for key in ("solves", "iterations")}
            if own:
                found[problem.name] = own
        return found

    def free(self) -> None:
        """Give all back, in the order in which they were made; collective."""
        for solve in self.made.values():
            solve.free()
        self.made.clear()
        if self._convolutions is not None:
            self._convolutions.free()
            self._convolutions = None
