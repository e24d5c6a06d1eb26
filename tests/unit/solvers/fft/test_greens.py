"""The catalogue of Green's functions: values, the cell at the origin, truncated transforms (QG-03, KG-15)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0

from hpcsim.errors import ConfigError, FormulaError
from hpcsim.solvers.fft.cell_average import cell_average
from hpcsim.solvers.fft.formula import Formula
from hpcsim.solvers.fft.greens import GREENS, make_green

CASES = [("coulomb", 3, {}), ("yukawa", 3, {"length": 0.6}), ("logarithm", 2, {})]


@pytest.mark.parametrize(("name", "ndim", "parameters"), CASES)
def test_truncated_transforms(name: str, ndim: int, parameters) -> None:
    """QG-03: the closed forms are the integrals over the ball or disc, at k = 0 as well."""
    green, radius = make_green(name, ndim, **parameters), 2.3
    assert green.truncates
    for k in (0.0, 1e-3, 0.7, 3.1, 12.0):

        def shell(r: float, k: float = k) -> float:
            wave = np.sinc(k * r / math.pi) * 2 * r if ndim == 3 else j0(k * r)
            return 2 * math.pi * r * wave * float(green(np.array([r]))[0])

        expected = quad(shell, 0.0, radius, epsabs=1e-13, epsrel=1e-13, limit=200)[0]
        assert float(green.truncated(np.array([k]), radius)[0]) == pytest.approx(expected, abs=1e-10)


def test_values_by_hand() -> None:
    """Each function at one distance."""
    r = np.array([0.5])
    values = {
        "coulomb": 1.0 / (2.0 * math.pi),
        "yukawa": math.exp(-0.25) / (2.0 * math.pi),
        "logarithm": math.log(2.0) / (2.0 * math.pi),
        "gaussian": math.exp(-1.0 / 32.0) / (8.0 * math.pi),
    }
    for name, value in values.items():
        ndim = 2 if name in ("logarithm", "gaussian") else 3
        parameters = {"length": 2.0} if name in ("yukawa", "gaussian") else {}
        assert float(make_green(name, ndim, **parameters)(r)[0]) == pytest.approx(value, rel=1e-15)
    assert set(GREENS) == {*values, "formula"}


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_the_gaussian_has_unit_integral(ndim: int) -> None:
    """Sum over a wide lattice, the origin by its value."""
    green, h = make_green("gaussian", ndim, length=0.5), 0.25
    x = np.arange(-12, 13) * h
    total = green.sample(np.ix_(*[x] * ndim), (h,) * ndim).sum() * h**ndim
    assert total == pytest.approx(1.0, abs=1e-7)


def test_mean_over_the_cell() -> None:
    """Known integrals: 1/r over a cube and a flat box, log r over a square, and a constant."""
    assert cell_average(lambda r: 1.0 / r, (1.0,) * 3) == pytest.approx(2.3800773639795, rel=1e-9)
    assert cell_average(lambda r: 1.0 / r, (0.2,) * 3) == pytest.approx(5 * 2.3800773639795, rel=1e-9)
    flat = quad(lambda x: 2 * math.asinh(0.5 / abs(x)), -1.0, 1.0, points=[0.0])[0] / 2.0
    assert cell_average(lambda r: 1.0 / r, (2.0, 1.0)) == pytest.approx(flat, rel=1e-7)
    square = 0.5 * (math.log(0.5) + math.pi / 2 - 3.0)
    assert cell_average(np.log, (1.0, 1.0)) == pytest.approx(square, rel=1e-9)
    for ndim in (1, 2, 3, 4):
        assert cell_average(np.ones_like, (0.1, 0.5, 2.0, 1.0)[:ndim]) == pytest.approx(1.0, rel=1e-13)
    with pytest.raises(ConfigError, match="no integral"):
        cell_average(lambda r: r**-3.0, (1.0,) * 3)


def test_formulas() -> None:
    """A formula has the values of the function it spells, at the origin by value, mean or as given."""
    yukawa, spelt = make_green("yukawa", 3, length=0.7), Formula(3, "exp(-r/l)/(4*pi*r)", {"l": 0.7})
    r = np.linspace(0.1, 4.0, 30)
    assert np.allclose(spelt(r), yukawa(r), rtol=1e-15)
    assert spelt.at_origin((0.1, 0.2, 0.3)) == pytest.approx(yukawa.at_origin((0.1, 0.2, 0.3)), rel=1e-14)
    assert Formula(3, "1/r", origin=7.0).at_origin((1.0,) * 3) == 7.0
    assert Formula(2, "3").sample(np.ix_(r, r), (0.1, 0.1)).tolist() == np.full((30, 30), 3.0).tolist()
    with pytest.raises(FormulaError, match="did you mean|Known"):
        Formula(3, "exp(-q)")
    with pytest.raises(FormulaError, match="not finite at r = 0.1"):
        Formula(3, "sqrt(r - 2)")(r)
    with pytest.raises(ConfigError, match="use mode 'padded'"):
        spelt.truncated(r, 1.0)


@pytest.mark.parametrize(
    ("name", "ndim", "parameters", "text"),
    [
        ("coulombs", 3, {}, "did you mean 'coulomb'"),
        ("coulomb", 2, {}, "made for 3"),
        ("yukawa", 3, {}, "'length' is needed"),
        ("yukawa", 3, {"lenght": 1.0}, "did you mean 'length'"),
        ("yukawa", 3, {"length": -1.0}, "above zero"),
        ("gaussian", 3, {"length": math.inf}, "above zero"),
    ],
)
def test_refusals(name: str, ndim: int, parameters, text: str) -> None:
    """Names, dimensions and parameters."""
    with pytest.raises(ConfigError, match=text):
        make_green(name, ndim, **parameters)
