"""Newton's method: quadratic convergence, backtracking, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.solvers.linear.krylov import bicgstab
from hpcsim.solvers.newton import newton
from hpcsim.solvers.outcome import Outcome
from tests.unit.solvers.problems import Trial, trial


def solve(case: Trial, x: np.ndarray, rtol: float = 1e-12, limit: int = 30) -> Outcome:
    """Newton with tight linear solves on the operator of a case."""
    operator = case.operator

    def residual(x: np.ndarray, out: np.ndarray) -> np.ndarray:
        operator.set(x)
        return operator.residual(0.0, 1.0, out)

    def step(b: np.ndarray, d: np.ndarray, rtol: float) -> Outcome:
        operator.prepare(0.0, 1.0)
        same = lambda r, z: np.copyto(z, r) or z  # noqa: E731
        goal = 1e-12 * operator.unknowns.norm(b)
        history, reason = bicgstab(operator.unknowns, case.equations.apply, same, b, d, goal, 500)
        return Outcome("test", history[-1] <= goal, reason, len(history) - 1, tuple(history))

    return newton(operator.unknowns, residual, step, x, rtol, 1e-13, limit)


@pytest.mark.parametrize(
    "text", ["laplacian(u) - u**3 - f", "div((1 + u**2)*grad(u)) - f", "laplacian(u) + exp(u) + f"]
)
def test_residual_vanishes(text: str) -> None:
    """The residual falls to the tolerance, and at the end quadratically."""
    with trial({"u": text}, "dirichlet") as case:
        x = case.operator.vector()
        outcome = solve(case, x)
        assert outcome.converged, outcome
        assert outcome.iterations <= 8
        last = [value / outcome.residuals[0] for value in outcome.residuals[-3:]]
        assert last[1] <= 100 * last[0] ** 2 or last[1] < 1e-12


def test_backtracking_saves_a_bad_start() -> None:
    """From far away full steps of arctan(u) = 0 diverge; shorter ones find the root."""
    with trial({"u": "atan(u) + 0*f"}, "periodic") as case:
        x = case.operator.vector() + 5.0
        outcome = solve(case, x)
        assert outcome.converged
        assert np.abs(x).max() <= 1e-10


def test_no_root_is_said() -> None:
    """F-44: u**2 + 1 has no root; the outcome says that no step helps, or that the linear solver failed."""
    with trial({"u": "u**2 + 1 + 0*f"}, "periodic") as case:
        outcome = solve(case, case.operator.vector() + 0.3)
        assert not outcome.converged
        with pytest.raises(Exception, match="Newton did not converge"):
            outcome.check("u")
