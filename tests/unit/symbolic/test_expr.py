"""The expression tree: value equality, immutability, folding that keeps the order of operations."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import pytest

from hpcsim.symbolic.expr import (
    ONE,
    ZERO,
    Access,
    Add,
    Call,
    Mul,
    Num,
    Pow,
    Symbol,
    add,
    call,
    mul,
    power,
    transform,
    where,
)
from hpcsim.symbolic.functions import FUNCTIONS, numpy_function

a, b, c = Symbol("a"), Symbol("b"), Symbol("c")


def test_nodes_are_values() -> None:
    """Equal nodes are equal and hash alike, also after pickling; different classes with equal content are not."""
    expr = (a + 2 * b) ** 2 / c
    again = pickle.loads(pickle.dumps(expr))  # noqa: S301
    assert expr == again
    assert hash(expr) == hash(again)
    assert Add((a, b)) != Mul((a, b))
    assert Access("u", 0, (0,)) != Access("u", 0, (1,))
    assert len({a + b, a + b, b + a}) == 2


@pytest.mark.parametrize("name", ["name", "_values", "anything"])
def test_nodes_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(a, name, "b")
    with pytest.raises(AttributeError):
        _ = a.nothing


def test_sums_keep_their_order_and_fold_numbers() -> None:
    assert add(a, 2, b, 3, c) == Add((a, Num(5), b, c))
    assert add(a, 2, b, -2) == Add((a, b))
    assert add() == ZERO
    assert add(a) is a
    assert add(add(a, b), c) == Add((a, b, c))


def test_products_fold_numbers_to_the_front() -> None:
    assert mul(a, 2, b, 3) == Mul((Num(6), a, b))
    assert mul(a, 0, b) == ZERO
    assert mul() == ONE
    assert mul(Fraction(1, 3), 3, a) == a
    minus = -a
    assert -minus == a
    assert a - a == Add((a, Mul((Num(-1), a))))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (power(a, 1), a),
        (power(a, 0), ONE),
        (power(a, 2.0), Pow(a, Num(2))),
        (power(a, 0.5), Pow(a, Num(0.5))),
        (power(power(a, 2), 3), Pow(a, Num(6))),
        (power(power(a, 2), -1), Pow(a, Num(-2))),
        (power(2, -2), Num(Fraction(1, 4))),
        (power(2.0, 0.5), Num(math.sqrt(2.0))),
        # (a**2)**0.5 is abs(a), so it must stay.
        (power(power(a, 2), 0.5), Pow(Pow(a, Num(2)), Num(0.5))),
    ],
)
def test_powers(given: object, wanted: object) -> None:
    assert given == wanted


def test_operators_of_python_numbers() -> None:
    assert 1 - a == Add((Num(1), Mul((Num(-1), a))))
    assert 2 / a == Mul((Num(2), Pow(a, Num(-1))))
    assert a / b == Mul((a, Pow(b, Num(-1))))


def test_transform_replaces_and_rebuilds() -> None:
    expr = where(call("sin", a), a * b, call("max", a, c))
    changed = transform(expr, lambda node: Num(2) if node == a else None)
    assert changed == where(call("sin", 2), 2 * b, call("max", 2, c))
    assert [node for node in changed.walk() if node == a] == []
    assert next(iter(expr.walk())) is expr


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_array_and_scalar_functions_agree(name: str) -> None:
    """Each function of the allow-list has the same meaning for arrays and for numbers."""
    function = FUNCTIONS[name]
    for sample in (0.3, -0.7, 0.0):
        values = (sample, 0.4)[: function.arity]
        try:
            wanted = function.scalar(*values)
        except ValueError:
            continue
        assert numpy_function(name)(*values) == pytest.approx(wanted, rel=1e-14, abs=1e-15)
    assert isinstance(call(name, *([a] * function.arity)), Call)
    assert math.isnan(FUNCTIONS["sign"].scalar(math.nan))
