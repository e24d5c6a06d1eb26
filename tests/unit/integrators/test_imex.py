"""The implicit-explicit pair: its tables, the split, its order, its error control (ENG-08)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError, FormulaError
from hpcsim.integrators.imex import imex_ark3 as table
from hpcsim.integrators.scheme import Spectrum
from hpcsim.integrators.splitting import Splitting
from hpcsim.sweeps.sweep import Solve, Stage
from hpcsim.symbolic.expr import ZERO, Expr
from hpcsim.symbolic.system import build_system
from tests.unit.integrators.setup import discrete, scheme_of

FISHER = {"dt(u)": "D*laplacian(u) + u*(1 - u)"}


def matrix(rows: tuple[tuple[Any, ...], ...], diagonal: float) -> np.ndarray:
    """A whole table from its rows below the diagonal."""
    full = np.zeros((len(rows) + 1, len(rows) + 1))
    for n, row in enumerate(rows, start=1):
        full[n, :n] = [float(a) for a in row]
        full[n, n] = diagonal
    return full


def test_conditions_of_order() -> None:
    """All conditions up to order 3 of both tables and of their coupling, and up to 2 of the embedded weights."""
    explicit, implicit = matrix(table.explicit, 0.0), matrix(table.implicit, float(table.gamma))
    c = np.array([float(t) for t in table.times])
    weights, embedded = (np.array([float(w) for w in row]) for row in (table.weights, table.embedded))
    for a in (explicit, implicit):
        assert a.sum(axis=1) == pytest.approx(c, abs=1e-14)
        assert weights @ a @ c == pytest.approx(1 / 6, abs=1e-14)
    assert (weights.sum(), weights @ c, weights @ c**2) == pytest.approx((1, 1 / 2, 1 / 3), abs=1e-14)
    assert (embedded.sum(), embedded @ c) == pytest.approx((1, 1 / 2), abs=1e-14)
    assert abs(embedded @ c**2 - 1 / 3) > 1e-3
    # Stiffly accurate, and of stage order 2: the second moments of the implicit rows.
    assert weights == pytest.approx(implicit[-1], abs=1e-15)
    assert implicit @ c == pytest.approx(c**2 / 2, abs=1e-14)


def test_damping_and_stability_of_both_parts() -> None:
    """L-stable alone; below the explicit limit no decay of the implicit part makes it unstable."""
    decays = -np.concatenate(([0.0], np.logspace(-3, 8, 80)))
    assert np.abs(table.amplification(decays.astype(complex))).max() <= 1 + 1e-12
    assert abs(table.amplification(np.array([-1e9 + 0j]))[0]) < 1e-6
    axis = 1j * np.logspace(-3, 8, 80)
    assert np.abs(table.amplification(axis)).max() <= 1 + 1e-12
    for direction in (-1.0, 1j, -1j, (-1 + 1j) / math.sqrt(2)):
        limit = table.limit(Spectrum(np.array([direction * 3.0]), np.zeros(0, dtype=complex)))
        assert 0.5 < 3.0 * limit < 6.0
        inside = table.amplification(decays[None, :], direction * 3.0 * limit * np.linspace(0, 1, 40)[:, None])
        assert np.abs(inside).max() <= 1 + 1e-9
        assert abs(table.amplification(np.zeros(1, complex), direction * 3.0 * limit * 1.01)[0]) > 1


SPLITS = [
    ("laplacian(u) - u**3", "laplacian(u)", "-u**3"),
    ("D*laplacian(u) + u*(1 - u)", "D*laplacian(u)", "u*(1 - u)"),
    ("D*(laplacian(u) + 1 - u*u)", "D*laplacian(u)", "D*1 - D*u*u"),
    ("div((1 + x)*grad(u)) - d(u, x)", "div((1 + x)*grad(u)) - d(u, x)", "0"),
    ("u*d(u, x) + d(u*u, x)", "0", "u*d(u, x) + d(u*u, x)"),
    ("div(k*grad(u)) + k*u", "div(k*grad(u))", "k*u"),
    ("d(phi, x)*d(u, x) + laplacian(phi) + laplacian(u)", "laplacian(u)", "d(phi, x)*d(u, x) + laplacian(phi)"),
    ("sin(d(u, x)) + exp(x)*d(v, x, 2)*cos(t)", "exp(x)*d(v, x, 2)*cos(t)", "sin(d(u, x))"),
    ("where(x > 1, laplacian(u), 0) + d(noise(), x)", "0", "where(x > 1, laplacian(u), 0) + d(noise(), x)"),
]


@pytest.mark.parametrize(("text", "implicit", "explicit"), SPLITS)
def test_linear_terms_with_space_derivatives_are_implicit(text: str, implicit: str, explicit: str) -> None:
    """Fields without an equation are coefficients, fields of constraints are not."""

    def rhs(formula: str) -> tuple[Any, Expr]:
        places = dict.fromkeys(("u", "v", "k", "phi"), ((0,),))
        equations = {"dt(u)": formula, "dt(v)": "u", "solve(phi)": "laplacian(phi) - u"}
        system = build_system(1, places, {"D": 2.0}, equations)
        return system, system.equations[0].rhs

    system, whole = rhs(text)
    found = Splitting.of(system)(whole)
    for part, wanted in zip(found, (implicit, explicit), strict=True):
        assert part == (ZERO if wanted == "0" else rhs(wanted)[1])


def test_stages_share_their_operator() -> None:
    """Three solves that differ in time alone, and none of fields without an implicit term."""
    scheme = scheme_of("imex_ark3", {"dt(u)": "laplacian(u) - v", "dt(v)": "u - v"})
    solves = [stage for stage in scheme.stages if isinstance(stage, Solve)]
    assert [solve.time for solve in solves] == [pytest.approx(float(t)) for t in table.times[1:]]
    assert {(solve.unknowns, solve.residuals, solve.guess) for solve in solves} == {
        (solves[0].unknowns, solves[0].residuals, solves[0].guess)
    }
    assert solves[0].unknowns == (("u@stage", 0),)
    inputs = [dict(stage.inputs) for stage in scheme.stages if isinstance(stage, Stage)]
    assert inputs == [{}, *[{"u": "u@stage", "v": "v@stage"}] * 3]


def test_nothing_to_solve_is_refused() -> None:
    with pytest.raises(FormulaError, match="none; use bs32"):
        scheme_of("imex_ark3", {"dt(u)": "-u + sin(t)"})


def fixed(run: Simulation, steps: int) -> Simulation:
    """Steps of equal size, whatever the error says."""
    for n in range(steps):
        run.program.step(n * run.dt, run.dt)
        run.program.accept((n + 1) * run.dt, run.dt)
    return run


CASES = {
    "reaction and diffusion": ({"dt(u)": "laplacian(u) - 2*u**3 + cos(3*t)"}, {"u": "1 + sin(2*pi*x/8)/2"}),
    "diffusion at a wall": ({"dt(u)": "laplacian(u) - 2*u**3"}, {"u": "1 + sin(2*pi*x/8)/2"}),
    "advection": ({"dt(u)": "laplacian(u)/5 - d(u, x) - u*d(u, x)"}, {"u": "sin(2*pi*x/8)"}),
    "two fields": ({"dt(u)": "laplacian(u) - u*v", "dt(v)": "u*v - v"}, {"u": "1 + sin(2*pi*x/8)/2", "v": 0.3}),
    "coupled": (
        {"dt(u)": "laplacian(u) + d(v, x)/2 - u**2", "dt(v)": "laplacian(v)/3 + d(u, x, 2)/9 + u"},
        {"u": "1 + sin(2*pi*x/8)/2", "v": "cos(2*pi*x/8)"},
    ),
    "wave": ({"dtt(u)": "laplacian(u) - sin(u) - dt(u)**3/2"}, {"u": "cos(2*pi*x/8)", "dt(u)": "sin(2*pi*x/8)"}),
    "viscous": (
        {"dtt(u)": "laplacian(u) + laplacian(dt(u))/3 - u**3 + dt(u)*laplacian(dt(u))/9"},
        {"u": "cos(2*pi*x/8)", "dt(u)": "sin(2*pi*x/8)"},
    ),
    "mixed": (
        {"dtt(u)": "laplacian(u) - c - dt(u)*u", "dt(c)": "laplacian(c) + u*u", "dtt(q)": "-q**3 + c"},
        {"u": "cos(2*pi*x/8)", "c": "sin(2*pi*x/8)", "q": 1.0, "dt(q)": 0.5},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_order_three_against_a_fine_explicit_run(case: str) -> None:
    """ENG-08: every kind of term on either side, fields and rates alike."""
    equations, initial = CASES[case]
    wall = {"x": ["neumann", {"type": "dirichlet", "value": "1 + t**3"}]} if "wall" in case else {}

    def make(name: str, steps: int) -> Simulation:
        return Simulation(
            Lattice([8], boundary=wall or "periodic"), Model(equations), initial=initial, integrator=name,
            dt=0.25 / steps, backend="numpy", allow_unstable=True,
        )  # fmt: skip

    fine = make("rk4", 300).run(steps=300)
    runs = [fixed(make("imex_ark3", steps), steps) for steps in (20, 40)]
    for name in [register.name for register in fine.state if register.saved]:
        errors = [np.abs(run[name] - fine[name]).max() for run in runs]
        assert errors[0] < 1e-6
        assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.3), name


def test_error_follows_the_tolerance() -> None:
    """Steps are chosen by the estimate: the error stays near the tolerance, the steps grow as its third root."""
    counts = []
    for tolerance in (1e-4, 1e-6):
        run = Simulation(
            Lattice([8]), Model({"dt(u)": "3*laplacian(u) - u**3 + sin(5*t)"}), initial={"u": "1 + sin(2*pi*x/8)"},
            integrator="imex_ark3", dt=0.3, rtol=tolerance, atol=tolerance, backend="numpy",
        ).run(until=3.0)  # fmt: skip
        fine = Simulation(
            Lattice([8]), Model({"dt(u)": "3*laplacian(u) - u**3 + sin(5*t)"}), initial={"u": "1 + sin(2*pi*x/8)"},
            integrator="rk4", dt=run.time / 600, backend="numpy", allow_unstable=True,
        ).run(steps=600)  # fmt: skip
        assert np.abs(run["u"] - fine["u"]).max() < 20 * tolerance
        counts.append(run.step)
        assert run.control is not None
        assert run.control.rejected > 0
    assert counts[1] / counts[0] == pytest.approx(100 ** (1 / 3), rel=0.3)


def test_the_step_is_bounded_by_the_explicit_part_alone() -> None:
    """A hundred times the diffusion changes nothing; without an explicit part there is no limit, and dt is needed."""

    def make(equations: dict[str, str], diffusion: float, **options: Any) -> Simulation:
        return Simulation(
            Lattice([8]), Model(equations, parameters={"D": diffusion}), initial={"u": 0.5}, integrator="imex_ark3",
            backend="numpy", **options,
        )  # fmt: skip

    limits = [make({"dt(u)": "D*laplacian(u) - 3*u"}, diffusion).limit for diffusion in (1.0, 100.0)]
    assert limits[0] == limits[1] == pytest.approx(make({"dt(u)": "D*laplacian(u) - 30*u"}, 1.0).limit * 10)
    assert 0.5 < limits[0] < 2.0
    with pytest.raises(ConfigError, match="no stability limit; give a step size"):
        make({"dt(u)": "D*laplacian(u)"}, 1.0)
    assert make({"dt(u)": "D*laplacian(u)"}, 1.0, dt=7.0).dt == 7.0


def test_what_the_solver_leaves_over_is_not_magnified() -> None:
    """An error of 1e-6 in stages of a problem of stiffness 1e6 stays one of 1e-6: slopes follow from the stages."""
    stiff = {"dt(u)": "1e6*laplacian(u) + cos(t)"}

    def end(rtol: float) -> np.ndarray:
        run = Simulation(
            Lattice([8]), Model(stiff), initial={"u": "sin(2*pi*x/8)"}, integrator="imex_ark3", dt=0.1, backend="numpy"
        )
        for solve in run.solves.made:
            solve.leave = rtol
        return np.array(fixed(run, 5)["u"])

    exact = end(0.0)
    assert exact == pytest.approx(np.full(8, math.sin(0.5)), abs=1e-4)
    assert np.abs(end(1e-6) - exact).max() < 1e-5


@pytest.mark.parametrize("ndim", [2, 3])
def test_vector_fields_on_faces_and_edges(ndim: int) -> None:
    """Maxwell's equations with a loss: curls implicit, components at their places, energy falls as it must."""
    if ndim == 3:
        equations = {"dt(E)": "curl(B) - E/2", "dt(B)": "-curl(E)"}
        fields = {"E": {"centring": "edge", "components": 3}, "B": {"centring": "face", "components": 3}}
    else:
        equations = {"dt(E)": "d(B, y) - d(B, x) - E/2", "dt(B)": "d(E, y) - d(E, x)"}
        fields = {"E": {}, "B": {}}
    n = 3 if ndim == 3 else 6
    initial = {"E": [f"sin(2*pi*{axis}/{n})" for axis in "yzx"]} if ndim == 3 else {"E": f"sin(2*pi*x/{n})"}
    ends = []
    for name in ("rk4", "imex_ark3"):
        run = Simulation(
            Lattice([n] * ndim), Model(equations, fields), initial=initial, integrator=name, dt=0.05, backend="numpy"
        )
        ends.append(fixed(run, 3).values("E")[0])
    for ours, theirs in zip(*ends, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert max(np.abs(part).max() for part in ends[0]) > 0.1


def test_the_discrete_system_is_left_alone() -> None:
    """The same system can be given to several schemes."""
    system = discrete({"dt(u)": "laplacian(u) - u**2"})
    first = scheme_of("imex_ark3", {"dt(u)": "laplacian(u) - u**2"})
    assert table(system).stages == table(system).stages == first.stages
