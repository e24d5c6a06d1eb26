"""Plane waves: the discrete dispersion relation of leapfrog, Lorentz invariance, and the symbols of the stencils."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.api import Lattice, Model
from tests.convergence.support import (
    ORDERS,
    first_symbol,
    klein_gordon,
    largest,
    leapfrog_frequency,
    mode_frequency,
    pieces,
    plane,
    put,
    put_levels,
    second_symbol,
    staggered_symbol,
    stiffness,
    total,
)


@pytest.mark.parametrize(
    ("n", "dt", "mode", "printed"),
    [
        (512, 0.001, 13, 19.920938887),
        (1024, 0.0007, 51, 38.958306619),
        (512, 0.0025, 38, 57.814839273),
        (512, 0.0001, 26, 39.714561933),
    ],
)
def test_kg_01_frequency_of_a_standing_wave(start, n, dt, mode, printed):
    dx = 0.008
    k = 2 * math.pi * mode / (n * dx)
    if mode == 13:
        assert math.isclose(k, 19.941750243, rel_tol=1e-10)
    expected = leapfrog_frequency(stiffness(2, [k], dx), dt)
    assert math.isclose(expected, printed, rel_tol=1e-10)
    waves = klein_gordon(start, [n], dx, initial={"E": f"cos({k!r}*x)"}, dt=dt)
    found = mode_frequency(waves, lambda x: np.cos(k * x), 800)
    assert math.isclose(found, printed, rel_tol=1e-8)


@pytest.mark.parametrize(
    ("order", "mode", "ratio", "printed"),
    [
        (2, 4, 10.0, 0.996929303852),
        (2, 16, 0.5, 0.437672617991),
        (2, 64, 0.0, 1.445468495627),
        (4, 4, 10.0, 0.996933345528),
        (4, 16, 0.5, 0.439891286685),
        (4, 64, 0.0, 1.567324097596),
    ],
)
def test_kg_02_frequency_with_mass(start, order, mode, ratio, printed):
    n, dt = 256, 0.5
    k = 2 * math.pi * mode / n
    chi = ratio * k
    continuum = {4: 0.986644231900, 16: 0.439050920690, 64: 1.570796326795}[mode]
    assert math.isclose(math.hypot(k, chi), continuum, rel_tol=1e-10)
    expected = leapfrog_frequency(stiffness(order, [k], 1.0, chi), dt)
    assert math.isclose(expected, printed, rel_tol=1e-10)
    waves = klein_gordon(start, [n], 1.0, order=order, parameters={"chi": chi}, initial={"E": f"cos({k!r}*x)"}, dt=dt)
    found = mode_frequency(waves, lambda x: np.cos(k * x), 400)
    assert math.isclose(found, printed, rel_tol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("shape", "modes"), [([24, 20], (3, 2)), ([12, 10, 14], (1, 2, 3)), ([10, 9, 9, 9], (1, 0, 2, 3))]
)
def test_kg_02_holds_in_every_dimension_and_order(start, shape, modes, order):
    """The same relation off the axes, exact for every mode."""
    waves = [2 * math.pi * m / (0.5 * n) for m, n in zip(modes, shape, strict=True)]
    expected = leapfrog_frequency(stiffness(order, waves, 0.5, 0.7), 0.15)

    simulation = klein_gordon(start, shape, 0.5, order=order, parameters={"chi": 0.7}, dt=0.15, backend="numpy")
    put_levels(simulation, lambda *at: np.cos(plane(waves, at[:-1]) - expected * at[-1]))
    found = mode_frequency(simulation, lambda *points: np.cos(plane(waves, points)), 20)
    assert math.isclose(found, expected, rel_tol=1e-10)


@pytest.mark.parametrize(
    ("direction", "printed"),
    [((1,), (0.99833417, 0.95885108)), ((1, 1), (0.99916687, 0.97929649)), ((1, 1, 1), (0.99944454, 0.98616887))],
)
@pytest.mark.parametrize("which", [0, 1])
def test_kg_07_semi_discrete_phase_velocity(start, direction, which, printed):
    """A wave whose length is no fraction of the lattice: sites that the seam has not reached yet are exact."""
    dt, theta, steps = 0.1, (0.2, 1.0)[which], 3
    component = theta / math.sqrt(len(direction))
    square = stiffness(2, [component] * len(direction), 1.0)
    assert abs(math.sqrt(square) / theta - printed[which]) <= 1e-8
    simulation = klein_gordon(start, [16] * len(direction), 1.0, dt=dt)
    discrete = leapfrog_frequency(square, dt)
    put_levels(simulation, lambda *at: np.cos(component * sum(at[:-1]) - discrete * at[-1]))

    def clean(*points):
        inside = math.prod((x > steps) & (x < 16 - steps) for x in points)
        return inside * np.cos(component * sum(points))

    measured = 2 / dt * math.sin(mode_frequency(simulation, clean, steps) * dt / 2)
    assert abs(measured / theta - printed[which]) <= 1e-7


@pytest.mark.parametrize("mode", [1, 3, 5])
def test_kg_17_boosted_waves(start, mode):
    """A field that swings uniformly at rest, seen from a moving frame: mass, group velocity, phase of an event."""
    chi, n, dx, dt = 0.8, 240, 0.1, 0.05
    base = 2 * math.pi / (n * dx)
    found, predicted = {}, {}
    for m in (mode - 1, mode, mode + 1):
        k = m * base
        waves = klein_gordon(start, [n], dx, parameters={"chi": chi}, initial={"E": f"cos({k!r}*x)"}, dt=dt)
        found[m] = mode_frequency(waves, lambda x, k=k: np.cos(k * x), 400)
        predicted[m] = leapfrog_frequency(stiffness(2, [k], dx, chi), dt)
        # The measured mass departs from chi as the dispersion relation says, and by little.
        assert abs(found[m] ** 2 - predicted[m] ** 2) <= 1e-6 * chi**2
        assert abs(found[m] ** 2 - k**2 - chi**2) <= 1.05 * (k**4 * dx**2 + found[m] ** 4 * dt**2) / 12
    k, omega = mode * base, math.hypot(mode * base, chi)
    speed = k / omega
    measured, discrete = ((w[mode + 1] - w[mode - 1]) / (2 * base) for w in (found, predicted))
    assert abs(measured - discrete) <= 1e-6
    # The chord over two modes and the lattice both bend the group velocity away from k/omega.
    assert abs(measured - speed) <= abs(discrete - speed) + 1e-6 <= 0.02

    # The event (place, moment) of the moving frame happens at moment*gamma - place*gamma*speed of the rest frame.
    gamma = 1 / math.sqrt(1 - speed**2)
    place, steps = 1.7, 200
    moving = klein_gordon(start, [n], dx, parameters={"chi": chi}, dt=dt)
    put_levels(moving, lambda x, t: np.cos(k * x - predicted[mode] * t))
    moving.run(steps=steps)
    sine, cosine = (total(moving, "E", lambda x, f=f: f(k * x)) for f in (np.sin, np.cos))
    phase = k * place - math.atan2(sine, cosine)
    time = gamma * (steps * dt - speed * place)
    rest = klein_gordon(start, [n], dx, parameters={"chi": chi}, dt=time / steps)
    own = leapfrog_frequency(chi**2, rest.dt)
    put_levels(rest, lambda x, t: np.cos(own * t) + 0 * x)
    rest.run(steps=steps)
    expected = math.cos(own * time)
    assert abs(total(rest, "E") / n - expected) <= 1e-9
    shift = (predicted[mode] - omega) * steps * dt - (own - chi) * time
    assert abs(math.remainder(phase + own * time + shift, 2 * math.pi)) <= 1e-6
    assert abs(shift) <= 0.01


# ---- symbols of the stencils


def applied(start, shape, right, order, wave, **model):
    """One forward Euler step of dt(u) = right with dt = 1 from u = wave; the right-hand side is the change of u."""
    simulation = start(
        Lattice(shape),
        Model({"dt(u)": right}, order=order, **model),
        integrator="euler",
        dt=1.0,
        allow_unstable=True,
        backend="numpy",
    )
    put(simulation, "u", wave)
    simulation.run(steps=1)
    return simulation


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_eng_07_symbol_of_the_laplacian(start, ndim, order):
    shape, modes = [10, 9, 11, 8][:ndim], [1, 2, -3, 1][:ndim]
    waves = [2 * math.pi * m / n for m, n in zip(modes, shape, strict=True)]
    symbol = stiffness(order, waves, 1.0)
    for k in waves:
        if order == 2:
            assert math.isclose(second_symbol(2, k), 4 * math.sin(k / 2) ** 2, rel_tol=1e-14)
        if order == 4:
            assert math.isclose(second_symbol(4, k), 5 / 2 - 8 / 3 * math.cos(k) + math.cos(2 * k) / 6, rel_tol=1e-13)
    for shift in (0.0, math.pi / 2):
        after = applied(start, shape, "laplacian(u)", order, lambda *x, s=shift: np.cos(plane(waves, x) - s))
        assert largest(after, "u", lambda *x, s=shift: (1 - symbol) * np.cos(plane(waves, x) - s)) <= 1e-12 * symbol


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_eng_07_symbols_of_the_first_derivatives(start, ndim, order):
    """Centred and, through div(grad), staggered; the last axis stands for all."""
    shape = [*[9, 8, 9][: ndim - 1], 16]
    k, axis = 2 * math.pi * 2 / shape[-1], "xyzw"[ndim - 1]
    centred = first_symbol(order, k)
    after = applied(start, shape, f"d(u, {axis})", order, lambda *x: np.sin(k * x[-1]))
    assert largest(after, "u", lambda *x: np.sin(k * x[-1]) + centred * np.cos(k * x[-1])) <= 1e-12
    twice = staggered_symbol(order, k) ** 2
    after = applied(start, shape, "div(grad(u))", order, lambda *x: np.sin(k * x[-1]))
    assert largest(after, "u", lambda *x: (1 - twice) * np.sin(k * x[-1])) <= 1e-12


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_eng_07_polynomials_are_exact(start, ndim, order):
    """Second derivatives of degree order + 1, first ones of degree order, at sites whose stencil misses the seam."""
    n = order + 4

    def powers(x, degree):
        return ((x - n / 2) / n) ** degree

    def sums(*points):
        return sum((1 + a) * powers(x, order + 1) + powers(x, 2) for a, x in enumerate(points))

    def laplace(*points):
        parts = ((1 + a) * (order + 1) * order * powers(x, order - 1) + 2 for a, x in enumerate(points))
        return sum(parts) / n**2

    def last(*points):
        return powers(points[-1], order) + 0 * sum(points)

    def rise(*points):
        return order * powers(points[-1], order - 1) / n

    for right, wave, exact in (("laplacian(u)", sums, laplace), (f"d(u, {'xyzw'[ndim - 1]})", last, rise)):
        after = applied(start, [n] * ndim, right, order, wave)
        for values, points in pieces(after, "u"):
            inside = math.prod((x > order / 2) & (x < n - order / 2) for x in points)
            values[...] = inside * (values - wave(*points) - exact(*points))
        assert largest(after, "u") <= 1e-12


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_eng_07_derived_fields_have_ghosts_of_their_own(start, backend):
    """A derived field may read farther than any equation does."""
    k = 2 * math.pi * 3 / 20
    simulation = start(
        Lattice([20]),
        Model({"dt(u)": "-u"}, derived={"bend": "laplacian(u)"}, order=8),
        initial={"u": f"cos({k!r}*x)"},
        backend=backend,
        dt=0.1,
    )
    symbol = second_symbol(8, k)
    for (_, (x,)), values in zip(pieces(simulation, "u"), simulation.values("bend"), strict=True):
        assert np.abs(values[0] + symbol * np.cos(k * x)).max() <= 1e-12
