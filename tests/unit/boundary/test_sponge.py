"""KG-24: the sponge's damping rate, and how little of a wave it sends back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.boundary.conditions import resolve
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.symbolic.evaluate import evaluate
from hpcsim.symbolic.expr import Coordinate, Num
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse_scalar
from tests.unit.boundary.setup import Bench


def rate(layer, x, ndim=1, axis=0):
    """Damping rate at positions along an axis."""
    return evaluate(parse_scalar(layer.rate, Names(ndim)), {Coordinate(axis, 0, 0): x})


def test_the_rate_grows_with_depth_at_both_walls():
    domain = Domain((10, 10), (0, -3), (5, 2), (True, False))
    table = {"type": "sponge", "width": 4, "strength": 7, "power": 2, "reference": "sin(x)"}
    found = resolve({"y": table}, {}, [FieldSpec("u")], domain)
    lower, upper = found.damping("u")
    y = np.array([-3.0, -2.5, -2.0, -1.0, 0.0, 1.0, 2.0])
    assert rate(lower, y, 2, 1).tolist() == [7.0, 7 * 0.75**2, 7 * 0.25, 0, 0, 0, 0]
    assert rate(upper, y, 2, 1).tolist() == [0, 0, 0, 0, 0, 7 * 0.25, 7.0]
    assert lower.reference == parse_scalar("sin(x)", Names(2))


def test_the_default_strength():
    """6*(power + 1)*speed/thickness: the integral of the rate over the layer is 6 times the speed."""
    domain = Domain((40,), (0,), (20,), (False,))
    tables = {"x_lower": {"type": "sponge", "speed": "c/2"}, "x_upper": {"type": "sponge", "width": 8, "power": 1.5}}
    lower, upper = resolve("outflow", {"u": tables}, [FieldSpec("u")], domain, {"c": 6.0}).damping("u")
    x = (np.arange(20000) + 0.5) / 1000
    assert math.isclose(rate(lower, x).sum() / 1000, 6.0 * 3.0, rel_tol=1e-5)
    assert math.isclose(rate(upper, x).sum() / 1000, 6.0, rel_tol=1e-5)
    assert lower.reference == Num(0.0)


def test_other_conditions_do_not_damp():
    assert resolve("outflow", {}, [FieldSpec("u")], Domain((8,), (0,), (1,), (False,))).damping("u") == ()


def reflection(wall, wavelength, speed):
    """Amplitude thrown back by a 20-cell sponge, against the same wave in a lattice too long to matter."""

    def run(cells):
        domain = Domain((cells,), (0,), (0.5 * cells,), (False,))
        upper = {"type": "sponge", "speed": speed, "wall": wall}
        bench = Bench(domain, "outflow", {"u": {"x_upper": upper}})
        layer = bench.conditions.damping("u")[0]
        x, dx = bench.coordinates(bench.layout.blocks[0], 0)[0], 0.5
        dt = 0.5 * dx / speed
        damping = rate(layer, x) * dt / 2

        def pulse(y):
            y = (y - 100.0) / dx
            return np.exp(-((y / (1.5 * wavelength)) ** 2)) * np.cos(2 * math.pi * y / wavelength)

        before, u = pulse(x + speed * dt), bench.state.interior("u", bench.layout.blocks[0])
        u[...] = pulse(x)
        for _ in range(700):
            bench.fill()
            ends = bench.shell()
            force = (speed * dt / dx) ** 2 * (ends[2:] - 2 * u + ends[:-2])
            before, u[...] = u.copy(), (2 * u - (1 - damping) * before + force) / (1 + damping)
        return u[:300].copy()

    return float(np.abs(run(340) - run(900)).max())


@pytest.mark.parametrize("wall", ["outflow", "neumann"])
@pytest.mark.parametrize(("wavelength", "speed"), [(6, 1.0), (12, 3.0), (14, 1.0)])
def test_a_pulse_leaves_with_less_than_one_percent_reflected(wall, wavelength, speed):
    """KG-24: 20 cells with default keys and the right speed reflect at most 1e-2 in amplitude."""
    assert reflection(wall, wavelength, speed) <= 1e-2
