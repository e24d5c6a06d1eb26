"""Time integration by PETSc of a stiff linear system with a known solution (ENG-08, F-44)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.solvers.petsc.equation import Equation, diagonal_places
from hpcsim.solvers.petsc.options import OptionBook, SolverOptions
from hpcsim.solvers.petsc.system import System, system_of
from hpcsim.solvers.petsc.ts import SCHEMES, TsSolver
from hpcsim.solvers.rows import Rows
from tests.unit.solvers.petsc.problems import poisson_case, unit_axes

EXPLICIT = ("runge_kutta", "ssp")
IMPLICIT = tuple(name for name in SCHEMES if name not in EXPLICIT)
ORDER = {"backward_euler": 1, "crank_nicolson": 2, "theta": 2, "bdf": 2, "arkimex": 3, "rosenbrock": 3}
END = 0.2


class Heat:
    """``du/dt = laplacian(u) + cos(4 t)`` in modes; stiffness ratio about 100."""

    def __init__(self, context, cells=16) -> None:
        self.case = poisson_case(context, unit_axes((cells,), vertex=True))
        self.matrix = self.case.matrix
        self.places = diagonal_places(self.case.rows)
        self.count = self.case.rows.count
        self.values, self.modes = np.linalg.eigh(self.matrix.toarray())
        x = np.arange(1, cells) / cells
        self.start = np.sin(np.pi * x) + 0.3 * np.sin(3 * np.pi * x)

    def rhs(self, t, u, g):
        g[:] = self.matrix @ u + np.cos(4 * t)

    def rhs_jacobian(self, t, u):
        return self.case.rows.data

    def source(self, t, u, g):
        g[:] = np.cos(4 * t)

    def implicit(self, t, u, udot, f):
        f[:] = udot - self.matrix @ u

    def ijacobian(self, t, u, udot, shift):
        data = -self.case.rows.data
        data[self.places] += shift
        return data

    def exact(self, t):
        source, start = self.modes.T @ np.ones(self.count), self.modes.T @ self.start

        def forced(time):
            return np.real(source * np.exp(4j * time) / (4j - self.values))

        return self.modes @ ((start - forced(0.0)) * np.exp(self.values * t) + forced(t))

    @property
    def whole(self):
        return Equation(self.rhs, self.rhs_jacobian)

    @property
    def split(self):
        return Equation(self.source, lambda t, u: np.zeros(self.case.rows.entries), self.implicit, self.ijacobian)


@pytest.fixture
def heat(context):
    return Heat(context)


def make(library, heat, scheme, equation=None, pairs=(), system=None, **known):
    options = SolverOptions(library, "u", OptionBook(pairs, ["u"]))
    chosen = heat.case.system if system is None else system
    return TsSolver(library, chosen, heat.whole if equation is None else equation, options, scheme, **known)


def error(library, heat, scheme, dt, **known):
    with make(library, heat, scheme, adaptive=False, **known) as solver:
        u = heat.start.copy()
        found = solver.advance(u, 0.0, END, dt)
    found.outcome.check("u")
    assert found.time == pytest.approx(END, abs=1e-14) and found.outcome.iterations == round(END / dt)
    return np.abs(u - heat.exact(END)).max()


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_order_of_the_implicit_schemes(library, heat, scheme):
    """ENG-08: halving the step divides the error by 2^order, far beyond the limit of explicit schemes."""
    pairs = [("snes_rtol", "1e-10"), ("ksp_rtol", "1e-12")]
    coarse, fine = (error(library, heat, scheme, END / n, pairs=pairs) for n in (32, 64))
    assert np.log2(coarse / fine) == pytest.approx(ORDER[scheme], abs=0.35), (coarse, fine)


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_split_and_whole_equation_agree(library, heat, scheme):
    """ENG-08: f and g apart; only additive schemes take g explicitly."""
    whole = error(library, heat, scheme, END / 64)
    split = error(library, heat, scheme, END / 64, equation=heat.split)
    assert split <= 10 * whole if scheme == "arkimex" else split == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("scheme", ["arkimex", "bdf", "rosenbrock", "crank_nicolson", "runge_kutta"])
def test_error_control_holds_the_tolerance(library, heat, scheme):
    """ENG-08: a tighter tolerance gives a smaller error by more steps."""
    found, errors = [], []
    for rtol in (1e-4, 1e-6):
        with make(library, heat, scheme, rtol=rtol, atol=rtol) as solver:
            u = heat.start.copy()
            found.append(solver.advance(u, 0.0, END, 1e-3))
        errors.append(np.abs(u - heat.exact(END)).max())
        assert found[-1].outcome.check("u").reason == "final time reached" and found[-1].time == pytest.approx(END)
    assert errors[1] < 1e-4 and errors[1] < errors[0] < 3e-3
    assert found[1].outcome.iterations > found[0].outcome.iterations


def test_stiff_steps_are_those_of_accuracy_not_of_stability(library, context):
    """ENG-08: a hundredfold stiffer system needs no more implicit steps, but many more explicit ones."""
    steps = {}
    for cells in (8, 80):
        heat = Heat(context, cells)
        for scheme in ("rosenbrock", "runge_kutta"):
            with make(library, heat, scheme, rtol=1e-4, atol=1e-4) as solver:
                found = solver.advance(heat.start.copy(), 0.0, END, 1e-4)
            steps[scheme, cells] = found.outcome.check("u").iterations
    assert steps["rosenbrock", 80] <= 2 * steps["rosenbrock", 8]
    assert steps["runge_kutta", 80] > 10 * steps["rosenbrock", 80]


def test_explicit_schemes(library, heat):
    """ENG-08: Runge-Kutta and SSP within their limit, without any Jacobian."""
    for scheme in EXPLICIT:
        equation = Equation(heat.rhs)
        assert error(library, heat, scheme, END / 256, equation=equation, system=system_of(heat.case.rows)) < 1e-3


def test_matrix_free_jacobian(library, heat):
    """Issue C 5: dg/du by its action; the mass term is added here."""
    free = System(heat.count, heat.count, apply=lambda x, y: np.copyto(y, heat.matrix @ x), symmetric=True)
    equation = Equation(heat.rhs, lambda t, u: None)
    found = error(library, heat, "bdf", END / 64, equation=equation, system=free, preconditioner="none")
    assert found == pytest.approx(error(library, heat, "bdf", END / 64), rel=1e-3)


def test_a_nonlinear_system_with_a_mass_of_its_own(library):
    """ENG-08: ``2 du/dt = -u^3`` has u = 1/sqrt(1 + t)."""
    rows = Rows.of([0, 1, 2], [0, 1], [0.0, 0.0])
    equation = Equation(
        ifunction=lambda t, u, udot, f: np.copyto(f, 2 * udot + u**3),
        ijacobian=lambda t, u, v, shift: 2 * shift + 3 * u**2,
    )
    options = SolverOptions(library, "u")
    with TsSolver(library, system_of(rows), equation, options, "bdf", rtol=1e-7, atol=1e-9) as solver:
        u = np.array([1.0, 1.0])
        found = solver.advance(u, 0.0, 3.0, 1e-3)
        found.outcome.check("u")
        assert u == pytest.approx([0.5, 0.5], abs=1e-5) and found.newton >= found.outcome.iterations


def test_integration_goes_on_where_it_ended(library, heat):
    """ENG-08: two calls give what one gives, and the counts are those of a call."""
    with make(library, heat, "crank_nicolson", adaptive=False) as solver:
        whole, parts = heat.start.copy(), heat.start.copy()
        one = solver.advance(whole, 0.0, END, END / 40)
        first = solver.advance(parts, 0.0, END / 2, END / 40)
        second = solver.advance(parts, END / 2, END, END / 40)
    assert parts == pytest.approx(whole, rel=1e-7)
    assert (first.outcome.iterations, second.outcome.iterations, one.outcome.iterations) == (20, 20, 40)
    assert first.newton + second.newton == pytest.approx(one.newton, abs=3)


def test_schemes_of_several_steps_start_anew(library, heat):
    """ENG-08: nothing of an earlier integration is left in a later one."""
    with make(library, heat, "bdf", adaptive=False, pairs=[("ts_bdf_order", "3")]) as solver:
        first, second = heat.start.copy(), heat.start.copy()
        solver.advance(first, 0.0, END, END / 40)
        solver.advance(np.ones(heat.count), 0.0, END, END / 40)
        solver.advance(second, 0.0, END, END / 40)
    assert np.array_equal(first, second)


def test_failure_is_told(library, heat):
    """F-44: too few steps, a Newton iteration that fails, and never a silent end."""
    with make(library, heat, "bdf", adaptive=False, max_steps=3) as solver:
        found = solver.advance(heat.start.copy(), 0.0, END, 1e-3)
        assert not found.outcome.converged and "before the final time" in found.outcome.reason
        assert found.time == pytest.approx(3e-3)
    with make(library, heat, "bdf", adaptive=False, preconditioner="jacobi", pairs=[("ksp_max_it", "1")]) as solver:
        found = solver.advance(heat.start.copy(), 0.0, END, 1e-2)
    assert found.outcome.reason == "a nonlinear solve failed: the linear solve failed (too many iterations)"
    with pytest.raises(Exception, match="u: PETSc bdf, jacobi did not converge"):
        found.outcome.check("u")


@pytest.mark.parametrize(
    ("scheme", "equation", "told"),
    [
        ("bdff", Equation(lambda t, u, g: None), "unknown scheme of PETSc 'bdff'; did you mean 'bdf'"),
        ("bdf", Equation(), "neither rhs nor ifunction"),
        ("bdf", Equation(lambda t, u, g: None), "needs rhs_jacobian too"),
        ("bdf", Equation(ifunction=lambda t, u, v, f: None), "ifunction needs ijacobian too"),
        ("ssp", Equation(ifunction=lambda t, u, v, f: None), "explicit scheme cannot take ifunction"),
    ],
)
def test_what_is_missing_is_told(library, heat, scheme, equation, told):
    """F-44: schemes and what they need of an equation."""
    with pytest.raises(ConfigError, match=told):
        make(library, heat, scheme, equation)


def test_a_row_without_a_diagonal_is_refused(library, heat):
    """F-44: the mass term has no place to go."""
    rows = Rows.of([0, 1, 2], [1, 0], [1.0, 1.0])
    with pytest.raises(ConfigError, match="2 rows have no entry on the diagonal"):
        make(library, heat, "bdf", system=system_of(rows))


def test_options_reach_the_scheme(library, heat):
    """Need 25: variants by options, and none left over before the first step."""
    pairs = [("u_ts_type", "theta"), ("u_ts_theta_theta", "1.0")]
    assert error(library, heat, "bdf", END / 64, pairs=pairs) == pytest.approx(
        error(library, heat, "backward_euler", END / 64), rel=1e-6
    )
    calls = []
    equation = Equation(lambda t, u, g: calls.append(t) or heat.rhs(t, u, g), heat.rhs_jacobian)
    with (
        make(library, heat, "bdf", equation, [("u_ts_bdf_ordr", "2")]) as solver,
        pytest.raises(ConfigError, match="did you mean -u_ts_bdf_order?"),
    ):
        solver.advance(heat.start.copy(), 0.0, END, 1e-3)
    assert not calls


def test_progress_is_reported(library, heat):
    """Issue C 2: a callback per step."""
    seen = []
    with make(library, heat, "crank_nicolson", adaptive=False, progress=lambda *now: seen.append(now)) as solver:
        solver.advance(heat.start.copy(), 0.0, END, END / 4)
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4] and seen[-1][1] == pytest.approx(END)
