"""Frequencies of waves caught in wells of small mass against the roots of the matching conditions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from tests.convergence.support import frequency, klein_gordon, put_at_rest, record, total

INSIDE, OUTSIDE, HALF_WIDTH = 0.1, 0.4, 14.0


def bound_frequency(number, inside=INSIDE, outside=OUTSIDE, half=HALF_WIDTH):
    """Frequency of a bound state, counted from 0: k tan(k a) = kappa if even, -k cot(k a) = kappa if odd."""
    deep = math.sqrt(outside**2 - inside**2)

    def mismatch(k):
        # Both conditions in one: the phase k*a - arctan(kappa/k) is a multiple of pi/2.
        return k * half - math.atan2(math.sqrt(max(deep**2 - k**2, 0.0)), k) - number * math.pi / 2

    k = brentq(mismatch, 1e-12, deep, xtol=1e-14)
    return math.hypot(inside, k), k, math.sqrt(deep**2 - k**2)


def profile(number, inside=INSIDE, outside=OUTSIDE, half=HALF_WIDTH):
    """Shape of a bound state around 0."""
    _, k, kappa = bound_frequency(number, inside, outside, half)
    wave = np.sin if number % 2 else np.cos
    edge = float(wave(k * half))

    def shape(x):
        tail = edge * np.exp(-kappa * np.maximum(np.abs(x) - half, 0.0))
        return np.where(np.abs(x) < half, wave(k * x), (np.sign(x) if number % 2 else 1.0) * tail)

    return shape


def lattice_state(number, dx, dt, inside=INSIDE, outside=OUTSIDE, half=HALF_WIDTH, period=200.0):
    """Frequency and shape of the bound state of the leapfrog step itself, exact on a periodic lattice.

    Inside it is cos(k x) or sin(k x), outside cosh or sinh of kappa*(period/2 - |x|); both are waves of the lattice of
    one frequency, and the ratio of the two sites next to the edge of the well is the same for both.
    """
    near, wave, tail = (math.cos, np.cos, np.cosh) if number % 2 == 0 else (math.sin, np.sin, np.sinh)
    last, first = half - dx / 2, half + dx / 2

    def numbers(omega):
        square = 4 / dt**2 * math.sin(omega * dt / 2) ** 2
        k = 2 / dx * math.asin(dx / 2 * math.sqrt(square - inside**2))
        return k, 2 / dx * math.asinh(dx / 2 * math.sqrt(outside**2 - square))

    def outer(kappa, x):
        return tail(kappa * (period / 2 - x)) / tail(kappa * (period / 2 - last))

    def mismatch(omega):
        k, kappa = numbers(omega)
        return near(k * first) - near(k * last) * outer(kappa, first)

    continuum = bound_frequency(number, inside, outside, half)[0]
    omega = brentq(mismatch, 0.99 * continuum, 1.01 * continuum, xtol=1e-15)
    k, kappa = numbers(omega)

    def shape(x):
        sign = np.sign(x) if number % 2 else 1.0
        outside_of_it = sign * near(k * last) * outer(kappa, np.maximum(np.abs(x), last))
        return np.where(np.abs(x) < half, wave(k * x), outside_of_it)

    return omega, shape


def off_cosine(series, omega, dt):
    """Largest distance of a series from its first value times cos(omega t), in units of that value."""
    return np.max(np.abs(series / series[0] - np.cos(omega * dt * np.arange(len(series)))))


@pytest.mark.parametrize(
    ("number", "printed"), [(0, 0.137641258), (1, 0.213084847), (2, 0.296488512), (3, 0.375912672)]
)
def test_kg_21_square_well(start, number, printed):
    """Against the continuum as printed, and against the state of the lattice, on which nothing is left to errors."""
    assert abs(bound_frequency(number)[0] - printed) <= 1e-9
    dx = 0.2
    chi = f"where(abs(x) < {HALF_WIDTH}, {INSIDE}, {OUTSIDE})"
    well = klein_gordon(start, [1000], dx, lower=[-100.0], parameters={"chi": chi}, dt=0.15)
    shape = profile(number)
    omega, exact = lattice_state(number, dx, well.dt)
    put_at_rest(well, shape)
    both = record(well, 1200, lambda s: [total(s, "E", shape), total(s, "E", exact)])
    series = both[:, 0]
    found = frequency(series, well.dt)
    assert abs(found / printed - 1) <= 2e-3
    # The state stays in the well.
    assert np.max(np.abs(series)) <= 1.001 * series[0]
    # What is along an eigenvector swings by itself, from rest and with no change of amplitude.
    assert abs(omega / printed - 1) <= 2e-3
    assert off_cosine(both[:, 1], omega, well.dt) <= 1e-9


def sphere(start, cells, dx, number, steps, lower=0.0):
    """Measured frequency of a spherical state in an octant; mirrors stand for the other seven.

    The centre is a corner of the lattice: the lower one, or the upper one with lower = -cells*dx.
    """
    chi = f"where(x**2 + y**2 + z**2 < {HALF_WIDTH**2}, {INSIDE}, {OUTSIDE})"
    well = klein_gordon(
        start, [cells] * 3, dx, lower=[lower] * 3, boundary="neumann", parameters={"chi": chi}, dt=0.5 * dx
    )
    shape = profile(number)

    def radial(x, y, z):
        r = np.sqrt(x**2 + y**2 + z**2)
        return shape(r) / r

    put_at_rest(well, radial)
    series = record(well, steps, lambda s: total(s, "E", radial))
    found = frequency(series, well.dt)
    # It starts at rest, so that the phase is right as well.
    assert off_cosine(series, found, well.dt) <= 1e-3
    # No axis is special.
    extents = [total(well, "E", lambda *points, axis=axis: points[axis] ** 2, 2) for axis in range(3)]
    assert max(extents) - min(extents) <= 1e-10 * max(extents)
    return found


@pytest.mark.parametrize(("number", "printed", "lower"), [(1, 0.213084847, 0.0), (3, 0.375912672, -48.0)])
def test_kg_21_sphere(start, number, printed, lower):
    """The l = 0 states r*E are the odd states of the well in one dimension."""
    found = sphere(start, 48, 1.0, number, 120, lower)
    assert abs(found / printed - 1) <= 2e-3


def test_kg_09_clock_ratio(start):
    """Two wells far apart tick at the ratio of their own ground frequencies.

    An error of both clocks drops out of the ratio, so each is also held against the state of the lattice.
    """
    narrow, wide = (0.2, 0.5, 8.0), (INSIDE, OUTSIDE, HALF_WIDTH)
    places = (-70.0, 70.0)
    dx = HALF_WIDTH / 140
    chi = (
        f"where(abs(x + 70) < {narrow[2]}, {narrow[0]}, where(abs(x - 70) < {wide[2]}, {wide[0]}, "
        f"where(x < 0, {narrow[1]}, {wide[1]})))"
    )
    wells = klein_gordon(start, [2800], dx, lower=[-140.0], parameters={"chi": chi}, dt=0.09)
    shapes = [
        lambda x, w=well, p=place: np.where(x * p > 0, profile(0, *w)(x - p), 0.0)
        for well, place in zip((narrow, wide), places, strict=True)
    ]
    states = [lattice_state(0, dx, wells.dt, *well, period=140.0) for well in (narrow, wide)]
    weights = [
        lambda x, shape=shape, p=place: np.where(x * p > 0, shape(x - p), 0.0)
        for (_, shape), place in zip(states, places, strict=True)
    ]
    put_at_rest(wells, lambda x: shapes[0](x) + shapes[1](x))
    series = record(wells, 1500, lambda s: [total(s, "E", weight) for weight in (*shapes, *weights)])
    found = [frequency(series[:, i], wells.dt) for i in range(2)]
    expected = [bound_frequency(0, *well)[0] for well in (narrow, wide)]
    assert 1.5 < expected[0] / expected[1] < 3
    assert abs(found[0] / found[1] / (expected[0] / expected[1]) - 1) <= 3e-3
    assert all(abs(found[i] / expected[i] - 1) <= 3e-3 for i in range(2))
    for (omega, _), clock in zip(states, series.T[2:], strict=True):
        assert off_cosine(clock, omega, wells.dt) <= 1e-7


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "printed"), [(1, 0.213084847), (3, 0.375912672)])
def test_kg_21_sphere_in_full(start, number, printed):
    """Half the spacing, and a tenth of the tolerance for the coarse error that is left."""
    found = sphere(start, 128, 0.5, number, 240)
    assert abs(found / printed - 1) <= 1e-3
