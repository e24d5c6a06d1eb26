"""Fields that are the same everywhere: the time integrators alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from hpcsim.api import Lattice, Model
from hpcsim.integrators import INTEGRATORS
from tests.convergence.support import assert_order, klein_gordon, record, total

FACTORS = {
    "euler": lambda z: 1 + z,
    "ssprk3": lambda z: 1 + z + z**2 / 2 + z**3 / 6,
    "bs32": lambda z: 1 + z + z**2 / 2 + z**3 / 6,
    "rk4": lambda z: 1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24,
    "exponential_euler": math.exp,
    "exponential_modes": math.exp,
    "backward_euler": lambda z: 1 / (1 - z),
    "crank_nicolson": lambda z: (1 + z / 2) / (1 - z / 2),
    "implicit_midpoint": lambda z: (1 + z / 2) / (1 - z / 2),
}
TIME_ORDERS = {
    "euler": 1, "exponential_euler": 1, "exponential_modes": 1, "backward_euler": 1, "crank_nicolson": 2, "bdf2": 2,
    "implicit_midpoint": 2, "ssprk3": 3, "bs32": 3, "imex_ark3": 3, "rk4": 4, "lsrk54": 4,
}  # fmt: skip


def decay(start, integrator, rate, dt, backend="numba"):
    """Sites that decay at a rate, all alike, with steps of one size."""
    simulation = start(
        Lattice([4]),
        Model({"dt(u)": "-rate*u"}, parameters={"rate": rate}),
        initial={"u": 1.0},
        integrator=integrator,
        dt=dt,
        allow_unstable=True,
        backend=backend,
    )
    # An embedded pair takes the steps it is told to.
    simulation.control = None
    return simulation


def mean(simulation, name="u"):
    """Mean of a field."""
    return total(simulation, name) / total(simulation, name, power=0)


@pytest.mark.parametrize("z", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("integrator", FACTORS)
def test_eng_08_factor_of_one_step(start, integrator, z):
    simulation = decay(start, integrator, z / 0.25, 0.25)
    found = record(simulation, 3, mean)
    expected = np.array([FACTORS[integrator](-z) ** n for n in range(4)])
    assert np.all(np.abs(found - expected) <= 1e-12 * np.abs(expected))


@pytest.mark.parametrize("integrator", ["exponential_euler", "exponential_modes"])
def test_eng_08_exponential_schemes_are_exact_for_any_step(start, integrator):
    """QG-01 without diffusion: any number of steps, any size."""
    for dt in (0.01, 0.3, 7.0):
        simulation = start(
            Lattice([4]),
            Model(name="diffusion", parameters={"D": 0.0, "decay": 0.35}),
            initial={"u": "1 + x"},
            integrator=integrator,
            dt=dt,
        )
        before = total(simulation, "u")
        simulation.run(steps=20)
        assert math.isclose(total(simulation, "u") / before, math.exp(-0.35 * 20 * dt), rel_tol=1e-12)


@pytest.mark.parametrize("integrator", TIME_ORDERS)
def test_eng_08_order(start, integrator):
    """y' = -y + cos(t): forced, so that the abscissae count as well."""
    order, errors, steps = TIME_ORDERS[integrator], [], []
    exact = 0.5 * (math.cos(2.0) + math.sin(2.0) + math.exp(-2.0))
    # A pair with an implicit part wants something to solve; the field is the same everywhere.
    right = "laplacian(u)/9 - u + cos(t)" if integrator == "imex_ark3" else "-u + cos(t)"
    # The error of the first step of bdf2 has the other sign, so its order shows at finer steps.
    for n in (80, 160, 320) if integrator == "bdf2" else (20, 40, 80):
        simulation = start(
            Lattice([4]),
            Model({"dt(u)": right}),
            initial={"u": 1.0},
            integrator=integrator,
            dt=2.0 / n,
        )
        simulation.control = None
        simulation.run(steps=n)
        steps.append(2.0 / n)
        errors.append(abs(mean(simulation) - exact))
    assert_order(steps, errors, order)


def test_eng_08_every_scheme_has_an_order():
    """petsc_ts adapts its inner steps to a tolerance; its tests are beside those of the implicit schemes."""
    assert {*TIME_ORDERS, "leapfrog", "kick_drift_kick", "petsc_ts"} == set(INTEGRATORS.names())


@pytest.mark.parametrize("integrator", ["leapfrog", "kick_drift_kick"])
def test_eng_08_order_of_the_second_order_schemes(start, integrator):
    """y'' = -2 y - y'/5 + cos(3 t), so that damping, forcing and the start all count."""
    gamma, errors, steps = 0.2, [], []
    reference = solve_ivp(
        lambda t, s: [s[1], -2 * s[0] - gamma * s[1] + math.cos(3 * t)],
        (0, 4),
        [1.0, 0.7],
        "DOP853",
        rtol=1e-13,
        atol=1e-14,
    )
    for n in (40, 80, 160):
        simulation = start(
            Lattice([4]),
            Model({"dtt(u)": "-2*u - gamma*dt(u) + cos(3*t)"}, parameters={"gamma": gamma}),
            initial={"u": 1.0, "dt(u)": 0.7},
            integrator=integrator,
            dt=4.0 / n,
        )
        simulation.run(steps=n)
        steps.append(4.0 / n)
        errors.append(abs(mean(simulation) - reference.y[0, -1]))
    assert_order(steps, errors, 2)


