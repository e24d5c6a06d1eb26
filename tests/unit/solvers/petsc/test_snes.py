"""Nonlinear solves by PETSc: the Bratu problem (ladder PETSC, F-44)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.errors import ConfigError, ConvergenceError
from hpcsim.solvers.petsc.equation import diagonal_places
from hpcsim.solvers.petsc.options import OptionBook, SolverOptions
from hpcsim.solvers.petsc.snes import SnesSolver
from hpcsim.solvers.petsc.system import System, system_of
from tests.unit.solvers.petsc.problems import poisson_case, unit_axes

STRENGTH = 6.0


class Bratu:
    """``laplacian(u) + lambda*exp(u) = 0`` with u = 0 on the walls (Bratu 1914; lambda up to 6.808 has a solution)."""

    def __init__(self, context, cells=(16, 16)) -> None:
        self.case = poisson_case(context, unit_axes(cells, vertex=True))
        self.places = diagonal_places(self.case.rows)
        self.count = self.case.rows.count
        self.state = np.zeros(self.count)

    def residual(self, u, f):
        f[:] = self.case.matrix @ u + STRENGTH * np.exp(u)

    def jacobian(self, u):
        self.state = u.copy()
        data = self.case.rows.data.copy()
        data[self.places] += STRENGTH * np.exp(u)
        return data

    def action(self, x, y):
        y[:] = self.case.matrix @ x + STRENGTH * np.exp(self.state) * x

    def left(self, u):
        f = np.empty(self.count)
        self.residual(u, f)
        return np.linalg.norm(f)


@pytest.fixture
def bratu(context):
    return Bratu(context)


def make(library, bratu, preconditioner="auto", pairs=(), system=None, **known):
    options = SolverOptions(library, "u", OptionBook(pairs, ["u"]))
    chosen = bratu.case.system if system is None else system
    return SnesSolver(library, chosen, bratu.residual, bratu.jacobian, options, preconditioner, **known)


@pytest.mark.parametrize("name", ["auto", "gamg", "boomeramg", "geometric", "icc", "direct"])
def test_newton_converges_quadratically(library, bratu, name):
    """PETSC ladder: few steps, and the exact Jacobian shows in the last ones."""
    with make(library, bratu, name, rtol=1e-11, linear_rtol=1e-9) as solver:
        u = np.zeros(bratu.count)
        outcome = solver.solve(u).check("u")
    assert bratu.left(u) <= 1e-11 * outcome.residuals[0] and outcome.iterations <= 6
    assert len(outcome.residuals) == outcome.iterations + 1
    falls = np.divide(outcome.residuals[1:], outcome.residuals[:-1])
    assert falls[-2] < 1e-2 and outcome.residuals[-2] > 1e3 * outcome.residuals[-1]
    # The lower of two solutions; they meet at lambda = 6.808 with a maximum of 1.39.
    assert 0.7 < u.max() < 1.39


def test_matrix_free_jacobian(library, bratu):
    """Issue C 2: the action of the Jacobian with and without a matrix for the preconditioner."""
    reference = np.zeros(bratu.count)
    with make(library, bratu, "direct", rtol=1e-12) as solver:
        solver.solve(reference).check("u")
    free = System(bratu.count, bratu.count, apply=bratu.action, symmetric=True)
    both = system_of(bratu.case.rows, apply=bratu.action, symmetric=True)
    for system, name in ((free, "none"), (both, "icc")):
        with make(library, bratu, name, system=system, rtol=1e-12, linear_rtol=1e-8) as solver:
            u = np.zeros(bratu.count)
            solver.solve(u).check("u")
        assert u == pytest.approx(reference, rel=1e-8)


def test_second_solve_starts_from_the_first(library, bratu):
    """PETSC ladder: a solver is used again."""
    with make(library, bratu, "direct", rtol=1e-9) as solver:
        u = np.zeros(bratu.count)
        first = solver.solve(u).check("u")
        again = np.zeros(bratu.count)
        assert solver.solve(again) == first and np.array_equal(u, again)


def test_too_few_steps_do_not_converge(library, bratu):
    """F-44: reason and history, and the exception on demand."""
    with make(library, bratu, "direct", max_iterations=1) as solver:
        outcome = solver.solve(np.zeros(bratu.count))
        assert (outcome.converged, outcome.reason, len(outcome.residuals)) == (False, "too many iterations", 2)
        with pytest.raises(ConvergenceError, match="u: PETSc Newton, .* did not converge"):
            outcome.check("u")


def test_linear_solve_that_fails_is_named(library, bratu):
    """F-44: the reason of the inner solve is part of the message."""
    with make(library, bratu, "jacobi", linear_iterations=1) as solver:
        outcome = solver.solve(np.zeros(bratu.count))
    assert outcome.reason == "the linear solve failed: too many iterations" and not outcome.converged


def test_no_solution_beyond_the_fold(library, context):
    """F-44: for lambda = 8 there is no solution, and none is claimed."""
    bratu = Bratu(context)

    def residual(u, f):
        f[:] = bratu.case.matrix @ u + 8.0 * np.exp(u)

    bratu.residual = residual
    with make(library, bratu, "direct") as solver:
        assert not solver.solve(np.zeros(bratu.count)).converged


def test_options_reach_newton_and_its_linear_solver(library, bratu):
    """Need 25: one prefix for both, nothing left over, before any work is done."""
    pairs = [("u_snes_linesearch_type", "basic"), ("u_ksp_type", "gmres"), ("u_pc_type", "ilu")]
    with make(library, bratu, pairs=pairs) as solver:
        solver.solve(np.zeros(bratu.count)).check("u")
        assert solver._snes.getKSP().getType() == "gmres"
    calls = []
    bratu.residual, plain = (lambda u, f: calls.append(None) or plain(u, f)), bratu.residual
    with (
        make(library, bratu, pairs=[("u_snes_rtoll", "1e-3")]) as solver,
        pytest.raises(ConfigError, match="did you mean -u_snes_rtol?"),
    ):
        solver.solve(np.zeros(bratu.count))
    assert not calls


def test_preconditioner_with_a_matrix_of_its_own_is_refused(library, bratu):
    """F-44: PFMG would go on with the first Jacobian."""
    with pytest.raises(ConfigError, match="pfmg cannot follow a changing Jacobian"):
        make(library, bratu, "pfmg")


def test_error_in_the_residual_comes_out(library, bratu):
    """F-44: an exception of the model keeps its type."""
    bratu.residual = lambda u, f: 1 / 0
    with pytest.raises(ZeroDivisionError), make(library, bratu) as solver:
        solver.solve(np.zeros(bratu.count))


def test_progress_is_reported(library, bratu):
    """Issue C 2: a callback per Newton step."""
    seen = []
    with make(library, bratu, "direct", progress=lambda *now: seen.append(now)) as solver:
        outcome = solver.solve(np.zeros(bratu.count))
    assert [norm for _, norm in seen] == list(outcome.residuals)
