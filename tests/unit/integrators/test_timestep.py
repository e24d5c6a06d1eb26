"""The step: chosen, refused, adapted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import BlowUpError, ConfigError
from hpcsim.integrators.timestep import StepControl, choose_dt
from tests.unit.integrators.setup import final, ode, scheme_of

SCHEME = scheme_of("rk4", {"dt(u)": "laplacian(u)"})
ATTEMPTS = 2_000


@pytest.fixture(autouse=True)
def no_endless_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that are refused for ever, or that shrink to nothing, fail the test instead of stopping it."""
    real, count = StepControl.next, 0

    def counted(control: StepControl, dt: float, error: float) -> tuple[bool, float]:
        nonlocal count
        count += 1
        assert count < ATTEMPTS, f"no end after {count} steps, the last of dt = {dt:.3g}"
        return real(control, dt, error)

    monkeypatch.setattr(StepControl, "next", counted)


def test_the_default_is_a_fraction_of_the_limit() -> None:
    assert choose_dt(SCHEME, 0.5, 4.0, None, 0.9, False) == 0.45
    assert choose_dt(SCHEME, 0.5, 4.0, 0.3, 0.9, False) == 0.3


def test_the_limit_itself_is_accepted_but_not_more() -> None:
    """KG-23: dt <= limit (1 + 1e-12), the next larger step is refused with the number that would do."""
    assert choose_dt(SCHEME, 0.5, 4.0, 0.5 * (1 + 1e-13), 0.9, False) > 0.5
    with pytest.raises(ConfigError, match="0.5") as caught:
        choose_dt(SCHEME, 0.5, 4.0, 0.5 * (1 + 1e-11), 0.9, False)
    assert "allow_unstable" in str(caught.value)
    assert "run.dt" in str(caught.value)
    assert choose_dt(SCHEME, 0.5, 4.0, 0.6, 0.9, True) == 0.6


def test_no_limit_needs_a_step() -> None:
    with pytest.raises(ConfigError, match="give a step size"):
        choose_dt(SCHEME, math.inf, 0.0, None, 0.9, False)
    assert choose_dt(SCHEME, math.inf, 0.0, 0.1, 0.9, False) == 0.1


def test_unstable_for_every_step() -> None:
    with pytest.raises(ConfigError, match="every step size"):
        choose_dt(SCHEME, 1e-9, 4.0, None, 0.9, False)


@pytest.mark.parametrize("factor", [0.999, 1.001])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_runs_beyond_the_edge_are_refused(ndim: int, factor: float) -> None:
    """KG-23: the solver refuses 1.001 of the limit without an override, and takes 0.999."""

    def make(**options: object) -> Simulation:
        dt = factor * 2 / math.sqrt(4 * ndim + 0.25)
        model = Model(name="klein_gordon", parameters={"chi": 0.5})
        return Simulation(Lattice([4] * ndim), model, dt=dt, backend="numpy", **options)

    if factor > 1:
        with pytest.raises(ConfigError, match="stability limit"):
            make()
        make(allow_unstable=True)
    else:
        assert make().dt < make().limit


def test_a_state_that_cannot_be_linearised() -> None:
    with pytest.raises(ConfigError, match="not finite"):
        ode({"dt(u)": "1/u"}, {"u": 0.0}, "rk4", 0.1)


def test_controller() -> None:
    """Accepted up to 1; the next step follows error^(-1/order), within its bounds."""
    control = StepControl(3, 1e-9)
    assert control.next(0.1, 1.0) == (True, pytest.approx(0.09))
    assert control.next(0.1, 8.0) == (False, pytest.approx(0.045))
    assert control.next(0.1, 0.0) == (True, pytest.approx(0.5))
    assert control.next(0.1, 1e-12) == (True, pytest.approx(0.5))
    assert control.next(0.1, 1e12) == (False, pytest.approx(0.02))
    for bad in (math.nan, math.inf):
        assert control.next(0.1, bad) == (False, pytest.approx(0.02))
    assert control.rejected == 4
    with pytest.raises(BlowUpError, match="blows up"):
        control.next(2e-9, math.nan)
    # The order is that of the pair, and the bounds are where 0.9*error^(-1/order) meets 0.2 and 5.
    assert StepControl(5, 1e-9).next(0.1, 32.0) == (False, pytest.approx(0.045))
    assert StepControl(2, 1e-9).next(0.1, 0.0325) == (True, pytest.approx(0.0900 / math.sqrt(0.0325)))
    assert StepControl(2, 1e-9).next(0.1, 0.0323) == (True, pytest.approx(0.5))
    assert StepControl(2, 1e-9).next(0.1, 20.2) == (False, pytest.approx(0.09 / math.sqrt(20.2)))
    assert StepControl(2, 1e-9).next(0.1, 20.3) == (False, pytest.approx(0.02))