def test_eng_08_adaptive_pair_keeps_its_tolerance(start):
    """bs32 with its own control: the error falls with the tolerance, the cost as its power -1/3."""
    errors, counts = [], []
    for tolerance in (1e-5, 1e-7, 1e-9):
        simulation = start(
            Lattice([4]),
            Model({"dt(u)": "-u + cos(t)"}),
            initial={"u": 1.0},
            integrator="bs32",
            rtol=tolerance,
            atol=tolerance,
        )
        simulation.run(until=4.0)
        exact = 0.5 * (math.cos(simulation.time) + math.sin(simulation.time) + math.exp(-simulation.time))
        errors.append(abs(mean(simulation) - exact))
        counts.append(simulation.step)
    assert all(error <= 20 * tolerance for error, tolerance in zip(errors, (1e-5, 1e-7, 1e-9), strict=True))
    assert abs(math.log(counts[2] / counts[1]) / math.log(100) - 1 / 3) <= 0.05


def test_kg_14_nonlinear_mass(start):
    """chi = 0.15 + 0.5*E**2 at amplitude 0.1: the frequency from the period integral."""
    amplitude, dt = 0.1, 0.05

    def potential(e):
        return 0.15**2 * e**2 / 2 + 0.15 * e**4 / 4 + 0.25 * e**6 / 6

    def speed(theta):
        # E = amplitude*sin(theta) takes the root out of the integrand.
        e = amplitude * math.sin(theta)
        return amplitude * math.cos(theta) / math.sqrt(2 * (potential(amplitude) - potential(e)))

    period = 4 * quad(speed, 0, math.pi / 2 - 1e-9, epsabs=1e-12, limit=200)[0]
    assert abs(2 * math.pi / period - 0.153747501) <= 1e-8
    waves = klein_gordon(start, [8], 1.0, parameters={"chi": "0.15 + 0.5*E**2"}, initial={"E": amplitude}, dt=dt)
    series = record(waves, round(5.6 * period / dt), lambda s: mean(s, "E"))
    sign = np.nonzero(series[:-1] * series[1:] < 0)[0]
    crossings = dt * (sign + series[sign] / (series[sign] - series[sign + 1]))
    found = math.pi * (len(crossings) - 1) / (crossings[-1] - crossings[0])
    assert len(crossings) == 11
    # The field starts at rest, at the top of the first swing.
    assert abs(crossings[0] / (period / 4) - 1) <= 1e-5
    assert abs(found - 0.153747501) <= 1e-5


@pytest.mark.parametrize("begin", [0.0, 2.0])
def test_kg_22_phase_of_the_mass(start, begin):
    """The growth exponent does not know when the mass is largest; the field after four periods does."""
    period, steps, errors = 4 * math.pi, (75, 150, 300), []
    exact = solve_ivp(
        lambda t, s: [s[1], -((0.25 + 0.08 * math.cos(0.5 * t)) ** 2) * s[0]],
        (begin, begin + 4 * period),
        [1.0, 0.0],
        "DOP853",
        rtol=1e-13,
        atol=1e-15,
    ).y[0, -1]
    for n in steps:
        waves = klein_gordon(
            start,
            [8],
            1.0,
            parameters={"chi": "0.25 + 0.08*cos(0.5*t)"},
            initial={"E": 1.0},
            dt=period / n,
            start_time=begin,
        )
        waves.run(steps=4 * n)
        errors.append(abs(mean(waves, "E") / exact - 1))
    assert errors[-1] <= 5e-5
    assert_order([period / n for n in steps], errors, 2)


def test_kg_22_parametric_resonance(start):
    """chi = 0.25 + 0.08*cos(t/2): growth exponent against the Floquet multiplier of the equation."""
    period = 4 * math.pi
    ends = [
        solve_ivp(
            lambda t, s: [s[1], -((0.25 + 0.08 * math.cos(0.5 * t)) ** 2) * s[0]],
            (0, period),
            s,
            "DOP853",
            rtol=1e-12,
            atol=1e-14,
        ).y[:, -1]
        for s in ([1.0, 0.0], [0.0, 1.0])
    ]
    exponent = math.log(max(abs(np.linalg.eigvals(np.array(ends).T)))) / period
    assert abs(exponent - 0.0385424361) <= 1e-9
    steps = 150
    waves = klein_gordon(
        start, [8], 1.0, parameters={"chi": "0.25 + 0.08*cos(0.5*t)"}, initial={"E": 1.0}, dt=period / steps
    )
    waves.run(steps=30 * steps)
    before = mean(waves, "E")
    waves.run(steps=4 * steps)
    found = math.log(abs(mean(waves, "E") / before)) / (4 * period)
    assert abs(found / 0.0385424361 - 1) <= 1e-4
