"""Difference and interpolation weights: exact on polynomials, known tables, symbols of ENG-07."""

from __future__ import annotations

import cmath
import math
from fractions import Fraction

import pytest

from hpcsim.symbolic.weights import ORDERS, centred, fornberg, staggered

F = Fraction


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("derivative", [1, 2])
def test_centred_weights_are_exact_on_polynomials(order: int, derivative: int) -> None:
    """ENG-07: degree <= p + 1 is differentiated exactly (rational arithmetic, no tolerance), degree p + 2 is not."""
    formula = centred(derivative, order)
    highest = order + (2 if derivative == 2 else 1)
    for degree in range(highest):
        value = sum(w * F(m) ** degree for m, w in formula)
        assert value == (math.factorial(derivative) if degree == derivative else 0)
    wrong = highest + (highest - derivative) % 2
    assert sum(w * F(m) ** wrong for m, w in formula) != 0
    assert max(abs(m) for m, _ in formula) == order // 2


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("derivative", [0, 1])
@pytest.mark.parametrize("to_staggered", [False, True])
def test_staggered_weights_are_exact_on_polynomials(order: int, derivative: int, to_staggered: bool) -> None:
    """Values half a spacing away interpolate and differentiate polynomials of degree < p exactly."""
    formula = staggered(derivative, order, to_staggered)
    # Index i of a staggered axis lies half a spacing below index i of the centred one.
    shift = F(1, 2) if to_staggered else F(-1, 2)
    for degree in range(order):
        value = sum(w * (m + shift) ** degree for m, w in formula)
        assert value == (math.factorial(derivative) if degree == derivative else 0)
    assert len(formula) == order


def test_known_tables() -> None:
    """ENG-07: the textbook weights, nearest sites first."""
    assert centred(2, 2) == ((0, F(-2)), (-1, F(1)), (1, F(1)))
    assert dict(centred(2, 4)) == {0: F(-5, 2), 1: F(4, 3), -1: F(4, 3), 2: F(-1, 12), -2: F(-1, 12)}
    assert dict(centred(1, 4)) == {1: F(2, 3), -1: F(-2, 3), 2: F(-1, 12), -2: F(1, 12)}
    assert dict(centred(2, 8))[4] == F(-1, 560)
    assert dict(staggered(1, 4, True)) == {-1: F(-9, 8), 0: F(9, 8), -2: F(1, 24), 1: F(-1, 24)}
    assert dict(staggered(0, 4, False)) == {0: F(9, 16), 1: F(9, 16), -1: F(-1, 16), 2: F(-1, 16)}
    assert fornberg([F(0), F(1), F(3)], 1) == (F(-4, 3), F(3, 2), F(-1, 6))


@pytest.mark.parametrize("kdx", [0.2, 1.0, 2.5])
def test_symbols(kdx: float) -> None:
    """ENG-07: the stencil applied to exp(ikx) gives the closed-form symbol."""

    def symbol(order: int) -> complex:
        return sum(float(w) * cmath.exp(1j * m * kdx) for m, w in centred(2, order))

    assert symbol(2) == pytest.approx(-4 * math.sin(kdx / 2) ** 2, abs=1e-12)
    fourth = -(5 / 2 - 8 / 3 * math.cos(kdx) + math.cos(2 * kdx) / 6)
    assert symbol(4) == pytest.approx(fourth, abs=1e-12)