def test_the_smallest_step_ends_the_run_only_after_a_rejection() -> None:
    """The next step may be as small as the smallest; below it, the accepted step before it is still kept."""
    control = StepControl(3, 1e-3)
    assert control.next(5.0001e-3, math.inf) == (False, pytest.approx(1.00002e-3))
    assert control.next(1e-3, 1.0) == (True, pytest.approx(9e-4))
    with pytest.raises(BlowUpError, match="fell to 0.00098"):
        control.next(4.9e-3, math.inf)


RTOL, ATOL = 3e-4, 2e-5


def followed(k: float, u: float, dt: float, steps: int) -> tuple[float, float, float, int]:
    """Field, time, next step and rejections of bs32 on u' = -k u, by the polynomials of the pair."""
    t, rejected = 0.0, 0
    while steps:
        z = -k * dt
        new = u * (1 + z + z**2 / 2 + z**3 / 6)
        error = abs(u * (z**3 + z**4) / 48) / (ATOL + RTOL * max(abs(u), abs(new)))
        factor = min(5.0, max(0.2, 0.9 * error ** (-1 / 3)))
        if error <= 1.0:
            u, t, steps = new, t + dt, steps - 1
        else:
            rejected += 1
        dt *= factor
    return u, t, dt, rejected


@pytest.mark.parametrize(("k", "dt"), [(1.0, 0.05), (1.0, 3.0), (-1.0, 2.5), (30.0, 0.1)])
def test_every_step_of_the_pair_is_the_one_of_its_polynomials(k: float, dt: float) -> None:
    """Error estimate, scale, exponent, safety and clock together: field, time, next step and rejections agree."""
    run = ode({"dt(u)": "-k*u"}, {"u": 1.0}, "bs32", dt, parameters={"k": k}, rtol=RTOL, atol=ATOL)
    for steps in (1, 2, 6):
        run.run(steps=steps - run.step)
        u, t, after, rejected = followed(k, 1.0, dt, steps)
        assert final(run) == pytest.approx(u, rel=1e-11)
        assert (run.time, run.dt) == (pytest.approx(t, rel=1e-10), pytest.approx(after, rel=1e-10))
        assert run.control is not None
        assert run.control.rejected == rejected


LARGEST = {
    "site": ({"dt(u)": "-k*u"}, {}, {"u": "where(x > 11, 1, 1/8)"}),
    "field": ({"dt(u)": "-k*u", "dt(v)": "-k*v"}, {}, {"u": 0.125, "v": 1.0}),
    "component": ({"dt(V)": "-k*V"}, {"V": {"components": 2}}, {"V": [0.125, 1.0]}),
    "sign": ({"dt(u)": "-k*u"}, {}, {"u": "where(x > 11, -1, 1/8)"}),
    "rate": ({"dtt(u)": "-k*dt(u)"}, {}, {"u": 1e6, "dt(u)": 1.0}),
}


@pytest.mark.parametrize("where", LARGEST)
def test_the_largest_error_counts_wherever_it_is(where: str) -> None:
    """The last site of several blocks, the second field, component, or the rate decides the step, of either sign."""
    equations, fields, initial = LARGEST[where]
    model = Model(equations, fields or None, parameters={"k": 1.0})
    lattice = Lattice([12], upper=[12.0], options={"block_shape": [4]})
    run = Simulation(
        lattice, model, initial=initial, integrator="bs32", dt=0.4, rtol=RTOL, atol=ATOL, backend="numpy",
        allow_unstable=True,
    )  # fmt: skip
    run.run(steps=1)
    _, t, after, _ = followed(1.0, 1.0, 0.4, 1)
    assert (run.time, run.dt) == (pytest.approx(t, rel=1e-9), pytest.approx(after, rel=1e-9))


