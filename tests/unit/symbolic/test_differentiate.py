"""Derivatives of expressions against central differences, and by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hpcsim.errors import FormulaError
from hpcsim.symbolic.differentiate import differentiate
from hpcsim.symbolic.evaluate import evaluate
from hpcsim.symbolic.expr import ONE, ZERO, Access, Compare, Expr, Num, Symbol, call, power, where
from hpcsim.symbolic.functions import FUNCTIONS
from tests.unit.symbolic.random_expr import random_environment, random_expression

u, v = Access("u", 0, (0,)), Access("u", 0, (1,))
a = Symbol("a")
POINTS = np.array([0.31, 0.52, 0.74, 0.17])


def numeric(expr: Expr, variable: Expr, env: dict) -> np.ndarray:
    """Derivative by Richardson-extrapolated central differences."""

    def central(h: float) -> np.ndarray:
        up, down = {**env, variable: env[variable] + h}, {**env, variable: env[variable] - h}
        return (np.asarray(evaluate(expr, up)) - np.asarray(evaluate(expr, down))) / (2 * h)

    return (4 * central(5e-4) - central(1e-3)) / 3


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"floor", "ceil"}))
def test_functions(name: str) -> None:
    inner = (u * v + 0.1, u - 0.3 * v)[: FUNCTIONS[name].arity]
    expr = call(name, *inner)
    env = {u: POINTS, v: POINTS[::-1] + 0.07}
    for variable in (u, v):
        slope = np.broadcast_to(evaluate(differentiate(expr, variable), env), POINTS.shape)
        np.testing.assert_allclose(slope, numeric(expr, variable, env), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["floor", "ceil"])
def test_functions_without_a_derivative_say_so(name: str) -> None:
    with pytest.raises(FormulaError, match=name):
        differentiate(call(name, u), u)
    assert differentiate(call(name, a), u) == ZERO


@pytest.mark.parametrize("seed", range(60))
def test_random_expressions(seed: int) -> None:
    """Chain, product, quotient and power rules on random smooth expressions."""
    rng = random.Random(seed)  # noqa: S311
    expr = random_expression(rng, 4, 1, exact=False)
    rough = ("floor", "ceil", "sign", "min", "max", "abs")
    if any(getattr(n, "function", "") in rough or type(n).__name__ == "Where" for n in expr.walk()):
        return
    env = random_environment(expr, seed)
    for variable in {n for n in expr.walk() if isinstance(n, (Access, Symbol))}:
        slope = np.broadcast_to(evaluate(differentiate(expr, variable), env), (64,))
        wanted = np.broadcast_to(numeric(expr, variable, env), (64,))
        np.testing.assert_allclose(slope, wanted, rtol=1e-5, atol=1e-6 * (1 + np.abs(wanted).max()))


def test_by_hand() -> None:
    assert differentiate(u, u) == ONE
    assert differentiate(v, u) == ZERO
    assert differentiate(3 * u**2 + v, u) == 6 * u
    assert differentiate(a * u, a) == u
    assert differentiate(power(2.0, u), u) == power(2.0, u) * call("log", Num(2.0))
    assert differentiate(where(Compare("<", u, v), u**2, v), u) == where(Compare("<", u, v), 2 * u, 0)
    assert differentiate(where(Compare("<", u, v), a, 1), u) == ZERO
