"""Waves at walls: standing waves between Dirichlet and Neumann ends, and what a sponge throws back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.api import Lattice, Model
from tests.convergence.support import (
    ORDERS,
    klein_gordon,
    largest,
    leapfrog_frequency,
    mode_frequency,
    pieces,
    put_at_rest,
    put_levels,
    stiffness,
)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("wall", "mode", "printed"),
    [
        ("dirichlet", 1, 3.141363308854),
        ("dirichlet", 3, 9.418583846304),
        ("neumann", 1, 3.141356085566),
        ("neumann", 5, None),
    ],
)
def test_eng_05_standing_waves(start, wall, mode, printed, order):
    """Vertices with 64 of them inside, and 64 cells; the mirror images make the relation exact for every order."""
    vertices = wall == "dirichlet"
    cells = 65 if vertices else 64
    dx = 1 / cells
    expected = leapfrog_frequency(stiffness(order, [mode * math.pi], dx), dx / 2)
    if order == 2:
        by_formula = 4 / dx * math.asin(0.5 * math.sin(mode * math.pi * dx / 2))
        assert math.isclose(expected, by_formula, rel_tol=1e-13)
        assert printed is None or abs(expected - printed) <= 1e-12
    waves = start(
        Lattice([cells], upper=[1.0], boundary=wall),
        Model({"dtt(E)": "laplacian(E)"}, fields={"E": {"centring": "vertex" if vertices else "cell"}}, order=order),
        dt=dx / 2,
        integrator="leapfrog",
    )

    def shape(x):
        return np.sin(mode * math.pi * x) if vertices else np.cos(mode * math.pi * x)

    put_at_rest(waves, shape)
    assert abs(mode_frequency(waves, shape, 500) / expected - 1) <= 1e-9 / math.pi


def thrown_back(start, shape, spacing, order, level, inside, time):
    """Largest field in a part of the lattice after the pulse has left it, in units of the field at the start."""
    waves = klein_gordon(start, shape, spacing, order=order, boundary={"type": "sponge", "width": 20}, cfl=0.6)
    put_levels(waves, level)
    first = largest(waves, "E")
    waves.run(until=time)
    for values, points in pieces(waves, "E"):
        values *= inside(*points)
    return largest(waves, "E") / first


@pytest.mark.parametrize(
    ("cells", "order"),
    [(6, 2), (6, 4), (8, 2), (10, 4), (12, 2), (12, 4), (14, 2), (14, 4)],
)
@pytest.mark.parametrize("direction", [-1, 1])
def test_kg_24_sponge(start, order, cells, direction):
    """A pulse that runs into a 20-cell layer at either end; what comes back is in the middle by then."""
    dx = 0.25
    k = 2 * math.pi / (cells * dx)

    def level(x, t):
        y = x - 60 - direction * t
        return np.exp(-((y / 6) ** 2)) * np.cos(k * y)

    found = thrown_back(start, [480], dx, order, level, lambda x: np.abs(x - 60) < 50, 100.0)
    assert 1e-3 < found <= 1e-2


@pytest.mark.parametrize("order", [2, 4])
def test_kg_24_sponge_around_an_outgoing_ring(start, order):
    """All directions at once: a ring of waves in two dimensions, corners included."""
    dx, k = 0.5, 2 * math.pi / 5

    def level(x, y, t):
        r = np.hypot(x - 50, y - 50)
        return np.exp(-(((r - 12 - t) / 4) ** 2)) * np.cos(k * (r - 12 - t)) / np.sqrt(np.maximum(r, 1.0))

    found = thrown_back(start, [200, 200], dx, order, level, lambda x, y: np.hypot(x - 50, y - 50) < 36, 90.0)
    assert found <= 1e-2
