"""What the leapfrog step of the Klein-Gordon equation keeps: waves, energy, momentum, linearity, light cones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import factorial

from hpcsim.api import Simulation
from tests.convergence.support import (
    assert_order,
    klein_gordon,
    largest,
    leapfrog_frequency,
    noise,
    pieces,
    put,
    put_levels,
    stiffness,
    total,
)


def reverse(simulation: Simulation) -> None:
    """Let time run backwards: the earlier level becomes the current one."""
    simulation.state.swap("E", "E@prev")


@pytest.mark.parametrize("mode", [3, 40])
def test_kg_03_exact_plane_wave(start, mode):
    n, dt, chi, steps = 256, 0.5, 0.2, 20_000
    k = 2 * math.pi * mode / n
    omega = leapfrog_frequency(stiffness(2, [k], 1.0, chi), dt)

    def level(x, t):
        return np.cos(k * x - math.remainder(omega * t, 2 * math.pi))

    waves = klein_gordon(start, [n], 1.0, parameters={"chi": chi}, dt=dt)
    put_levels(waves, level)
    energy = waves.quantities()["energy"]
    waves.run(steps=steps)
    assert waves.time == steps * dt
    assert largest(waves, "E", lambda x: level(x, waves.time)) <= 2e-12
    assert abs(waves.quantities()["energy"] / energy - 1) <= 1e-14


def test_kg_03_variable_mass_and_reversal(start):
    steps = 20_000
    waves = klein_gordon(
        start,
        [512],
        0.1,
        parameters={"chi": "0.2 + 0.8*exp(-((x - 25.6)/4)**2)"},
        initial={"E": "exp(-((x - 12.8)/2)**2)"},
        dt=0.05,
    )
    first = [values.copy() for values, _ in pieces(waves, "E@prev")]
    scale = largest(waves, "E")
    energy = waves.quantities()["energy"]
    drift = 0.0
    for _ in range(20):
        waves.run(steps=steps // 20)
        drift = max(drift, abs(waves.quantities()["energy"] / energy - 1))
    assert drift <= 5e-14
    reverse(waves)
    waves.run(steps=steps)
    for (values, _), before in zip(pieces(waves, "E"), first, strict=True):
        values -= before
    assert largest(waves, "E") <= 1e-12 * scale


WEIGHTS = {2: (-2.0, 1.0), 4: (-5 / 2, 4 / 3, -1 / 12)}
"""Second derivative in units of 1/dx**2: weight of the site, then of both sites at distance 1, 2."""


def damped_steps(levels, chi, speed, damping, order, spacing, dt, steps):
    """The two levels after some leapfrog steps, with whole arrays; the mass is that of the middle level."""
    u, before = levels
    half = 0.5 * damping * dt
    for step in range(steps):
        bend = sum(
            weight * (np.roll(u, m, axis) + np.roll(u, -m, axis) if m else u)
            for axis in range(u.ndim)
            for m, weight in enumerate(WEIGHTS[order])
        )
        force = speed**2 * bend / spacing**2 - chi(step * dt) ** 2 * u
        u, before = (2 * u - (1 - half) * before + dt**2 * force) / (1 + half), u
    return u, before


@pytest.mark.parametrize("order", [2, 4])
def test_kg_04_linearity(start, order):
    """The solution from a*u + b*v is a*U + b*V, also for a mass of space and time and with damping.

    Every wrong factor of a linear term is linear as well, so both levels are compared with the formula of the step.
    """
    shape, dx, dt, steps = [24, 20], 0.5, 0.1, 200
    parameters = {"chi": "0.5 + 0.3*sin(x)*cos(y) + 0.1*cos(3*t)", "damping": 0.02, "c": 0.8}
    a, b = 0.7, -1.9
    runs = [klein_gordon(start, shape, dx, order=order, parameters=parameters, dt=dt) for _ in range(3)]
    for waves, factors in zip(runs, ((1, 0), (0, 1), (a, b)), strict=True):
        for register, seeds in (("E", (1, 2)), ("E@prev", (3, 4))):
            u, v = map(noise, seeds)
            put(waves, register, lambda *x, u=u, v=v, f=factors: f[0] * u(*x) + f[1] * v(*x))
        waves.run(steps=steps)
    scale = largest(runs[2], "E")

    x, y = np.ogrid[: shape[0], : shape[1]]
    x, y = dx * (x + 0.5), dx * (y + 0.5)
    levels = damped_steps(
        [a * noise(first)(x, y) + b * noise(second)(x, y) for first, second in ((1, 2), (3, 4))],
        lambda t: 0.5 + 0.3 * np.sin(x) * np.cos(y) + 0.1 * math.cos(3 * t),
        parameters["c"], parameters["damping"], order, dx, dt, steps,
    )  # fmt: skip
    for register, level in zip(("E", "E@prev"), levels, strict=True):

        def at_sites(*points, level=level):
            return level[tuple(np.rint(x / dx - 0.5).astype(int) for x in points)]

        assert largest(runs[2], register, at_sites) <= 1e-12 * scale
    parts = zip(*(pieces(waves, "E") for waves in runs), strict=True)
    for (first, _), (second, _), (sum_of_both, _) in parts:
        sum_of_both -= a * first + b * second
    assert scale > 0.1
    assert largest(runs[2], "E") <= 1e-13 * max(scale, *(largest(waves, "E") for waves in runs[:2]))


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_kg_05_nothing_outruns_the_stencil(start, ndim):
    """After n steps the field is exactly zero farther than n sites from its support, along the axes together.

    A site at distance n is reached by the shortest paths alone. Each of their steps multiplies by (c*dt/dx)**2, and
    all of them start at one site, so the front has a closed form.
    """
    n, steps = [40, 24, 16, 12][ndim - 1], [12, 7, 4, 3][ndim - 1]
    middle = n // 2 + 0.5

    def distance(*points):
        return sum(np.maximum(np.abs(x - middle) - 1, 0) for x in points)

    waves = klein_gordon(start, [n] * ndim, 1.0, parameters={"chi": 0.4}, cfl=0.9)
    for register, seed in (("E", 5), ("E@prev", 6)):
        put(waves, register, lambda *x, s=seed: np.where(distance(*x) == 0, noise(s)(*x), 0.0))
    waves.run(steps=steps)
    assert largest(waves, "E") > 1e-3
    for values, points in pieces(waves, "E"):
        reached = distance(*points) <= steps
        assert not values[~reached].any()
        assert values[reached].all()
        steps_along = [np.maximum(np.abs(x - middle) - 1, 0) for x in points]
        paths = math.factorial(steps) / math.prod(factorial(m) for m in steps_along)
        origin = [np.clip(x, middle - 1, middle + 1) for x in points]
        exact = paths * waves.dt ** (2 * steps) * noise(5)(*origin)
        front = distance(*points) == steps
        assert np.all(np.abs(values - exact)[front] <= 1e-12 * np.abs(exact)[front])


def test_kg_05_transport_at_cfl_1(start):
    """With dt = dx any profile, however rough, moves by one site per step."""
    n, steps = 200, 450
    profile = noise(8)
    waves = klein_gordon(start, [n], 0.5, dt=0.5)
    put_levels(waves, lambda x, t: profile(np.mod(x - t, n * 0.5)))
    waves.run(steps=steps)
    assert largest(waves, "E", lambda x: profile(np.mod(x - waves.time, n * 0.5))) <= 1e-13


PACKETS = ((1.0, 9.0, 1.5, 2.0), (0.55, 21.0, 1.8, -1.5))
"""Amplitude, centre, width and wave number of two packets that meet."""


def packets(x, t):
    """Two packets of massless waves, each moving along its own wave number without change."""
    found = 0.0
    for a, c, w, k in PACKETS:
        y = x - math.copysign(1.0, k) * t - c
        found = found + a * np.exp(-((y / w) ** 2)) * np.cos(k * y)
    return found


def momentum_density(x):
    """-E_t dE/dx of the packets at the start, where each of them has E_t = -sign(k) dE/dx."""
    gradient = rate = 0.0
    for a, c, w, k in PACKETS:
        y = x - c
        slope = a * math.exp(-((y / w) ** 2)) * (-2 * y / w**2 * math.cos(k * y) - k * math.sin(k * y))
        gradient += slope
        rate -= math.copysign(1.0, k) * slope
    return -rate * gradient


def test_kg_10_momentum(start):
    """Kept to rounding through the meeting of the packets, and of second order in dx against the continuum."""
    exact = sum(quad(momentum_density, a, a + 1, epsabs=1e-13)[0] for a in range(32))
    assert 1 < abs(exact) < 100
    spacings, errors = [], []
    for n in (320, 640, 1280):
        dx = 32 / n
        waves = klein_gordon(start, [n], dx, dt=0.5 * dx)
        put_levels(waves, packets)
        first = waves.quantities()["momentum_x"]
        waves.run(until=12.0)
        assert abs(waves.quantities()["momentum_x"] - first) <= 1e-12 * abs(first)
        spacings.append(dx)
        errors.append(abs(first - exact))
    assert errors[-1] <= 1e-3 * abs(exact)
    assert_order(spacings, errors, 2)


@pytest.mark.parametrize(("g", "steps", "printed"), [(5e-7, 5000, 0.997503), (1e-3, 2000, 0.135200)])
@pytest.mark.parametrize("mode", [1, 4, 16])
def test_kg_11_damping(start, g, steps, printed, mode):
    """The energy of every mode falls by (1 - g) per step; the mass makes the run a whole number of periods."""
    n, dt, turns = 128, 0.1, 20 * mode
    half = g / (2 - g)
    gamma = 2 * half / dt
    assert math.isclose((1 - gamma * dt / 2) / (1 + gamma * dt / 2), 1 - g, rel_tol=1e-14)
    assert abs((1 - g) ** steps - printed) <= 1e-6
    k = 2 * math.pi * mode / n
    theta = 2 * math.pi * turns / steps
    # From cos(theta) = (1 - dt**2 square/2)/sqrt(1 - half**2), the damped frequency of the step.
    square = 2 * (1 - math.cos(theta) * math.sqrt(1 - half**2)) / dt**2
    chi = math.sqrt(square - stiffness(2, [k], 1.0))
    waves = klein_gordon(
        start,
        [n],
        1.0,
        parameters={"chi": chi, "damping": gamma},
        initial={"E": f"cos({k!r}*x)", "dt(E)": f"0.3*sin({k!r}*x)"},
        dt=dt,
    )
    energy, norm = waves.quantities()["energy"], total(waves, "E", power=2)
    waves.run(steps=steps)
    assert abs(waves.quantities()["energy"] / energy - printed) <= 1e-3
    assert math.isclose(waves.quantities()["energy"] / energy, (1 - g) ** steps, rel_tol=1e-9)
    assert math.isclose(total(waves, "E", power=2) / norm, (1 - g) ** steps, rel_tol=1e-9)
