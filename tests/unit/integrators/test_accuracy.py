"""What the schemes compute on equations with known solutions (ENG-08, KG-11, KG-23)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from tests.unit.integrators.setup import final, observed_order, ode

DECAY = {"dt(u)": "-k*u"}
ORDERS = {"euler": 1, "ssprk3": 3, "rk4": 4, "lsrk54": 4, "exponential_euler": 1}
TAYLOR = {"euler": 1, "ssprk3": 3, "rk4": 4, "lsrk54": 4, "bs32": 3}


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_order_on_an_equation_with_explicit_time(name: str) -> None:
    """ENG-08: u' = -u + cos(3 t) (1 + u^2/10) at the stated order; stage times count."""
    equations = {"dt(u)": "-u*u/4 + cos(3*t)"}
    fine = final(ode(equations, {"u": 1.0}, "rk4", 1 / 1000).run(steps=1000))
    steps = (40, 80) if ORDERS[name] < 4 else (20, 40)
    order = observed_order(equations, {"u": 1.0}, name, fine, steps)
    assert order == pytest.approx(ORDERS[name], abs=0.15)


@pytest.mark.parametrize("name", ["leapfrog", "kick_drift_kick"])
@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_order_of_second_order_schemes(name: str, damping: float) -> None:
    """ENG-08: leapfrog and kick-drift-kick are of order 2, from a start with a rate, damped or not."""
    omega = math.sqrt(9 - damping**2 / 4)
    # u(0) = 1, u'(0) = 2.
    exact = math.exp(-damping / 2) * (math.cos(omega) + (2 + damping / 2) / omega * math.sin(omega))
    options = {"parameters": {"b": damping}}
    initial = {"u": 1.0, "dt(u)": 2.0}
    assert observed_order({"dtt(u)": "-9*u - b*dt(u)"}, initial, name, exact, (80, 160), **options) == pytest.approx(
        2, abs=0.05
    )


@pytest.mark.parametrize("name", sorted(TAYLOR))
@pytest.mark.parametrize("z", [0.1, 1.0, -0.3])
def test_one_step_on_decay_is_the_taylor_polynomial(name: str, z: float) -> None:
    """ENG-08: the growth factor of one step agrees with exp to the order of the scheme, and is a polynomial of z."""
    got = final(ode(DECAY, {"u": 1.0}, name, 1.0, parameters={"k": z}, atol=1e6).run(steps=1))
    terms = [(-z) ** n / math.factorial(n) for n in range(TAYLOR[name] + 1)]
    extra = 0.0
    if name == "lsrk54":  # five stages of order four: a fifth power with the scheme's own factor
        extra = -(z**5) / 200
    assert got == pytest.approx(sum(terms) + extra, abs=1e-12 if name != "lsrk54" else 1e-6)


@pytest.mark.parametrize("z", [0.1, 1.0, 10.0])
def test_exponential_euler_is_exact_on_decay(z: float) -> None:
    """ENG-08: exp(-z) to rounding, whatever the step; with a source the steady state is kept too."""
    got = final(ode(DECAY, {"u": 1.0}, "exponential_euler", 1.0, parameters={"k": z}).run(steps=1))
    assert got == pytest.approx(math.exp(-z), rel=1e-12)
    got = final(ode({"dt(u)": "-k*u + 2"}, {"u": 1.0}, "exponential_euler", 0.5, parameters={"k": z}).run(steps=2))
    assert got == pytest.approx(2 / z + (1 - 2 / z) * math.exp(-z), rel=1e-12)


def test_exponential_euler_with_a_tiny_rate() -> None:
    """The quotient (exp(z) - 1)/z does not cancel."""
    got = final(ode({"dt(u)": "-k*u + 2"}, {"u": 0.0}, "exponential_euler", 1.0, parameters={"k": 1e-13}).run(steps=1))
    assert got == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("b", [1e-3, 0.5])
def test_damping_of_leapfrog(b: float) -> None:
    """KG-11: the product of the amplification factors is (1 - b dt/2)/(1 + b dt/2), at every step."""
    dt = 0.05
    levels = []
    for count in (100, 101, 102):
        run = ode({"dtt(u)": "-4*u - b*dt(u)"}, {"u": 1.0}, "leapfrog", dt, parameters={"b": b}).run(steps=count)
        levels.append(final(run))
    # Two solutions r1^n, r2^n: u(n+1) = s u(n) - p u(n-1) with p = r1 r2.
    s = (2 - 4 * dt**2) / (1 + b * dt / 2)
    p = (1 - b * dt / 2) / (1 + b * dt / 2)
    assert levels[2] == pytest.approx(s * levels[1] - p * levels[0], abs=1e-13)


def test_energy_of_damped_waves() -> None:
    """KG-11: energy falls as exp(-b t)."""
    run = ode({"dtt(u)": "-u - b*dt(u)"}, {"u": 1.0}, "kick_drift_kick", 0.01, parameters={"b": 0.1}).run(steps=1000)
    u, v = final(run), final(run, "u@rate")
    assert u**2 + v**2 == pytest.approx(math.exp(-1.0), rel=0.06)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(("factor", "grows"), [(0.999, False), (1.001, True)])
def test_stability_edge(ndim: int, factor: float, grows: bool) -> None:
    """KG-23: bounded just below the limit, growing just above it."""
    chi, n = 0.5, 4
    limit = 2 / math.sqrt(4 * ndim + chi**2)
    model = Model(name="klein_gordon", parameters={"chi": chi})
    signs = "*".join(f"cos(pi*({axis} - 0.5))" for axis in "xyz"[:ndim])
    run = Simulation(
        Lattice([n] * ndim), model, initial={"E": signs}, dt=factor * limit, allow_unstable=True, backend="numpy"
    ).run(steps=400)
    largest = float(np.abs(run["E"]).max())
    assert (largest > 100) is grows
    assert grows or largest < 30


@pytest.mark.parametrize("name", ["rk4", "ssprk3", "lsrk54", "bs32"])
def test_second_order_equations_as_pairs(name: str) -> None:
    """dtt equations run with every Runge-Kutta scheme as (u, u')."""
    run = ode({"dtt(u)": "-u - 0.2*dt(u)**3"}, {"u": 1.0, "dt(u)": 0.5}, name, 0.01, rtol=1e-9, atol=1e-12)
    run.run(until=1.0)
    fine = ode({"dtt(u)": "-u - 0.2*dt(u)**3"}, {"u": 1.0, "dt(u)": 0.5}, "rk4", 1e-3).run(steps=1000)
    # An adaptive run ends within half a step of the time asked for.
    drift = final(fine, "u@rate") * (run.time - 1.0)
    assert final(run) == pytest.approx(final(fine) + drift, abs=2e-4 if name == "bs32" else 1e-6)
