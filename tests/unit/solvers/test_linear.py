"""Every linear solver of the table on every problem it takes, against the dense solution."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.solvers.assemble import Assembly
from hpcsim.solvers.choose import choose
from hpcsim.solvers.linear import LINEAR_SOLVERS
from hpcsim.solvers.linear.constants import skew_and_free
from tests.unit.solvers.problems import WALLS, trial

K = {"k": "1 + 0.5*sin(6*x)*y", "j": "where(x < 0.5, 1, 1000)"}
SCALAR = {
    "poisson": "laplacian(u) - f",
    "helmholtz": "laplacian(u) - 40*u - f",
    "smooth": "div(k*grad(u)) - f",
    "jump": "div(j*grad(u)) - f",
    "scaled": "k*laplacian(u) - f",
    "stored": "div(j*grad(u))/(k + x) - u - f",
    "advected": "laplacian(u) + 3*d(u, x) - f",
}
TAKES = {
    "fft": lambda name, wall: name in ("poisson", "helmholtz") and wall != "robin",
    "multigrid": lambda name, wall: name != "advected",
    "pointwise": lambda name, wall: False,
}


def cases() -> list[tuple[str, str, str]]:
    """Solver, equation and wall of every combination that is meant to work."""
    return [
        (solver, name, wall)
        for solver in LINEAR_SOLVERS
        for name in SCALAR
        for wall in WALLS
        if TAKES.get(solver, lambda *_: True)(name, wall)
    ]


@pytest.mark.parametrize("centring", ["cell", "vertex"])
@pytest.mark.parametrize(("solver", "name", "wall"), cases())
def test_solution_is_the_dense_one(solver: str, name: str, wall: str, centring: str) -> None:
    """ENG-11, PETSC: within 10 x rtol of the dense solution; up to a constant where one is free."""
    with trial({"u": SCALAR[name]}, WALLS[wall], (16, 12), centring, parameters=K, method=solver) as case:
        if solver == "multigrid" and skew_and_free(case.equations):
            with pytest.raises(ConfigError, match="flux form, or use"):
                LINEAR_SOLVERS.get(solver)(case.equations)
            return
        b = case.right_side()
        matrix = Assembly(case.operator, case.equations.conditions).rows().to_scipy().toarray()
        free = np.abs(matrix.sum(axis=1)).max() <= 1e-9 * np.abs(matrix).max()
        if free:
            b -= null_of(matrix.T) * (null_of(matrix.T) @ b)
        exact = np.linalg.lstsq(matrix, b, rcond=None)[0]
        made = LINEAR_SOLVERS.get(solver)(case.equations)
        x = case.operator.vector()
        # A contrast of 1000 leaves fewer digits for the residual.
        rtol = 1e-9 if name in ("jump", "stored") else 1e-10
        outcome = made.solve(b, x, rtol, 0.0)
        made.free()
        assert outcome.converged, outcome
        assert np.linalg.norm(b - matrix @ x) <= 10 * rtol * np.linalg.norm(b)
        difference = x - exact
        if free:
            difference -= difference.mean()
        assert (
            np.abs(difference).max()
            <= (1e5 if rtol > 1e-10 else 1e3) * rtol * np.abs(exact - exact.mean() * free).max()
        )


def null_of(matrix: np.ndarray) -> np.ndarray:
    """The vector of unit length that a singular matrix takes to zero."""
    return np.linalg.svd(matrix)[2][-1]


def test_pointwise_blocks() -> None:
    """ENG-08: systems without neighbours are eliminated site by site."""
    with trial({"u": "2*u + k*v - f", "v": "u - 3*v + f"}, parameters=K) as case:
        assert choose(case.equations).method == "pointwise"
        b, x = case.right_side(), case.operator.vector()
        outcome = LINEAR_SOLVERS.get("pointwise")(case.equations).solve(b, x, 1e-10, 0.0)
        assert outcome.converged
        assert np.abs(b - case.operator.apply(x, case.operator.vector(), 0.0, 1.0)).max() <= 1e-13


def test_singular_sites_do_not_converge() -> None:
    """F-44: a site without a solution is said, not passed over."""
    with trial({"u": "(x - x)*u - f"}) as case:
        outcome = LINEAR_SOLVERS.get("pointwise")(case.equations).solve(
            case.right_side(), case.operator.vector(), 1e-10, 0.0
        )
        assert not outcome.converged
        assert "singular" in outcome.reason


@pytest.mark.parametrize("method", ["multigrid", "fft"])
def test_native_solvers_refuse_what_they_cannot(method: str) -> None:
    """A wide stencil is no star: the message says what else there is."""
    with trial({"u": "laplacian(u) - f"}, order=4) as case, pytest.raises(ConfigError, match='method = "petsc"'):
        LINEAR_SOLVERS.get(method)(case.equations)


def test_too_few_iterations_say_so() -> None:
    """F-44: tiny limits end unconverged with the history."""
    with trial({"u": "laplacian(u) - f"}, max_iterations=3) as case:
        outcome = LINEAR_SOLVERS.get("krylov")(case.equations).solve(
            case.right_side(), case.operator.vector(), 1e-10, 0.0
        )
        assert (outcome.converged, outcome.iterations, outcome.reason) == (False, 3, "too many iterations")


@pytest.mark.parametrize(
    ("text", "order", "method"),
    [("laplacian(u) - f", 2, "multigrid"), ("div(j*grad(u)) - f", 2, "multigrid"), ("laplacian(u) - f", 4, "petsc")],
)
def test_choice_has_a_reason(text: str, order: int, method: str) -> None:
    """The form of the operator decides, and says why."""
    with trial({"u": text}, order=order, parameters=K) as case:
        choice = choose(case.equations)
        assert choice.method in (method, "fft")
        assert len(choice.reason) > 10
