"""The scheme exponential_modes: what is exact, what is left over, its step and its order (ENG-08, QG-01, QG-02)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError, FormulaError
from hpcsim.integrators.scheme import Scheme
from hpcsim.sweeps.sweep import Stage
from hpcsim.sweeps.transforms import Propagate
from hpcsim.symbolic.expr import Access
from tests.unit.integrators.setup import final, observed_order, ode, scheme_of

PARAMETERS = {"a": 0.3, "b": 0.2}


def made(right: str, **options: Any) -> Scheme:
    """The scheme of one equation in two dimensions; v is another field."""
    equations = {"dt(u)": right, "dt(v)": "-v"}
    return scheme_of("exponential_modes", equations, ndim=2, parameters=PARAMETERS, **options)


def parts(scheme: Scheme, field: str = "u") -> tuple[set[tuple[int, ...]], int, set[str]]:
    """Offsets that are exact, how many noises are, and registers that the rest reads."""
    (step,) = (s for s in scheme.stages if isinstance(s, Propagate) and s.unknown[0] == field)
    reads = set()
    for stage in scheme.stages:
        if isinstance(stage, Stage):
            for assignment in (a for sweep in stage.sweeps for a in sweep.assignments):
                if assignment.target == Access(f"{field}@rest", 0, (0, 0)):
                    reads = {n.register for n in assignment.value.walk() if isinstance(n, Access)} | {"some"}
    assert (step.rest is not None) == bool(reads)
    return {offset for offset, _ in step.weights}, len(step.noises), reads


STAR = {(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)}


@pytest.mark.parametrize(
    ("right", "offsets", "noises", "reads"),
    [
        ("a*laplacian(u) - b*u", STAR, 0, set()),
        ("exp(a)*d(u, x) - sqrt(b)*u/(1 + a)**2", {(0, 0), (1, 0), (-1, 0)}, 0, set()),
        ("div(a*grad(u)) + d(d(u, x), y)", STAR | {(1, 1), (1, -1), (-1, 1), (-1, -1)}, 0, set()),
        # A constant, another field or the time beside the unknown leave it exact.
        ("-a*(u - b)", {(0, 0)}, 0, {"some"}),
        ("a*(v - u)", {(0, 0)}, 0, {"some", "v"}),
        ("laplacian(u) + cos(t)", STAR, 0, {"some"}),
        # What varies in space or time, or is not linear, does not.
        ("-u*t", set(), 0, {"some", "u"}),
        ("-x*u + a*u", {(0, 0)}, 0, {"some", "u"}),
        ("u - u**3", {(0, 0)}, 0, {"some", "u"}),
        ("a*(u + floor(u))", set(), 0, {"some", "u"}),
        ("-u*abs(v)", set(), 0, {"some", "u", "v"}),
        ("a*(u + sign(u))", set(), 0, {"some", "u"}),
        ("-a*where(u < 1, u, u + 1)", set(), 0, {"some", "u"}),
        ("a*noise() - u", {(0, 0)}, 1, set()),
        ("a*(u + noise() + v) + noise(2)", {(0, 0)}, 2, {"some", "v"}),
        # Noise that is differenced, or multiplied by something that varies, counts as constant during the step.
        ("div(a*vector(noise(), noise(2)))", set(), 0, {"some", "noise:1@10", "noise:2[1]@01"}),
        ("u*noise()", set(), 0, {"some", "u", "noise:1"}),
        ("x*noise()", set(), 0, {"some", "noise:1"}),
    ],
)
def test_what_is_exact(right: str, offsets: set[tuple[int, ...]], noises: int, reads: set[str]) -> None:
    """QG-01, QG-02: terms are divided into an exact part and a rest, and nothing is lost."""
    scheme = made(right)
    assert parts(scheme) == (offsets, noises, reads)
    assert parts(scheme, "v") == ({(0, 0)}, 0, set())
    assert scheme.extra == ({"u@rest": "u"} if reads else {})
    assert scheme.saved == frozenset() and scheme.swaps == ()
    assert scheme.unlimited is not bool(reads)


def test_rests_are_one_stage_before_all_steps() -> None:
    """ENG-08: every rest is taken at the old level of all fields, after one fill of their ghosts."""
    equations = {"dt(u)": "laplacian(u) - u*v", "dt(v)": "laplacian(v) + u*v", "dt(n)": "-n"}
    scheme = scheme_of("exponential_modes", equations, ndim=1)
    assert [type(stage).__name__ for stage in scheme.stages] == ["Stage", "Propagate", "Propagate", "Propagate"]
    assert scheme.extra == {"u@rest": "u", "v@rest": "v"}
    (stage, *_) = scheme.stages
    assert [a.target.register for sweep in stage.sweeps for a in sweep.assignments] == ["u@rest", "v@rest"]


@pytest.mark.parametrize("z", [0.1, 1.0, 10.0])
def test_growth_factor_on_decay(z: float) -> None:
    """ENG-08: exp(-z) to rounding, whatever the split into rate and step, with a source and without."""
    for dt in (1.0, 0.01):
        options = {"parameters": {"k": z / dt}}
        got = final(ode({"dt(u)": "-k*u"}, {"u": 1.0}, "exponential_modes", dt, **options).run(steps=1))
        assert got == pytest.approx(math.exp(-z), rel=1e-12)
        run = ode({"dt(u)": "-k*(u - 2)"}, {"u": 1.0}, "exponential_modes", dt, **options).run(steps=3)
        assert final(run) == pytest.approx(2.0 - math.exp(-3 * z), rel=1e-12)


def test_order_with_a_rest() -> None:
    """ENG-08: order 1 in what is not exact."""
    equations = {"dt(u)": "-u - u*u/4 + cos(3*t)"}
    fine = final(ode(equations, {"u": 1.0}, "rk4", 1 / 1000).run(steps=1000))
    assert observed_order(equations, {"u": 1.0}, "exponential_modes", fine, (100, 200)) == pytest.approx(1, abs=0.05)


def test_second_order_equations_are_refused() -> None:
    """ENG-08: waves have no step of this kind; the message names the field."""
    with pytest.raises(FormulaError, match=r"exponential_modes needs dt\(\) equations, but dtt\(E\)"):
        scheme_of("exponential_modes", {"dtt(E)": "laplacian(E)"})


def test_the_step_is_bounded_by_the_rest_alone() -> None:
    """ENG-08: no limit if all is exact, and then a step must be given; else that of Euler for the rest."""
    model = Model({"dt(u)": "9*laplacian(u) - 4*u"})
    with pytest.raises(ConfigError, match="stable at every step size.*give a step size") as caught:
        Simulation(Lattice([8]), model, integrator="exponential_modes", steps=3)
    assert [problem.where for problem in caught.value.problems] == ["run.dt"]
    model = Model({"dt(u)": "9*laplacian(u) - 4*(u - 1) - k*u"}, parameters={"k": "1 + x/8"})
    run = Simulation(Lattice([8]), model, integrator="exponential_modes", backend="numpy")
    assert run.limit == pytest.approx(2 / (1 + 7.5 / 8), rel=1e-3)
    with pytest.raises(ConfigError, match="above the linear stability limit"):
        Simulation(Lattice([8]), model, integrator="exponential_modes", dt=1.1, backend="numpy")


def test_traffic_of_transforms_is_not_made_up() -> None:
    """PERF-01: no memory traffic is claimed for a step whose transforms nobody counted."""
    model = Model({"dt(u)": "laplacian(u) - u**3"})
    for integrator, known in (("exponential_modes", False), ("crank_nicolson", False), ("rk4", True)):
        run = Simulation(Lattice([8]), model, integrator=integrator, dt=0.1, backend="numpy")
        assert (run.program.bytes_per_cell_step > 0) is known


def test_threads_do_not_matter() -> None:
    """PET: the same values to rounding with several threads."""
    model = Model({"dt(u)": "laplacian(u) - u + noise()"})
    ends = []
    for threads in (1, 2):
        run = Simulation(
            Lattice([12, 10, 8]), model, integrator="exponential_modes", dt=0.5, threads=threads, backend="numpy"
        )
        ends.append(np.array(run.run(steps=5)["u"]))
    assert np.abs(ends[0] - ends[1]).max() <= 1e-13 * np.abs(ends[0]).max()


def test_constraints_are_solved_for_the_rest() -> None:
    """ENG-08: a field that follows from the others is taken at the start of the step, as all of the rest."""
    model = Model({"dt(u)": "laplacian(u) - phi", "solve(phi)": "2*phi - u"})
    start = np.cos(2 * np.pi * (np.arange(8) + 0.5) / 8)
    run = Simulation(
        Lattice([8]), model, initial={"u": "cos(2*pi*x/8)"}, integrator="exponential_modes", dt=0.5, backend="numpy"
    )
    rate = 4 * math.sin(math.pi / 8) ** 2
    after = start * (math.exp(-rate / 2) - 0.5 * (1 - math.exp(-rate / 2)) / rate)
    assert np.abs(run.run(steps=1)["u"] - after).max() <= 1e-14
    assert np.abs(run["phi"] - after / 2).max() <= 1e-14
