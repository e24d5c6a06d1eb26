"""Linear solves by PETSc (ENG-11, ladder PETSC, F-44)."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from hpcsim.errors import ConfigError, ConvergenceError
from hpcsim.solvers.petsc.ksp import KspSolver
from hpcsim.solvers.petsc.nullspace import constants
from hpcsim.solvers.petsc.options import OptionBook, SolverOptions
from hpcsim.solvers.petsc.system import System, system_of
from hpcsim.solvers.rows import Rows
from tests.unit.solvers.petsc.problems import Case, poisson_case, unit_axes


def make(library, system, preconditioner="auto", pairs=(), **known) -> KspSolver:
    options = SolverOptions(library, "phi", OptionBook(pairs, ["phi"]))
    return KspSolver(library, system, options, preconditioner, **known)


def right_side(case, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(case.matrix.shape[0])


def rows_of(matrix) -> Rows:
    matrix = matrix.tocsr()
    matrix.sort_indices()
    return Rows.of(matrix.indptr, matrix.indices, matrix.data)


@pytest.fixture
def case(context):
    return poisson_case(context, unit_axes((12, 9)))


def test_tolerance_is_that_of_the_residual(library, case):
    """PETSC ladder: the two-norm of b - A x is at most rtol*|b|, from any start."""
    b = right_side(case)
    with make(library, case.system, "jacobi", rtol=1e-7) as solver:
        for start, rtol in ((0.0, None), (1.0, None), (0.0, 1e-11), (5.0, 1e-3)):
            x = np.full(case.rows.count, start)
            outcome = solver.solve(b, x, rtol).check("phi")
            residual = np.linalg.norm(b - case.matrix @ x)
            assert residual <= 1.01 * (rtol or 1e-7) * np.linalg.norm(b)
            assert outcome.residuals[-1] == pytest.approx(residual, rel=1e-3)
            assert outcome.residuals[0] == pytest.approx(np.linalg.norm(b - case.matrix @ np.full(len(b), start)))
            assert len(outcome.residuals) == outcome.iterations + 1
            assert outcome.reason == "relative tolerance reached" and outcome.method == "PETSc cg with jacobi"
            assert set(outcome.seconds) == {"set-up", "solve"}


@pytest.mark.parametrize("method", ["cg", "fcg", "gmres", "fgmres", "gcr", "bcgs", "fbcgs", "richardson"])
def test_every_common_method_measures_the_true_residual(library, case, method):
    """PETSC ladder: rows of very different size, which a preconditioned norm would weigh differently."""
    weights = np.geomspace(1.0, 1e4, case.rows.count)
    scaled = sp.diags(weights) @ case.matrix @ sp.diags(weights)
    system = system_of(rows_of(scaled), symmetric=True)
    name = "direct" if method == "richardson" else "icc"
    with make(library, system, name, [("ksp_type", method)], rtol=1e-6) as solver:
        b, x = right_side(case), np.zeros(case.rows.count)
        outcome = solver.solve(b, x).check("phi")
    residual = np.linalg.norm(b - scaled @ x)
    assert outcome.residuals[-1] == pytest.approx(residual, rel=1e-2, abs=1e-9 * np.linalg.norm(b))
    assert residual <= 1.01e-6 * np.linalg.norm(b)


def test_absolute_tolerance_and_a_zero_right_side(library, case):
    """PETSC ladder: atol ends a solve, and zero has the solution zero."""
    with make(library, case.system, "jacobi", rtol=1e-30) as solver:
        x = np.zeros(case.rows.count)
        outcome = solver.solve(right_side(case), x, atol=1e-2).check("phi")
        assert outcome.residuals[-1] <= 1e-2 < outcome.residuals[-2]
        x[:] = 3.0
        solver.solve(np.zeros(len(x)), x, rtol=1e-9).check("phi")
        assert np.abs(x).max() < 1e-6
        assert solver.solve(np.zeros(len(x)), np.zeros(len(x))).converged


def test_start_near_the_solution_is_used(library, case):
    """PETSC ladder: the unknowns as they are spare iterations."""
    b = right_side(case)
    exact = spsolve(case.matrix.tocsc(), b)
    with make(library, case.system, "jacobi") as solver:
        far = solver.solve(b, np.zeros(len(b)))
        near = solver.solve(b, exact * (1 + 1e-7))
        assert near.iterations < 0.5 * far.iterations and solver.solve(b, exact.copy()).iterations == 0


def test_right_side_and_matrix_stay_as_they_are(library, case):
    """PETSC ladder: a solve changes nothing but the solution; a Laplacian is solved with the opposite sign inside."""
    b, data = right_side(case), case.rows.data.copy()
    kept = b.copy()
    with make(library, case.system, "icc") as solver:
        assert solver._parts.sign == -1.0
        x = np.zeros(len(b))
        solver.solve(b, x).check("phi")
        assert np.array_equal(b, kept) and np.array_equal(case.rows.data, data)
        y = np.zeros(len(b))
        solver.solve(b, y)
        assert np.array_equal(x, y)


def test_one_iteration_is_not_enough(library, case):
    """F-44: a tiny limit raises with reason, history and advice."""
    with make(library, case.system, "jacobi", max_iterations=1) as solver:
        outcome = solver.solve(right_side(case), np.zeros(case.rows.count))
        assert not outcome.converged
        with pytest.raises(ConvergenceError, match="too many iterations after 1 iterations; residuals .*; raise it"):
            outcome.check("phi", "raise it")
    with make(library, case.system, "jacobi", [("phi_ksp_max_it", "1")]) as solver:
        assert not solver.solve(right_side(case), np.zeros(case.rows.count)).converged


def test_not_a_number_does_not_converge(library, case):
    """F-44: NaN in the right side or in the matrix never gives a solution."""
    b = right_side(case)
    b[3] = np.nan
    with make(library, case.system, "jacobi") as solver:
        assert solver.solve(b, np.zeros(len(b))).reason == "NaN or Inf in the residual"
    data = case.rows.data.copy()
    data[7] = np.inf
    system = system_of(case.rows.with_data(data))
    with make(library, system, "jacobi") as solver:
        assert not solver.solve(right_side(case), np.zeros(len(b))).converged


def test_singular_matrix_does_not_converge(library):
    """F-44: no solution, no convergence, with a direct solver as with an iterative one."""
    matrix = sp.diags([1.0, 0.0, 2.0]) + sp.csr_matrix(([0.0], ([0], [1])), (3, 3))
    system = system_of(Rows.of([0, 1, 2, 3], [0, 1, 2], matrix.diagonal()))
    for name in ("direct", "none"):
        with make(library, system, name, max_iterations=5) as solver:
            assert not solver.solve(np.ones(3), np.zeros(3)).converged


def test_indefinite_matrix_is_told(library):
    """F-44: conjugate gradients see that a matrix is not definite."""
    system = system_of(rows_of(sp.diags([1.0, -1.0, 2.0, -3.0])), symmetric=True)
    with make(library, system, "none") as solver:
        assert "indefinite" in solver.solve(np.ones(4), np.zeros(4)).reason


def test_a_solve_without_a_norm_is_measured_at_its_end(library, case):
    """F-44: preonly says converged whatever comes out; the residual decides."""
    b = right_side(case)
    for pc_type, good in (("lu", True), ("jacobi", False)):
        with make(library, case.system, pairs=[("ksp_type", "preonly"), ("pc_type", pc_type)]) as solver:
            outcome = solver.solve(b, np.zeros(len(b)))
            assert outcome.converged is good and len(outcome.residuals) == 2, outcome
            assert ("above the tolerance" in outcome.reason) is not good


def test_progress_is_reported(library, case):
    """Issue C 2: a monitor as a callback, beside the one of PETSc."""
    seen = []
    with make(library, case.system, "jacobi", progress=lambda *now: seen.append(now)) as solver:
        outcome = solver.solve(right_side(case), np.zeros(case.rows.count))
    assert [norm for _, norm in seen] == list(outcome.residuals)
    assert [step for step, _ in seen] == list(range(outcome.iterations + 1))


def test_new_values_and_an_old_preconditioner(library, case):
    """PETSC ladder: the matrix changes, its pattern does not."""
    b = right_side(case)
    factor = np.repeat(np.linspace(1.0, 9.0, case.rows.count), np.diff(case.rows.indptr))
    system = system_of(case.rows)
    with make(library, system, "direct", rtol=1e-10) as solver:
        solver.solve(b, np.zeros(len(b))).check("phi")
        solver.update(factor * case.rows.data)
        x = np.zeros(len(b))
        fresh = solver.solve(b, x).check("phi")
        exact = spsolve(sp.diags(np.linspace(1.0, 9.0, len(b))).tocsr() @ case.matrix, b)
        assert x == pytest.approx(exact, rel=1e-7) and fresh.iterations == 1
    with make(library, system, "direct", [("ksp_type", "gmres")], rtol=1e-10) as solver:
        solver.update(1.5 * factor * case.rows.data, keep_preconditioner=True)
        assert solver.solve(b, x).check("phi").iterations > 1
        assert x == pytest.approx(exact / 1.5, rel=1e-7)


def test_variable_coefficients(library, context):
    """ENG-11: a smooth contrast of 1000."""
    case = poisson_case(context, unit_axes((16, 16)))
    n = case.matrix.shape[0]
    weights = sp.diags(np.exp(np.sin(np.arange(n)) * np.log(1000) / 2))
    matrix = (weights @ case.matrix @ weights).tocsr()
    b = right_side(case)
    for name in ("gamg", "boomeramg", "additive_schwarz", "geometric"):
        changed = Case(context, matrix, [n], symmetric=True, kind="elliptic", grid=case.system.grid)
        with make(library, changed.system, name, rtol=1e-10, max_iterations=3000) as solver:
            x = np.zeros(n)
            solver.solve(b, x).check("phi")
        exact = spsolve(matrix.tocsc(), b)
        assert np.linalg.norm(x - exact) <= 1e-7 * np.linalg.norm(exact), name


@pytest.mark.parametrize("name", ["jacobi", "gamg", "geometric", "direct"])
def test_null_space_is_taken_out(library, context, name):
    """ENG-11: Neumann ends: the constant part of the right side is left out, the solution has mean zero."""
    case = poisson_case(context, unit_axes((8, 8), "neumann"))
    b = right_side(case) + 5.0
    with make(library, case.system, name, rtol=1e-10) as solver:
        x = np.full(len(b), 7.0)
        solver.solve(b, x).check("phi")
    assert abs(x.mean()) < 1e-12
    assert np.linalg.norm(case.matrix @ x - (b - b.mean())) <= 1e-9 * np.linalg.norm(b)


def test_without_its_null_space_an_inconsistent_system_does_not_converge(library, context):
    """F-44: a right side without a solution."""
    case = poisson_case(context, unit_axes((8, 8), "neumann"))
    with make(library, system_of(case.rows, symmetric=True), "jacobi", max_iterations=200) as solver:
        outcome = solver.solve(np.ones(case.rows.count), np.zeros(case.rows.count))
        # The recurrence of conjugate gradients claims convergence here.
        assert not outcome.converged and outcome.reduction < 1e-8 and "but the true residual is" in outcome.reason


def test_null_space_of_one_of_two_fields(library, context):
    """ENG-11: the first field is fixed up to a constant only."""
    base = poisson_case(context, unit_axes((6, 6), "neumann"))
    n = base.matrix.shape[0]
    matrix = sp.kron(base.matrix, np.eye(2)) - sp.kron(sp.identity(n), np.diag([0.0, 3.0]))
    case = Case(context, matrix, [2 * n], 2, symmetric=True, kind="coupled", null_space=constants(2 * n, 2, [0]))
    b = right_side(case)
    with make(library, case.system, "block_jacobi", rtol=1e-11) as solver:
        x = np.zeros(2 * n)
        solver.solve(b, x).check("phi")
    assert abs(x[::2].mean()) < 1e-12
    b[::2] -= b[::2].mean()
    assert np.linalg.norm(case.matrix @ x - b) <= 1e-9 * np.linalg.norm(b)


def test_operator_by_its_action_alone(library, case):
    """Issue C 1: matrix-free apply, and the rows only for the preconditioner."""
    products = []

    def apply(x, y):
        products.append(None)
        y[:] = case.matrix @ x

    b, n = right_side(case), case.rows.count
    exact = spsolve(case.matrix.tocsc(), b)
    systems = [System(n, n, apply=apply, symmetric=True), system_of(case.rows, apply=apply, symmetric=True)]
    for system, name in zip(systems, ("none", "gamg"), strict=True):
        products.clear()
        with make(library, system, name, rtol=1e-10) as solver:
            x = np.zeros(n)
            outcome = solver.solve(b, x).check("phi")
        # None for the residual of the start, which is zero; one for that of the end.
        assert x == pytest.approx(exact, rel=1e-7) and len(products) == outcome.iterations + 1
    with pytest.raises(ConfigError, match="preconditioner gamg: it needs the entries"):
        make(library, systems[0], "gamg")


def test_native_cycle_as_a_preconditioner(library, case):
    """Issue C 4: our multigrid under the Krylov method of PETSc."""
    inverse = np.linalg.inv(case.matrix.toarray())
    exact = np.linalg.solve(case.matrix.toarray(), right_side(case))

    def cycle(r, z):
        z[:] = inverse @ r.astype(np.float32)

    n = case.rows.count
    free = System(
        n, n, apply=lambda x, y: np.copyto(y, case.matrix @ x), symmetric=True, kind="elliptic", multigrid=cycle
    )
    with_rows = system_of(case.rows, symmetric=True, kind="elliptic", multigrid=cycle)
    for system in (free, with_rows):
        with make(library, system, rtol=1e-12) as solver:
            x = np.zeros(n)
            outcome = solver.solve(right_side(case), x).check("phi")
            assert solver.method == "PETSc fcg with native multigrid" and outcome.iterations <= 3
            assert x == pytest.approx(exact, rel=1e-9)


def test_error_in_a_users_function_comes_out(library, case):
    """F-44: an exception in an action is not lost in PETSc."""

    def fail(r, z):
        raise ZeroDivisionError("a fault of the user")

    system = system_of(case.rows, symmetric=True, kind="elliptic", multigrid=fail)
    with pytest.raises(ZeroDivisionError, match="of the user"), make(library, system) as solver:
        solver.solve(right_side(case), np.zeros(case.rows.count))


def test_storage_follows_preconditioner_and_option(library, context):
    """ENG-25: BAIJ for point blocks, AIJ for multigrid, as the user likes."""
    base = poisson_case(context, unit_axes((6, 6)))
    n = base.matrix.shape[0]
    matrix = sp.kron(base.matrix, np.eye(2)) - sp.kron(sp.identity(n), np.array([[30.0, 20.0], [-20.0, 30.0]]))
    case = Case(context, matrix, [2 * n], 2, kind="coupled")
    b = right_side(case)
    exact = spsolve(matrix.tocsc(), b)
    for name, pairs, storage in (
        ("point_block_jacobi", [], "seqbaij"),
        ("gamg", [], "seqaij"),
        ("point_block_jacobi", [("mat_type", "aij")], "seqaij"),
    ):
        with make(library, case.system, name, pairs, rtol=1e-10) as solver:
            assert solver._parts.matrix.getType() == storage
            x = np.zeros(2 * n)
            solver.solve(b, x).check("phi")
        assert x == pytest.approx(exact, rel=1e-6, abs=1e-9)
    with pytest.raises(ConfigError, match="phi_mat_type.*did you mean 'aij'"):
        make(library, case.system, "gamg", [("mat_type", "aiij")])


def test_system_must_fit_together(library, case):
    """F-44: neither matrix nor action, or rows of another size."""
    with pytest.raises(ConfigError, match="rows of its matrix or its action"):
        System(3, 3)
    with pytest.raises(ConfigError, match="5 of 5 unknowns here, its rows 108 of 108"):
        System(5, 5, rows=case.rows)
