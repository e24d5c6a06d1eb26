"""PETSc over real ranks: preconditioners, options, null spaces, Newton, time steps (ladder PETSC, ENG-11, F-44)."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import scipy.sparse as sp

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, ConvergenceError, HpcsimError
from hpcsim.solvers.petsc.equation import Equation, diagonal_places
from hpcsim.solvers.petsc.ksp import KspSolver
from hpcsim.solvers.petsc.library import Library
from hpcsim.solvers.petsc.matrix import is_symmetric
from hpcsim.solvers.petsc.nullspace import constants
from hpcsim.solvers.petsc.options import OptionBook, SolverOptions
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.petsc.snes import SnesSolver
from hpcsim.solvers.petsc.system import system_of
from hpcsim.solvers.petsc.ts import TsSolver
from hpcsim.solvers.preconditioners import PRECONDITIONERS
from hpcsim.solvers.preconditioners.additive_schwarz import AdditiveSchwarz
from hpcsim.solvers.preconditioners.approximate_inverse import ApproximateInverse
from hpcsim.solvers.preconditioners.field_split import COMPOSITIONS, FieldSplit
from hpcsim.solvers.preconditioners.geometric import Geometric
from tests.unit.solvers.petsc.problems import Case, poisson_case, unit_axes

RTOL = 1e-9
SERIAL_ONLY = ("ilu", "icc")
GRIDS = [((16, 12), "dirichlet", False), ((8, 16), "periodic", False), ((12, 8), "neumann", True),
         ((6, 8, 10), "dirichlet", True)]  # fmt: skip


@pytest.fixture
def library(context):
    with Library(context) as made:
        before = set(made.petsc.Options().getAll())
        yield made
        assert set(made.petsc.Options().getAll()) == before


def cycle(case):
    """A stand-in for the native cycle: the part of this rank solved exactly."""
    inverse = np.linalg.pinv(case.matrix[case.part, case.part].toarray(), rcond=1e-10)

    def apply(r, z):
        z[:] = inverse @ r

    return apply


def coupled(context, symmetric=True):
    """Two fields, coupled at every site."""
    base = poisson_case(context, unit_axes((12, 10)))
    n = base.matrix.shape[0]
    mixing = np.array([[50.0, 20.0], [20.0 if symmetric else -20.0, 80.0]])
    matrix = sp.kron(base.matrix, np.array([[1.0, 0.3], [0.3, 2.0]])) - sp.kron(sp.identity(n), mixing)
    counts = [2 * count for count in base.counts]
    return Case(context, matrix, counts, 2, symmetric=symmetric, kind="coupled")


def right_side(case, seed=4):
    """The same on any number of ranks: drawn in natural order, made consistent."""
    dense = case.matrix.toarray()
    b = np.random.default_rng(seed).standard_normal(len(dense))
    if case.system.null_space is None:
        return b, np.linalg.solve(dense, b)
    left = np.linalg.svd(dense)[0][:, -1]
    b -= left * (left @ b)
    exact = np.linalg.lstsq(dense, b, rcond=1e-10)[0]
    return b, exact - exact.mean()


def make(library, case, preconditioner="auto", pairs=(), **known) -> KspSolver:
    options = SolverOptions(library, "phi", OptionBook(pairs, ["phi"]))
    return KspSolver(library, case.system, options, preconditioner, **known)


def error(library, case, preconditioner, **known):
    b, exact = right_side(case)
    x = np.zeros(case.rows.count)
    with make(library, case, preconditioner, rtol=RTOL, **known) as solver:
        outcome = solver.solve(b[case.part].copy(), x).check("phi")
    return np.linalg.norm(case.gathered(x) - exact) / np.linalg.norm(exact), outcome


@pytest.mark.parametrize("name", PRECONDITIONERS.names())
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{'x'.join(map(str, g[0]))}-{g[1]}")
def test_poisson_with_every_preconditioner(library, context, name, grid, record_property):
    """PETSC ladder: within 10 x rtol of the dense solution on any rank count, iteration counts reported."""
    case = poisson_case(context, unit_axes(*grid))
    if name == "field_split":
        case = coupled(context)
    if name == "native_multigrid":
        case = poisson_case(context, unit_axes(*grid), multigrid=cycle(case))
    if (name in SERIAL_ONLY and context.size > 1) or (name == "icc" and not case.system.symmetric):
        with pytest.raises(ConfigError, match="use"):
            error(library, case, name)
        return
    found, outcome = error(library, case, name)
    record_property(f"iterations of {name} on {context.size}", outcome.iterations)
    assert found <= 10 * RTOL and outcome.iterations <= 150


@pytest.mark.parametrize("symmetric", [True, False])
def test_coupled_fields(library, context, symmetric):
    """ENG-25: BAIJ and AIJ over ranks, point blocks, block Jacobi, field split."""
    case = coupled(context, symmetric)
    named = [
        PRECONDITIONERS.get(n)() for n in ("point_block_jacobi", "block_jacobi", "additive_schwarz", "direct", "gamg")
    ]
    for chosen in (*named, *(FieldSplit(c) for c in COMPOSITIONS), ApproximateInverse("neumann")):
        assert error(library, case, chosen)[0] <= 10 * RTOL, type(chosen).__name__


def test_iterations_hardly_depend_on_ranks(library, context):
    """PETSC ladder: PFMG and Jacobi are the same method on any rank count; multigrid nearly so."""
    case = poisson_case(context, unit_axes((16, 16)))
    alone = poisson_case(Context.serial(), unit_axes((16, 16)))
    for name, slack in (("jacobi", 1), ("pfmg", 1), ("geometric", 3), ("gamg", 4)):
        many = error(library, case, name)[1].iterations
        serial = Context.serial()
        with Library(serial) as small:
            one = error(small, alone, name)[1].iterations
        assert abs(many - one) <= slack, (name, many, one)


@pytest.mark.parametrize("coarse", ["galerkin", "rediscretised"])
def test_geometric_multigrid_is_flat_over_ranks(library, context, coarse):
    """ENG-11: at most 12 iterations, growing by at most 2 from 32 to 64."""
    counts = []
    for n in (32, 64):
        case = poisson_case(context, unit_axes((n, n), vertex=True))
        b = np.random.default_rng(n).standard_normal(case.matrix.shape[0])[case.part]
        with make(library, case, Geometric(coarse), rtol=1e-10) as solver:
            counts.append(solver.solve(b, np.zeros(len(b))).check("phi").iterations)
    assert max(counts) <= 12 and counts[1] - counts[0] <= 2


def test_same_bits_when_run_again(library, context):
    """Issue C: deterministic for a given rank count."""
    case = poisson_case(context, unit_axes((20, 14)))
    b, _ = right_side(case)
    for name in ("gamg", "additive_schwarz", "geometric"):
        found = []
        for _ in range(2):
            x = np.zeros(case.rows.count)
            with make(library, case, name) as solver:
                found.append((solver.solve(b[case.part].copy(), x), x))
        assert found[0][0] == found[1][0] and np.array_equal(found[0][1], found[1][1])


@pytest.mark.parallel([2, 3, 4])
@pytest.mark.parametrize("name", ["jacobi", "gamg", "block_jacobi", "direct", "none"])
def test_a_rank_without_unknowns(library, context, name):
    """PETSC ladder: blocks may leave the last rank nothing to solve for."""
    base = poisson_case(Context.serial(), unit_axes((9, 7)))
    n = base.matrix.shape[0]
    counts = [n // (context.size - 1)] * (context.size - 1) + [0]
    counts[0] += n - sum(counts)
    case = Case(context, base.matrix, counts, symmetric=True, kind="elliptic")
    assert error(library, case, name)[0] <= 10 * RTOL


@pytest.mark.parallel([2, 3, 4])
def test_option_that_only_some_ranks_need_is_used(library, context):
    """Need 25: the factorisation of a block is set up where there is a block."""
    base = poisson_case(Context.serial(), unit_axes((9, 7)))
    n = base.matrix.shape[0]
    case = Case(context, base.matrix, [n] + [0] * (context.size - 1), symmetric=True, kind="elliptic")
    with make(library, case, "block_jacobi", [("sub_pc_factor_levels", "1")]) as solver:
        assert solver.solve(np.ones(case.rows.count), np.zeros(case.rows.count)).converged


def test_option_used_on_one_rank_is_used(library, context, monkeypatch):
    """Need 25: what one rank has looked up is no leftover for the others."""
    monkeypatch.setattr(library, "used", lambda option: context.rank == context.size - 1)
    options = SolverOptions(library, "phi", OptionBook([("phi_nothing", "1")], ["phi"]))
    options.settle()
    options.free()
    monkeypatch.setattr(library, "used", lambda option: False)
    options = SolverOptions(library, "phi", OptionBook([("phi_nothing", "1")], ["phi"]))
    with pytest.raises(ConfigError, match="-phi_nothing"):
        options.settle()
    options.free()


@pytest.mark.parallel([2, 3, 4])
def test_overlap_widens_the_parts(library, context):
    """PETSC ladder: additive Schwarz takes layers of neighbours in."""
    case = poisson_case(context, unit_axes((12, 12)))
    sizes = []
    for overlap in (0, 1, 2):
        with make(library, case, AdditiveSchwarz(overlap)) as solver:
            (part,) = solver._ksp.getPC().getASMSubKSP()
            sizes.append(part.getOperators()[0].getSize()[0])
    assert case.rows.count == sizes[0] < sizes[1] < sizes[2]


def test_unused_option_is_the_same_error_on_all_ranks(library, context):
    """F-44: no rank goes on alone."""
    case = poisson_case(context, unit_axes((8, 8)))
    with pytest.raises(ConfigError, match="-phi_ksp_typ: .*did you mean -phi_ksp_type?") as told:
        make(library, case, "jacobi", [("phi_ksp_typ", "cg")])
    context.same(str(told.value).encode(), "message")
    with pytest.raises(ConfigError, match="did you mean 'gmres'") as told:
        make(library, case, "jacobi", [("ksp_type", "gmress")])
    context.same(str(told.value).encode(), "message")


def test_no_convergence_is_the_same_error_on_all_ranks(library, context):
    """F-44: a tiny limit."""
    case = poisson_case(context, unit_axes((12, 12)))
    with make(library, case, "jacobi", max_iterations=1) as solver:
        outcome = solver.solve(np.ones(case.rows.count), np.zeros(case.rows.count))
        with pytest.raises(ConvergenceError, match="too many iterations") as told:
            outcome.check("phi")
    context.same(str(told.value).encode(), "message")


def test_fault_on_one_rank_is_seen_by_all(library, context):
    """F-44: a zero on the diagonal of the last rank stops all of them before they wait for each other."""
    case = poisson_case(context, unit_axes((8, 8)))
    data = case.rows.data.copy()
    if context.rank == context.size - 1:
        data[case.rows.indices == case.rows.row_numbers() + case.rows.first] = 0.0
    system = system_of(case.rows.with_data(data))
    with pytest.raises(ConfigError, match="diagonal, which has zeros"):
        KspSolver(library, system, SolverOptions(library, "phi"), ApproximateInverse("neumann"))


def test_objects_are_destroyed_in_the_same_order(library, context, monkeypatch):
    """Need 32: whatever the garbage collector of a rank does in between."""
    log = []
    keep = Owner.keep

    class Noted:
        def __init__(self, thing):
            self.thing = thing

        def destroy(self):
            log.append(type(self.thing).__name__)
            (self.thing.destroy if hasattr(self.thing, "destroy") else self.thing.free)()

    def noted(self, thing):
        keep(self, Noted(thing))
        return thing

    monkeypatch.setattr(Owner, "keep", noted)
    case = poisson_case(context, unit_axes((12, 12)))
    for name in ("geometric", "gamg", "pfmg"):
        solver = make(library, case, name)
        if context.rank % 2:
            gc.collect()
        solver.solve(np.ones(case.rows.count), np.zeros(case.rows.count))
        solver.free()
    assert log[0] == "Vec" and "KSP" in log and log.count("SolverOptions") == 3
    context.same(",".join(log).encode(), "order of destruction")


def test_solvers_dropped_by_an_exception_do_not_hang(library, context):
    """Need 32: objects left to Python are destroyed together at the next collection by hand."""
    case = poisson_case(context, unit_axes((8, 8)))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), make(library, case, "gamg"):
            1 / 0  # noqa: B018
        if context.rank == 0:
            gc.collect()
    library.collect()
    assert error(library, case, "gamg")[0] <= 10 * RTOL


@pytest.mark.parallel([2, 3, 4])
def test_halves_of_the_ranks_solve_apart(library, context):
    """Decision 11: objects live on the communicator they are given; two groups need not keep step."""
    group = Context(context.comm.Split(context.rank % 2, context.rank))
    with group, Library(group) as own:
        for cells in [(9, 8)] * (1 + 3 * (context.rank % 2)):
            case = poisson_case(group, unit_axes(cells))
            assert error(own, case, "gamg")[0] <= 10 * RTOL
    assert error(library, poisson_case(context, unit_axes((8, 8))), "gamg")[0] <= 10 * RTOL


def test_action_over_ranks(library, context):
    """Issue C 1: a matrix-free operator that talks to other ranks within PETSc."""
    case = poisson_case(context, unit_axes((12, 10)))
    system = system_of(
        case.rows,
        apply=lambda x, y: np.copyto(y, (case.matrix @ case.gathered(x))[case.part]),
        symmetric=True,
        kind="elliptic",
    )
    b, exact = right_side(case)
    with KspSolver(library, system, SolverOptions(library, "phi"), "gamg", rtol=RTOL) as solver:
        x = np.zeros(case.rows.count)
        solver.solve(b[case.part].copy(), x).check("phi")
        assert is_symmetric(library, solver._parts.operator)
    assert np.linalg.norm(case.gathered(x) - exact) <= 10 * RTOL * np.linalg.norm(exact)


def test_null_space_of_one_field(library, context):
    """ENG-11: constants of the first of two fields, over ranks."""
    base = poisson_case(context, unit_axes((8, 6), "neumann"))
    n = base.matrix.shape[0]
    matrix = sp.kron(base.matrix, np.eye(2)) - sp.kron(sp.identity(n), np.diag([0.0, 3.0]))
    counts = [2 * count for count in base.counts]
    space = constants(counts[context.rank], 2, [0])
    case = Case(context, matrix, counts, 2, symmetric=True, kind="coupled", null_space=space)
    b = np.random.default_rng(1).standard_normal(2 * n)
    for name in ("block_jacobi", "field_split", "direct"):
        x = np.zeros(case.rows.count)
        with make(library, case, name, rtol=1e-11) as solver:
            solver.solve(b[case.part].copy(), x).check("phi")
        whole = case.gathered(x)
        consistent = b.copy()
        consistent[::2] -= b[::2].mean()
        assert abs(whole[::2].mean()) < 1e-10
        assert np.linalg.norm(case.matrix @ whole - consistent) <= 1e-9 * np.linalg.norm(b), name


def test_bratu_over_ranks(library, context):
    """PETSC ladder: Newton on any rank count gives the same solution."""
    strength = 6.0

    def solve(where, case, name):
        places = diagonal_places(case.rows)

        def residual(u, f):
            f[:] = (case.matrix @ case.gathered(u))[case.part] + strength * np.exp(u)

        def jacobian(u):
            data = case.rows.data.copy()
            data[places] += strength * np.exp(u)
            return data

        u = np.zeros(case.rows.count)
        with SnesSolver(where, case.system, residual, jacobian, SolverOptions(where, "u"), name, rtol=1e-11) as solver:
            assert solver.solve(u).check("u").iterations <= 6
        return case.gathered(u), case

    axes = unit_axes((12, 12), vertex=True)
    serial = Context.serial()
    with Library(serial) as small:
        reference, alone = solve(small, poisson_case(serial, axes), "direct")
    order = np.lexsort(np.round(reference, 12)[None])
    for name in ("gamg", "geometric", "block_jacobi", "direct"):
        found, _ = solve(library, poisson_case(context, axes), name)
        # Packed orders differ with the ranks; the values do not.
        assert np.sort(found) == pytest.approx(reference[order], rel=1e-9), name
    assert alone.matrix.shape[0] == 121


def test_time_steps_over_ranks(library, context):
    """ENG-08: a stiff linear system against its exact solution."""
    case = poisson_case(context, unit_axes((8, 8), vertex=True))
    values, modes = np.linalg.eigh(case.matrix.toarray())
    start = np.random.default_rng(0).standard_normal(len(values))
    exact = modes @ (np.exp(values * 0.05) * (modes.T @ start))
    equation = Equation(
        lambda t, u, g: np.copyto(g, (case.matrix @ case.gathered(u))[case.part]), lambda t, u: case.rows.data
    )
    steps = []
    for scheme in ("bdf", "arkimex", "rosenbrock"):
        options = SolverOptions(library, "u")
        with TsSolver(
            library, case.system, equation, options, scheme, rtol=1e-5, atol=1e-7, preconditioner="jacobi"
        ) as ts:
            u = start[case.part].copy()
            found = ts.advance(u, 0.0, 0.05, 1e-4)
            found.outcome.check("u")
        assert np.abs(case.gathered(u) - exact).max() < 2e-4
        steps.append(found.outcome.iterations)
    context.same(str(steps).encode(), "numbers of steps")


def test_failure_of_one_rank_leaves_no_options(library, context):
    """Need 32: a rank that leaves by an exception undoes what is its own, and needs nobody for it."""
    case = poisson_case(context, unit_axes((6, 6)))
    solver = make(library, case, "jacobi")
    if context.rank == 0:
        with pytest.raises(HpcsimError), solver:
            raise HpcsimError("only here")
    else:
        solver.abandon()
    library.collect()
    make(library, case, "jacobi").free()
