"""Plain iterations of cycles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.multigrid.machine import Machine

Values = NDArray[np.float64]

SLOW = 0.3
"""A cycle that leaves more of the residual than this is worth a Krylov method."""

_TRIED = 4
_PATIENCE = 15


@dataclass(frozen=True)
class Goal:
    """When to end.

    Attributes
    ----------
    rtol, atol : float
        The residual is below ``max(rtol*|f|, atol)``.
    limit : int
        Most cycles.
    patient : bool
        Whether slow convergence is no reason to end.
    """

    rtol: float
    atol: float
    limit: int
    patient: bool

    def norm(self, right: float) -> float:
        """The residual that is small enough."""
        return max(self.rtol * right, self.atol)


@dataclass
class History:
    """How an iteration went.

    Attributes
    ----------
    goal : float
        The residual that is small enough.
    residuals : list of float
        Before the first cycle and after each.
    reason : str
        Why it ended, empty while it goes on.
    """

    goal: float
    residuals: list[float]
    reason: str = ""

    def add(self, norm: float, cycles: int, goal: Goal) -> bool:
        """Note the residual after so many cycles; whether to go on."""
        before = self.residuals[-1]
        ratio = norm / before if before > 0.0 else 0.0
        # Cycles between which the residual is not known count with their mean contraction.
        self.residuals += [before * ratio ** ((k + 1) / cycles) for k in range(cycles - 1)] + [norm]
        count = len(self.residuals) - 1
        if norm <= self.goal:
            self.reason = "tolerance reached"
        elif not np.isfinite(norm):
            self.reason = "diverged"
        elif not goal.patient and (count >= _TRIED or ratio > 1.0) and ratio ** (1 / cycles) > SLOW:
            self.reason = "slow"
        elif count >= goal.limit:
            self.reason = "too many cycles"
        elif goal.patient and count > _PATIENCE and norm > 0.5 * self.residuals[-1 - _PATIENCE]:
            self.reason = "stagnated"
        return not self.reason

    @property
    def rate(self) -> float:
        """Contraction of the last cycle."""
        return self.residuals[-1] / self.residuals[-2] if len(self.residuals) > 1 else 1.0


def mixed(machine: Machine, f: Values, guess: bool, goal: Goal, inner: int) -> History:
    """Cycles on the residual of the solution, `inner` at a time.

    The residual and the solution are in double precision, so rounding of the cycles only slows the convergence.

    Parameters
    ----------
    machine : Machine
        Has taken the arrays.
    f : float64 array
        Right side.
    guess : bool
        Whether the solution holds a first guess.
    goal : Goal
        When to end.
    inner : int
        Cycles between two residuals.
    """
    norm = machine.estimate(f)
    machine.expect(norm)
    if guess:
        right = norm if norm == 0.0 else float(np.sqrt(machine.dot(f, f)))
        machine.run("residual")
        history = History(goal.norm(right), [machine.norm()])
        if history.residuals[0] <= history.goal:
            history.reason = "tolerance reached"
            return history
    else:
        machine.expect_back()
        machine.run("first")
        right = machine.norm(loaded=True)
        history = History(goal.norm(right), [right])
        if right == 0.0:
            history.reason = "tolerance reached"
            return history
        history.add(machine.norm(), inner, goal)
    while not history.reason:
        # The last cycle alone if it is enough.
        one = history.residuals[-1] * history.rate <= 0.5 * history.goal and len(history.residuals) > 1
        machine.expect(history.residuals[-1] * history.rate)
        machine.run("last" if one else "next")
        history.add(machine.norm(), 1 if one else inner, goal)
    return history


def direct(machine: Machine, f: Values, guess: bool, goal: Goal) -> History:
    """Cycles on the iterate itself, all in the precision of the levels; `f` and the solution are passed once.

    The residual is known where it is restricted, so it costs no walk of its own.
    """
    norm = machine.estimate(f)
    machine.expect(norm)
    machine.expect_back()
    if guess:
        right = float(np.sqrt(machine.dot(f, f)))
        machine.run("residual")
        before = machine.norm()
        history = History(goal.norm(right), [before])
        if before <= history.goal:
            history.reason = "tolerance reached"
            return history
        machine.run("begin")
    else:
        machine.run("load")
        right = machine.norm(loaded=True)
        history = History(goal.norm(right), [right])
        if right == 0.0:
            history.reason = "tolerance reached"
    while not history.reason:
        machine.run("proceed")
        # The level holds the scaled residual.
        history.add(machine.norm() / machine.inward, 1, goal)
    machine.run("add" if guess else "set")
    return history
