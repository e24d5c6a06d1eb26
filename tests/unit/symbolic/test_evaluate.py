"""Evaluation: the order of operations, number types, and the scalar form."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from hpcsim.symbolic.evaluate import evaluate, integer_power, scalar_value, split_quotient
from hpcsim.symbolic.expr import Access, Add, Compare, Mul, Num, Pow, Symbol, call, mul, power, transform, where
from tests.unit.symbolic.random_expr import random_environment, random_expression

a, b = Symbol("a"), Symbol("b")
u, v = Access("u", 0, (0,)), Access("v", 0, (0,))


def test_left_to_right() -> None:
    """Sums and products are evaluated in the order in which they stand; this decides the last bits."""
    env = {a: 1e16, b: 1.0}
    assert evaluate(Add((a, b, mul(-1, a))), env) == 0.0
    assert evaluate(Add((a, mul(-1, a), b)), env) == 1.0
    assert evaluate(Mul((Num(1e-200), a, a)), {a: np.float64(1e-150)}) == 0.0
    three = np.float64(3.1)
    assert evaluate(power(a, 5), {a: three}) == three * three * three * three * three
    assert evaluate(power(a, -2), {a: three}) == 1.0 / (three * three)
    # A quotient divides at the end, by each divisor in turn.
    assert evaluate(Mul((Pow(b, Num(-1)), a)), {a: 2.0, b: three}) == 2.0 / three


def test_quotients_are_split() -> None:
    above, below = split_quotient(mul(2, a, power(b, -3), power(a, 0.5)))
    assert above == [Num(2), a, power(a, 0.5)]
    assert below == [power(b, 3)]


def test_float32_stays_float32() -> None:
    env = {u: np.float32([1.0, 2.0])}
    for expr in (0.1 * u + 3, u**-2, where(Compare("<", u, Num(1.5)), u, 0.3), call("max", u, 1.7), u / 3):
        assert evaluate(expr, env, "float32").dtype == np.float32
    assert evaluate(0.1 * u, env, "float32")[0] == np.float32(0.1)


def test_conditions_of_any_type() -> None:
    env = {u: np.array([1.0, 2.0, 3.0]), a: np.float64(1.0), b: np.float64(0.0)}
    less = Compare("<", u, Num(2.5))
    more = Compare(">", u, Num(1.5))
    assert evaluate(where(Compare("and", less, more), 1, 0), env).tolist() == [0, 1, 0]
    assert evaluate(where(Compare("or", less, more), 1, 0), env).tolist() == [1, 1, 1]
    assert evaluate(where(Compare("and", a, less), 1, 0), env).tolist() == [1, 1, 0]
    assert evaluate(where(Compare("and", b, less), 1, 0), env).tolist() == [0, 0, 0]
    for operator, wanted in (("==", [0, 1, 0]), ("!=", [1, 0, 1]), (">=", [0, 1, 1])):
        assert evaluate(where(Compare(operator, u, Num(2)), 1, 0), env).tolist() == wanted


@pytest.mark.parametrize("seed", range(60))
def test_scalar_form_agrees(seed: int) -> None:
    """Numbers evaluated by the standard library agree with NumPy."""
    rng = random.Random(seed)  # noqa: S311
    expr = random_expression(rng, 3, 1, exact=False)
    leaves = dict.fromkeys(n for n in expr.walk() if not n.children and not isinstance(n, Num))
    names = {leaf: Symbol(f"s{i}") for i, leaf in enumerate(leaves)}
    steady = transform(expr, names.get)
    env = random_environment(steady, seed)
    got = scalar_value(steady, {node.name: float(value) for node, value in env.items()})
    assert got == pytest.approx(float(evaluate(steady, env)), rel=1e-12, abs=1e-12)


def test_scalar_conditions() -> None:
    expr = where(Compare("and", Compare("<", a, Num(1)), Compare("<", b, Num(1))), 2, 3)
    assert scalar_value(expr, {"a": 0.0, "b": 0.0}) == 2.0
    assert scalar_value(expr, {"a": 0.0, "b": 1.0}) == 3.0
    with pytest.raises(KeyError):
        scalar_value(a, {})


def test_integer_powers() -> None:
    assert integer_power(3.0, 4) == 81.0
    assert integer_power(2.0, -3) == 0.125
    with np.errstate(over="ignore"):
        assert math.isinf(float(integer_power(np.float64(1e200), 2)))
