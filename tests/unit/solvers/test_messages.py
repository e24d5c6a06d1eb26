"""Mistakes made on purpose: what a person is told about solvers before and during a run (F-32, F-44)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.errors import ConfigError, ConvergenceError
from hpcsim.simulation.build import build
from hpcsim.simulation.case import make_case

STEADY = {"solve(phi)": "laplacian(phi) - phi - sin(x)"}


def config(equations: dict[str, str], solver: dict[str, Any] | None = None, **run: Any) -> Any:
    """A few cells between walls; fields are those with an equation."""
    names = [left[left.find("(") + 1 : -1] for left in equations]
    return from_mapping({
        "lattice": {"shape": [6, 10], "boundary": "dirichlet"},
        "model": {"name": "equations", "fields": {name: {} for name in names}, "equations": equations},
        "run": {"steps": 2, "backend": "numpy", **run},
        "solver": solver or {},
    })  # fmt: skip


def faults(*arguments: Any, **run: Any) -> dict[str, str]:
    """Place and text of what the check of a case reports."""
    with pytest.raises(ConfigError) as caught:
        make_case(config(*arguments, **run))
    return {problem.where: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("solver", "where", "words"),
    [
        ({"preconditioner": "gammg"}, "solver.preconditioner", "did you mean 'gamg'"),
        ({"phi": {"preconditioner": "iluu"}}, "solver.phi.preconditioner", "did you mean 'ilu'"),
        ({"method": "krylov", "preconditioner": "ilu"}, "solver.preconditioner", "no preconditioner but jacobi"),
        ({"method": "fft", "preconditioner": "gamg"}, "solver.preconditioner", 'method = "fft" takes no precond'),
        (
            {"method": "multigrid", "phi": {"preconditioner": "gamg"}},
            "solver.phi.preconditioner",
            'for gamg take method = "petsc"',
        ),
        ({"step": {"rtol": 0.1}}, "solver.step", "the integrator of this case solves nothing"),
    ],
)
def test_tables_of_solvers(solver: dict[str, Any], where: str, words: str) -> None:
    """F-32: what has no effect or does not exist is a fault of the case, at its key."""
    found = faults(STEADY, solver)
    assert list(found) == [where]
    assert words in found[where]


@pytest.mark.parametrize(
    "solver",
    [
        {"preconditioner": "gamg", "method": "petsc"},
        {"preconditioner": "jacobi", "method": "krylov"},
        # The one that is given for all need not suit a solver that takes none.
        {"preconditioner": "gamg", "phi": {"method": "fft"}},
    ],
)
def test_tables_that_make_sense(solver: dict[str, Any]) -> None:
    """F-32: and these are taken."""
    make_case(config(STEADY, solver))


def test_a_preconditioner_asks_for_petsc() -> None:
    """F-32: with method auto a preconditioner is not passed over."""
    with build(config(STEADY, {"preconditioner": "jacobi"}), Context.serial()) as simulation:
        record = simulation.solves.record()["phi"]
    assert (record["method"], record["reason"]) == ("petsc", "a preconditioner is asked for")


def failed(equations: dict[str, str], solver: dict[str, Any], **run: Any) -> str:
    """What a run says when a solve does not converge."""
    with pytest.raises(ConvergenceError) as caught:
        build(config(equations, solver, **run), Context.serial()).advance(2)
    assert caught.value.exit_code == 7
    return str(caught.value)


def test_a_linear_solve_that_ends_too_early() -> None:
    """F-44: reason, history, and the keys that help; who was chosen and why."""
    said = failed(STEADY, {"method": "krylov", "max_iterations": 3})
    assert said.startswith("phi: conjugate gradients with Jacobi did not converge: too many iterations after 3")
    for part in ("residuals ", "solver.phi.max_iterations", "solver.phi.rtol", "solver.phi.method", "asked for"):
        assert part in said


def test_equations_that_determine_nothing() -> None:
    """F-44: no number of iterations helps a site without a solution."""
    said = failed({"solve(phi)": "(x - x)*phi - 1"}, {})
    assert "the matrix of a site is singular" in said and "check the equations" in said
    assert "max_iterations" not in said


def test_a_nonlinear_solve_without_a_solution() -> None:
    """F-44: advice for Newton's method; a step asks for a smaller one."""
    said = failed({"solve(phi)": "laplacian(phi) - phi**2 - 9"}, {"newton_iterations": 4})
    assert "phi: Newton did not converge" in said
    assert "[initial] values of phi" in said and "solver.phi.newton_iterations" in said
    said = failed({"dt(u)": "laplacian(u) + 40*exp(u)"}, {"newton_iterations": 2}, dt=5.0, integrator="backward_euler")
    assert "smaller run.dt" in said and "solver.step.newton_iterations" in said


@pytest.mark.parametrize(
    ("method", "petsc", "said"),
    [
        ("fft", {"phi_ksp_type": "cg"}, "petsc.phi_ksp_type: no effect: 'phi' is solved by fft"),
        ("krylov", {"ksp_type": "cg"}, "petsc.ksp_type: no effect: 'phi' is solved by krylov"),
        ("auto", {"ksp_tpye": "cg"}, "did you mean -ksp_type?"),
    ],
)
def test_options_of_petsc_never_go_unused(method: str, petsc: dict[str, str], said: str) -> None:
    """F-44, need 25: an option that nobody reads is an error; options make auto take PETSc."""
    document = {
        "lattice": {"shape": [8, 8], "boundary": "dirichlet"}, "solver": {"method": method}, "petsc": petsc,
        "model": {"name": "poisson", "parameters": {"source": 1.0}},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=re.escape(said)):
        build(from_mapping(document), Context.serial())
