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


@pytest.mark.parametrize(
    ("number", "printed"), [(0, 0.137641258), (1, 0.213084847), (2, 0.296488512), (3, 0.375912672)]
)
def test_kg_21_square_well(start, number, printed):
    assert abs(bound_frequency(number)[0] - printed) <= 1e-9
    dx = 0.2
    chi = f"where(abs(x) < {HALF_WIDTH}, {INSIDE}, {OUTSIDE})"
    well = klein_gordon(start, [1000], dx, lower=[-100.0], parameters={"chi": chi}, dt=0.15)
    shape = profile(number)
    put_at_rest(well, shape)
    series = record(well, 1200, lambda s: total(s, "E", shape))
    found = frequency(series, well.dt)
    assert abs(found / printed - 1) <= 2e-3
    # The state stays in the well.
    assert np.max(np.abs(series)) <= 1.001 * series[0]


def sphere(start, cells, dx, number, steps):
    """Measured frequency of a spherical state in an octant; mirrors stand for the other seven."""
    chi = f"where(x**2 + y**2 + z**2 < {HALF_WIDTH**2}, {INSIDE}, {OUTSIDE})"
    well = klein_gordon(start, [cells] * 3, dx, boundary="neumann", parameters={"chi": chi}, dt=0.5 * dx)
    shape = profile(number)

    def radial(x, y, z):
        r = np.sqrt(x**2 + y**2 + z**2)
        return shape(r) / r

    put_at_rest(well, radial)
    return frequency(record(well, steps, lambda s: total(s, "E", radial)), well.dt)


@pytest.mark.parametrize(("number", "printed"), [(1, 0.213084847), (3, 0.375912672)])
def test_kg_21_sphere(start, number, printed):
    """The l = 0 states r*E are the odd states of the well in one dimension."""
    found = sphere(start, 48, 1.0, number, 120)
    assert abs(found / printed - 1) <= 2e-3


def test_kg_09_clock_ratio(start):
    """Two wells far apart tick at the ratio of their own ground frequencies."""
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
    put_at_rest(wells, lambda x: shapes[0](x) + shapes[1](x))
    series = record(wells, 1500, lambda s: [total(s, "E", shape) for shape in shapes])
    found = [frequency(series[:, i], wells.dt) for i in range(2)]
    expected = [bound_frequency(0, *well)[0] for well in (narrow, wide)]
    assert 1.5 < expected[0] / expected[1] < 3
    assert abs(found[0] / found[1] / (expected[0] / expected[1]) - 1) <= 3e-3


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "printed"), [(1, 0.213084847), (3, 0.375912672)])
def test_kg_21_sphere_in_full(start, number, printed):
    """Half the spacing, and a tenth of the tolerance for the coarse error that is left."""
    found = sphere(start, 128, 0.5, number, 240)
    assert abs(found / printed - 1) <= 1e-3
