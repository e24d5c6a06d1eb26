"""Krylov methods on packed vectors without PETSc.

Flexible conjugate gradients after Notay, SIAM J. Sci. Comput. 22 (2000) 1444, so that the preconditioner may change
from step to step; for operators that are not symmetric BiCGStab with right preconditioning after van der Vorst, SIAM J.
Sci. Stat. Comput. 13 (1992) 631.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.unknowns import Unknowns, Vector

Action = Callable[[Vector, Vector], Vector]
"""Fills its second argument from the first and returns it."""


class Krylov:
    """Matrix-free Krylov solver, preconditioned by the diagonal.

    Parameters
    ----------
    equations : Equations
        The problem.
    """

    def __init__(self, equations: Equations) -> None:
        self._unknowns = equations.operator.unknowns
        self._limit = equations.options.max_iterations
        self._symmetric = equations.symmetric
        self.method = "conjugate gradients with Jacobi" if self._symmetric else "BiCGStab with Jacobi"
        self.update(equations)

    def update(self, equations: Equations) -> None:
        """Take up coefficients that have changed."""
        self._equations = equations
        diagonal = equations.operator.diagonal(equations.operator.vector())
        self._scale = np.where(diagonal != 0.0, 1.0 / np.where(diagonal != 0.0, diagonal, 1.0), 1.0)

    def solve(self, b: Vector, x: Vector, rtol: float, atol: float) -> Outcome:
        """Improve `x`; see the protocol."""
        method = conjugate_gradients if self._symmetric else bicgstab
        goal = max(rtol * self._unknowns.norm(b), atol)
        history, reason = method(self._unknowns, self._equations.apply, self._jacobi, b, x, goal, self._limit)
        return Outcome(self.method, history[-1] <= goal, reason, len(history) - 1, tuple(history))

    def _jacobi(self, r: Vector, z: Vector) -> Vector:
        np.multiply(self._scale, r, out=z)
        return z

    def free(self) -> None:
        """Nothing is held."""


def conjugate_gradients(
    unknowns: Unknowns, apply: Action, precondition: Action, b: Vector, x: Vector, goal: float, limit: int
) -> tuple[list[float], str]:
    """Flexible conjugate gradients; returns the residual norms and why it ended."""
    work, z = np.empty_like(b), np.empty_like(b)
    r = b - apply(x, work)
    history = [unknowns.norm(r)]
    p, last, slope = np.zeros_like(b), np.zeros_like(b), 0.0
    while history[-1] > goal and len(history) <= limit:
        precondition(r, z)
        # The term with the last residual keeps directions conjugate when the preconditioner changes.
        turn = unknowns.dot(z, r) - unknowns.dot(z, last)
        p = z + (turn / slope if slope else 0.0) * p
        slope = unknowns.dot(z, r)
        apply(p, work)
        curvature = unknowns.dot(p, work)
        if curvature == 0.0 or not np.isfinite(curvature):
            return history, "broke down: a direction has no curvature"
        alpha = slope / curvature
        last[:] = r
        x += alpha * p
        r -= alpha * work
        history.append(unknowns.norm(r))
    return history, "tolerance reached" if history[-1] <= goal else "too many iterations"


def bicgstab(
    unknowns: Unknowns, apply: Action, precondition: Action, b: Vector, x: Vector, goal: float, limit: int
) -> tuple[list[float], str]:
    """BiCGStab; returns the residual norms and why it ended."""
    work, y, z, t = (np.empty_like(b) for _ in range(4))
    r = b - apply(x, work)
    shadow, history = r.copy(), [unknowns.norm(r)]
    p, v = np.zeros_like(b), np.zeros_like(b)
    rho = alpha = omega = 1.0
    while history[-1] > goal and len(history) <= limit:
        rho, before = unknowns.dot(shadow, r), rho
        if rho == 0.0 or omega == 0.0 or not np.isfinite(rho):
            return history, "broke down: the residual is orthogonal to its start"
        p = r + (rho / before) * (alpha / omega) * (p - omega * v)
        v = apply(precondition(p, y), v)
        alpha = rho / unknowns.dot(shadow, v)
        s = r - alpha * v
        apply(precondition(s, z), t)
        square = unknowns.dot(t, t)
        omega = unknowns.dot(t, s) / square if square else 0.0
        x += alpha * y + omega * z
        r = s - omega * t
        history.append(unknowns.norm(r))
    return history, "tolerance reached" if history[-1] <= goal else "too many iterations"