def test_a_site_that_is_not_finite_is_never_accepted() -> None:
    """The square root of a negative number at one stage of one site: smaller steps until the stage stays positive."""
    run = ode({"dt(u)": "-sqrt(u)"}, {"u": 1.0}, "bs32", 3.0, rtol=1e-2, atol=1e-2)
    with np.errstate(invalid="ignore"):
        run.run(steps=1)
    assert run.control is not None
    assert run.control.rejected > 0
    assert run.time < 3.0
    assert final(run) == pytest.approx((1 - run.time / 2) ** 2, abs=0.02)


def test_adaptive_error_follows_the_tolerance() -> None:
    """bs32 on u' = -u + sin(5 t): the error stays near the tolerance, the steps grow as tolerance^(-1/3)."""
    counts = []
    for tolerance in (1e-5, 1e-7):
        run = ode({"dt(u)": "-u + sin(5*t)"}, {"u": 1.0}, "bs32", 0.5, rtol=tolerance, atol=tolerance)
        run.run(until=2.0)
        t = run.time
        exact = (1 + 5 / 26) * math.exp(-t) + (math.sin(5 * t) - 5 * math.cos(5 * t)) / 26
        assert abs(final(run) - exact) < 10 * tolerance
        counts.append(run.step)
    assert counts[1] / counts[0] == pytest.approx(100 ** (1 / 3), rel=0.15)


def test_a_first_step_that_is_too_large_is_taken_back() -> None:
    run = ode({"dt(u)": "-50*u"}, {"u": 1.0}, "bs32", 1.0)
    run.run(steps=1)
    assert run.control is not None
    assert run.control.rejected > 0
    assert final(run) == pytest.approx(math.exp(-50 * run.time), rel=1e-5)


def test_the_smallest_step_is_a_fraction_of_the_first() -> None:
    """1e-12 of it: a step of five times that may still be refused and shrunk, a smaller one ends the run."""
    control = ode({"dt(u)": "-u"}, {"u": 1.0}, "bs32", 0.25).run(steps=3).control
    assert control is not None
    assert control.next(0.25 * 5.001e-12, math.nan)[1] >= 0.25e-12
    with pytest.raises(BlowUpError):
        control.next(0.25 * 4.999e-12, math.nan)


def test_a_blow_up_ends_the_run() -> None:
    """u' = u^2 from 1 has no solution beyond t = 1."""
    run = ode({"dt(u)": "u**2"}, {"u": 1.0}, "bs32", 0.1, rtol=1e-2)
    with pytest.raises(BlowUpError), np.errstate(all="ignore"):
        run.run(until=2.0)
    assert run.time == pytest.approx(1.0, abs=0.05)


def test_walls_that_are_given_have_no_error() -> None:
    """NAN: planes fixed by a condition are never updated, so they must not stop an adaptive step."""
    model = Model({"dt(u)": "laplacian(u)"}, fields={"u": {"centring": "vertex"}})
    wall = {"x": {"type": "dirichlet", "value": 1.0}}
    results = []
    for fresh in ("zero", "nan"):
        run = Simulation(Lattice([8], boundary=wall), model, initial={"u": "1 + x*(8 - x)"}, integrator="bs32",
                         backend="numpy", fresh_memory=fresh)  # fmt: skip
        results.append(run.run(steps=5)["u"][1:-1])
    assert np.array_equal(*results)


def test_time_is_counted_not_summed() -> None:
    """t = t0 + n dt exactly, so extending a run gives the longer run to the bit."""

    def make() -> Simulation:
        return ode({"dt(u)": "cos(t)*u"}, {"u": 1.0}, "rk4", 0.1, start_time=0.7)

    run = make().run(steps=30)
    assert run.time == 0.7 + 30 * 0.1
    pieces = make()
    for steps in (1, 7, 22):
        pieces.run(steps=steps)
    assert final(pieces) == final(run)
    assert make().run(until=0.7 + 3.04).step == 30
