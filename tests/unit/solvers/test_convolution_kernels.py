"""Kernels from formulas: values, the origin, products with named functions, what is refused (QG-03, QG-04, KG-15)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.solvers.convolution_kernels import FormulaKernel, cell_mean, chosen_mode, make_kernel
from hpcsim.solvers.fft.cell_average import cell_average
from hpcsim.solvers.fft.greens import Green, make_green
from hpcsim.symbolic.convolution import Kernel
from hpcsim.symbolic.expr import Num, Symbol
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse_scalar

SPACING = (0.5, 0.25, 1.0)
OFFSETS = np.ix_(np.arange(-2, 3) * 0.5, np.arange(-3, 2) * 0.25, np.arange(0, 3) * 1.0)


def formula(text: str, ndim: int = 3, origin: float | None = None, **values: float) -> FormulaKernel:
    """A kernel that is a formula alone."""
    names = Names(ndim, symbols=frozenset({"r", *values}))
    return FormulaKernel(Kernel(formula=parse_scalar(text, names), origin=_number(origin)), values)


def named(name: str, times: str = "1", **parameters: float) -> Any:
    """A named function times a formula."""
    expr = parse_scalar(times, Names(3, symbols=frozenset("r")))
    return make_kernel(Kernel(name, tuple((key, Num(value)) for key, value in parameters.items()), expr), 3, {})


def _number(value: float | None) -> Num | None:
    return None if value is None else Num(value)


def test_values_are_those_of_the_formula() -> None:
    """QG-04: offsets with their signs, the distance, parameters."""
    x, y, z = OFFSETS
    got = formula("a*x*exp(-r) + y*z", a=3.0).sample(OFFSETS, SPACING)
    r = np.sqrt(x**2 + y**2 + z**2)
    np.testing.assert_allclose(got, 3.0 * x * np.exp(-r) + y * z, rtol=1e-14)
    assert formula("2").sample(OFFSETS, SPACING).tolist() == np.full((5, 5, 3), 2.0).tolist()


def test_a_formula_and_a_function_of_the_catalogue_agree() -> None:
    """QG-03: exp(-r/l)/(4 pi r) as text and by name, the origin included."""
    text = formula("exp(-r/l)/(4*pi*r)", l=2.0).sample(OFFSETS, SPACING)
    np.testing.assert_allclose(text, make_green("yukawa", 3, length=2.0).sample(OFFSETS, SPACING), rtol=2e-6)


def test_products_with_a_function_of_the_catalogue() -> None:
    """QG-04: the origin of a product is the mean of the product; odd ones vanish there exactly."""
    x, y, _ = OFFSETS
    r = np.sqrt(sum(offset**2 for offset in OFFSETS))
    for times, factor in (("x*y/r**2", x * y), ("x**2/r**2", x**2), ("y/r", y)):
        got = named("yukawa", times, length=2.0).sample(OFFSETS, SPACING)
        green = make_green("yukawa", 3, length=2.0).sample(OFFSETS, SPACING)
        away = r > 0
        power = 1 if times == "y/r" else 2
        np.testing.assert_allclose(got[away], (green * factor / np.where(away, r, 1.0) ** power)[away], rtol=1e-14)
        origin = got[2, 3, 0]
        assert origin == 0.0 if times != "x**2/r**2" else 0.0 < origin < green[2, 3, 0]
    squares = [named("yukawa", f"{axis}**2/r**2", length=2.0).at_origin(SPACING) for axis in "xyz"]
    assert sum(squares) == pytest.approx(make_green("yukawa", 3, length=2.0).at_origin(SPACING), rel=1e-6)


def test_the_origin_is_the_given_value_or_that_of_the_formula_or_a_mean() -> None:
    assert formula("exp(-r)").at_origin(SPACING) == 1.0
    assert formula("x/r").at_origin(SPACING) == 0.0
    assert formula("exp(-r)", origin=0.25).sample(OFFSETS, SPACING)[2, 3, 0] == 0.25
    mean = formula("1/r").at_origin(SPACING)
    assert mean == pytest.approx(cell_average(lambda r: 1.0 / r, SPACING), rel=1e-8)
    with pytest.raises(ConfigError, match="give its value at the origin"):
        formula("1/r**3").at_origin(SPACING)
    assert formula("1/r**3", origin=0.0).at_origin(SPACING) == 0.0


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_means_over_the_cell(ndim: int) -> None:
    """Polynomials have known means, singular functions those of the radial rule of the catalogue."""
    spacing = (0.4, 0.3, 0.7, 0.5)[:ndim]
    mean = cell_mean(lambda offsets: sum(x**2 for x in offsets) + offsets[0], spacing)
    assert mean == pytest.approx(sum(h**2 for h in spacing) / 12, rel=1e-12)
    singular = cell_mean(lambda offsets: np.log(np.sqrt(sum(x**2 for x in offsets))), spacing)
    assert singular == pytest.approx(cell_average(np.log, spacing), rel=1e-5)


def test_evenness_follows_from_the_formula() -> None:
    """QG-04: kernels that are even along every axis have real modes; others must not be taken for such."""
    for text, even in (("exp(-r)", True), ("x*x/r**2", True), ("x*y", False), ("x", False), ("x + 1", False)):
        assert formula(text).even is even, text
        values = formula(text).sample(np.ix_(*[np.arange(-2, 3.0)] * 3), (1.0,) * 3)
        assert all(np.array_equal(values, np.flip(values, axis)) for axis in range(3)) is even


def test_a_value_that_is_not_finite_is_kept_for_all_ranks() -> None:
    """F-32: sampling does not raise on one rank alone."""
    kernel = formula("1/(r - 1)")
    assert kernel.faulty is None
    values = kernel.sample(OFFSETS, SPACING)
    assert kernel.faulty is not None and math.hypot(*kernel.faulty) == 1.0
    assert np.isfinite(values).all()
    # The distance 1 does not count if no two sites are so far from each other.
    near = make_kernel(Kernel(formula=parse_scalar("1/(r - 1)", Names(3, symbols=frozenset("r")))), 3, {}, (0.9,) * 3)
    near.sample(OFFSETS, SPACING)
    assert isinstance(near, FormulaKernel) and near.faulty is None


def test_modes_are_chosen_by_what_a_kernel_has() -> None:
    """QG-03: spectral accuracy where there is a truncated transform."""
    assert isinstance(named("coulomb"), Green) and chosen_mode("", named("coulomb")) == "truncated"
    for kernel in (named("gaussian", length=1.0), named("coulomb", "x/r"), formula("exp(-r)")):
        assert chosen_mode("", kernel) == "padded"
    assert chosen_mode("periodic", named("coulomb")) == "periodic"


def test_names_and_parameters_of_functions_are_checked() -> None:
    """F-32: the nearest name."""
    with pytest.raises(ConfigError, match="did you mean 'yukawa'"):
        named("yukava")
    with pytest.raises(ConfigError, match="did you mean 'length'"):
        named("yukawa", lenght=1.0)
    with pytest.raises(ConfigError, match="made for 3"):
        make_kernel(Kernel("coulomb"), 2, {})
    length = make_kernel(Kernel("yukawa", (("length", 2 * Symbol("l")),)), 3, {"l": 0.5})
    assert isinstance(length, Green) and length.length == 1.0
