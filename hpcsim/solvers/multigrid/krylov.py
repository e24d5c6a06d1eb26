"""Krylov acceleration of cycles: where they are slow, and where the operator is not symmetric.

Orthomin(k), the truncated form of the generalised conjugate residual method (Eisenstat, Elman, Schultz, SIAM J. Numer.
Anal. 20 (1983) 345), with the cycle as right preconditioner: the residual never grows, and the preconditioner may
change from step to step.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.multigrid.iterate import Goal, History
from hpcsim.solvers.multigrid.machine import Machine

Values = NDArray[np.float64]

DIRECTIONS = 20
"""Most directions that are kept."""

KEPT_VALUES = 2**25
"""Most values in them on a rank, but for the least directions."""

LEAST_DIRECTIONS = 4


def orthomin(machine: Machine, f: Values, u: Values, right: float, goal: Goal) -> History:
    """Improve `u`, which holds a first guess.

    Parameters
    ----------
    machine : Machine
        Runs cycles and the operator.
    f, u : float64 array
        Right side, with what cannot be reached taken from it, and solution.
    right : float
        Norm of the right side.
    goal : Goal
        When to end.
    """
    r = np.empty_like(f)
    operate(machine, u, r)
    np.subtract(f, r, out=r)
    norm = math.sqrt(machine.dot(r, r))
    history = History(goal.norm(right), [norm])
    if norm <= history.goal:
        history.reason = "tolerance reached"
    kept: list[tuple[Values, Values, float]] = []
    work = np.empty_like(f)
    most = min(DIRECTIONS, max(LEAST_DIRECTIONS, KEPT_VALUES // (2 * max(1, f.size))))
    if machine.cut:
        most = int(machine.least(most))
    while not history.reason:
        z, q = kept.pop(0)[:2] if len(kept) == most else (np.empty_like(f), np.empty_like(f))
        precondition(machine, r, z, norm)
        operate(machine, z, q)
        for old_z, old_q, square in kept:
            share = machine.dot(q, old_q) / square
            q -= np.multiply(old_q, share, out=work)
            z -= np.multiply(old_z, share, out=work)
        square = machine.dot(q, q)
        if not square > 0.0 or not math.isfinite(square):
            history.reason = "broke down: a direction is in the kernel"
            break
        step = machine.dot(r, q) / square
        u += np.multiply(z, step, out=work)
        r -= np.multiply(q, step, out=work)
        norm = math.sqrt(machine.dot(r, r))
        kept.append((z, q, square))
        history.add(norm, 1, goal)
    return history


def precondition(machine: Machine, r: Values, z: Values, norm: float) -> None:
    """One cycle from zero."""
    machine.take(r, z)
    machine.expect(norm)
    machine.expect_back()
    machine.run("strong")
    machine.solution.get(z)


def operate(machine: Machine, u: Values, out: Values) -> None:
    """The operator."""
    machine.take(out, u)
    machine.solution.put(u)
    machine.run("operate")
