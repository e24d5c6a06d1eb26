"""Newton's method on packed vectors, with backtracking along each step.

The tolerance of each linear solve follows the progress made, after Eisenstat and Walker, SIAM J. Sci. Comput. 17 (1996)
16, choice 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.unknowns import Unknowns, Vector

_FIRST, _LOOSEST, _TIGHTEST = 1e-2, 0.5, 1e-10
_SHORTEST = 2.0**-12
_SUFFICIENT = 1e-4


def newton(
    unknowns: Unknowns,
    residual: Callable[[Vector, Vector], Vector],
    step: Callable[[Vector, Vector, float], Outcome],
    x: Vector,
    rtol: float,
    atol: float,
    limit: int,
) -> Outcome:
    """Find ``residual(x) = 0``.

    Parameters
    ----------
    unknowns : Unknowns
        For norms over all ranks.
    residual : callable
        ``residual(x, out)`` fills and returns `out`.
    step : callable
        ``step(b, d, rtol)`` solves ``J d = b`` with the derivative at the `x` of the last residual.
    x : ndarray
        Starting value, and the result.
    rtol, atol : float
        The norm of the residual at the end is at most ``max(rtol*first, atol)``.
    limit : int
        Most steps.

    Returns
    -------
    Outcome
        It did not converge if a linear solve did not, no shorter step helps, or the limit was reached.
    """
    r = residual(x, np.empty_like(x)).copy()
    history = [unknowns.norm(r)]
    goal, forcing = max(rtol * history[0], atol), _FIRST
    direction, trial, work = np.zeros_like(x), np.empty_like(x), np.empty_like(x)
    while history[-1] > goal and len(history) <= limit:
        direction.fill(0.0)
        inner = step(-r, direction, forcing)
        if not inner.converged:
            return Outcome("Newton", False, f"{inner.method}: {inner.reason}", len(history) - 1, tuple(history))
        size = 1.0
        while True:
            np.add(x, size * direction, out=trial)
            norm = unknowns.norm(residual(trial, work))
            if norm <= (1.0 - _SUFFICIENT * size) * history[-1]:
                break
            size *= 0.5
            if size < _SHORTEST:
                reason = "no shorter step makes the residual smaller"
                return Outcome("Newton", False, reason, len(history) - 1, tuple(history))
        x[:], r[:] = trial, work
        forcing = min(_LOOSEST, max(_TIGHTEST, 0.9 * (norm / history[-1]) ** 2, 0.5 * goal / norm if norm else 0.0))
        history.append(norm)
    reached = history[-1] <= goal
    reason = "tolerance reached" if reached else "too many steps"
    return Outcome("Newton", reached, reason, len(history) - 1, tuple(history))
