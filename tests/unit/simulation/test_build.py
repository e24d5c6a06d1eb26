"""A simulation in one process: stepping, adaptivity, derived fields, quantities, sponge terms, inspection."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.config import from_mapping
from hpcsim.errors import BlowUpError, ConfigError
from hpcsim.simulation.case import make_case
from hpcsim.simulation.inspect import describe
from hpcsim.simulation.warmup import compile_case, shrunk

DECAY = Model({"dt(u)": "-rate*u"}, parameters={"rate": 2.0}, derived={"square": "u**2", "slope": "grad(u)"})
LATTICE = Lattice([6, 5], upper=[3.0, 2.5])


def _simulation(model: Model = DECAY, **options: object) -> Simulation:
    settings: dict[str, object] = {"backend": "numpy", "initial": {"u": "1 + x"}, **options}
    return Simulation(settings.pop("lattice", LATTICE), model, **settings)


def test_time_is_start_plus_steps_times_dt() -> None:
    with _simulation(dt=0.1, start_time=1.0) as simulation:
        simulation.run(steps=7)
        assert (simulation.step, simulation.time) == (7, 1.0 + 7 * 0.1)
        simulation.run(until=2.0)
        assert simulation.step == 10


def test_derived_fields_are_evaluated_from_the_present_state() -> None:
    with _simulation(dt=0.1) as simulation:
        simulation.run(steps=2)
        np.testing.assert_array_equal(simulation["square"], simulation["u"] ** 2)
        slope = simulation.values("slope")[0]
        assert len(slope) == 2
        np.testing.assert_allclose(slope[1], 0.0, atol=1e-14)


def test_quantities_are_reductions_of_formulas() -> None:
    quantities = {
        "sum": {"integral": "u"}, "top": {"max": "u"}, "low": {"min": "u"}, "rms": {"norm2": "u"}, "mid": {"mean": "u"},
    }  # fmt: skip
    with _simulation(dt=0.1, quantities=quantities) as simulation:
        found, u = simulation.quantities(), simulation["u"]
    assert found["sum"] == pytest.approx(u.sum() * 0.25, rel=1e-14)
    assert (found["top"], found["low"]) == (u.max(), u.min())
    assert found["rms"] == pytest.approx(math.sqrt((u**2).sum() * 0.25), rel=1e-14)
    assert found["mid"] == pytest.approx(u.mean(), rel=1e-14)


def test_the_adaptive_pair_meets_its_tolerance_and_counts_rejections() -> None:
    with _simulation(integrator="bs32", rtol=1e-8, atol=1e-10, dt=0.4) as simulation:
        start = simulation["u"].copy()
        simulation.run(until=1.0)
        error = np.abs(simulation["u"] - start * math.exp(-2.0 * simulation.time)).max()
        assert simulation.control is not None and simulation.control.rejected > 0
    assert error < 1e-6


def test_a_blow_up_ends_the_adaptive_run() -> None:
    grow = Model({"dt(u)": "u**2"})
    with pytest.raises(BlowUpError, match="adaptive step fell"):
        _simulation(grow, integrator="bs32", initial={"u": 1.0}, dt=0.1).run(until=2.0)


def test_a_step_above_the_limit_needs_the_override() -> None:
    heat = Model({"dt(u)": "laplacian(u)"})
    with pytest.raises(ConfigError, match=r"run.dt: 1 is above the linear stability limit 0.0870404"):
        _simulation(heat, dt=1.0)
    with _simulation(heat, dt=1.0, allow_unstable=True) as simulation:
        assert simulation.dt == 1.0


def test_euler_refuses_centred_advection() -> None:
    with pytest.raises(ConfigError, match="euler is unstable for these equations at every step size"):
        _simulation(Model({"dt(u)": "-d(u, x)"}), integrator="euler")


def test_a_parameter_of_space_must_be_finite() -> None:
    model = Model({"dt(u)": "-k*u"}, parameters={"k": "log(x - 1)"})
    with pytest.raises(ConfigError, match="model.parameters.k: the formula is nan at x = 0.25, y = 0.25"):
        _simulation(model, dt=0.1)


def test_fields_without_an_equation_keep_their_values() -> None:
    model = Model({"dt(u)": "v"}, {"u": {}, "v": {}})
    with _simulation(model, initial={"v": "2*x"}, dt=0.5) as simulation:
        before = simulation["v"].copy()
        simulation.run(steps=4)
        np.testing.assert_array_equal(simulation["v"], before)
        np.testing.assert_allclose(simulation["u"], 2.0 * before, rtol=1e-15)


def _case(**run: object):
    return make_case(
        from_mapping(
            {
                "lattice": {"shape": [512, 512, 512]},
                "model": {"name": "klein_gordon", "order": 4, "parameters": {"chi": "0.1 + x"}},
                "run": {"steps": 1, **run},
            }
        )
    )


def test_inspection_shows_every_form() -> None:
    text = describe(_case(), ("equation", "stencil", "nest", "source"))
    assert "dtt(E) = c**2*(d(E, x, 2) + d(E, y, 2) + d(E, z, 2)) - chi**2*E" in text
    assert "chi = 0.1 + x    (tabulated)" in text
    assert "ghost width 2" in text
    assert "a step: 32 B and " in text
    assert "def run(boxes" in text


def test_inspection_shows_what_is_solved() -> None:
    config = {
        "lattice": {"shape": [64]},
        "model": {
            "fields": {"u": {}, "phi": {}},
            "equations": {"dt(u)": "laplacian(u) - phi", "solve(phi)": "laplacian(phi) - u"},
        },
        "run": {"steps": 1, "dt": 1.0, "integrator": "backward_euler"},
    }
    text = describe(make_case(from_mapping(config)), ("equation", "nest"))
    assert "0 = d(phi, x, 2) - u    (for phi)" in text
    assert "stage 0 at t + 1 dt: solver 'step' (linear, " in text
    assert "  0 = (2*dt*h_x**(-2) + 1)*u@new - u - dt*h_x**(-2)*(u@new[x-1] + u@new[x+1]) + dt*phi" in text
    assert "  0 = -2*h_x**(-2)*phi + h_x**(-2)*(phi[x-1] + phi[x+1]) - u@new" in text
    assert text.endswith("beside the solves")


def test_kernels_of_a_huge_case_are_compiled_without_its_memory() -> None:
    case = _case(backend="numpy")
    assert shrunk(case).domain.spacing == case.domain.spacing
    count, _ = compile_case(case)
    assert count >= 2


def test_fixed_wall_planes_show_the_present_time() -> None:
    model = Model({"dt(u)": "0*u"}, {"u": {"centring": "vertex"}})
    lattice = Lattice([4], upper=[4.0], boundary={"x": {"type": "dirichlet", "value": "t"}})
    with _simulation(model, lattice=lattice, initial={"u": 1.0}, dt=0.25) as simulation:
        simulation.run(steps=3)
        assert simulation["u"].tolist() == [0.75, 1.0, 1.0, 1.0, 0.75]


def test_a_stop_between_steps_takes_the_first_step_that_is_near_enough() -> None:
    for until, steps in ((0.875, 3), (0.876, 4), (1.0, 4), (0.1, 0)):
        with _simulation(dt=0.25) as simulation:
            assert simulation.run(until=until).step == steps
