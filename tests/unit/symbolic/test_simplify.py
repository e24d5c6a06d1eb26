"""Normal form: equal values, fewer multiplications, invariants pulled out of the loop."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from hpcsim.errors import FormulaError
from hpcsim.symbolic.discretize import Discretizer
from hpcsim.symbolic.evaluate import evaluate, scalar_value
from hpcsim.symbolic.expr import Access, Add, Coordinate, Expr, Mul, Num, Scalar, Symbol, add, call, mul, power, where
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse_scalar
from hpcsim.symbolic.simplify import hoist_scalars, invariant, normal_form
from tests.unit.symbolic.random_expr import random_environment, random_expression

a, b, dt = Symbol("a"), Symbol("b"), Symbol("dt")
u, left, right = (Access("u", 0, (step,)) for step in (0, -1, 1))


def close(x: object, y: object) -> None:
    x, y = np.asarray(x, float), np.asarray(y, float)
    assert np.all(np.abs(x - y) <= 1e-9 * (1 + np.abs(y)))


@pytest.mark.parametrize("seed", range(150))
def test_values_stay(seed: int) -> None:
    """Normal form and hoisting change no value beyond rounding, on random expressions and random data."""
    rng = random.Random(seed)  # noqa: S311
    # Rounding functions would turn one ulp into a jump, so the values are compared on smooth expressions.
    expr = random_expression(rng, rng.randrange(1, 5), 2, exact=False)
    if any(getattr(n, "function", "") in ("floor", "ceil", "sign") or type(n).__name__ == "Where" for n in expr.walk()):
        return
    env = random_environment(expr, seed)
    wanted = np.broadcast_to(evaluate(expr, env), (64,))
    normal = normal_form(expr)
    close(np.broadcast_to(evaluate(normal, env), (64,)), wanted)
    values = {node.name: float(value) for node, value in env.items() if isinstance(node, Symbol)}
    (hoisted,), scalars = hoist_scalars([normal])
    env |= {Scalar(i): np.float64(scalar_value(s, values)) for i, s in enumerate(scalars)}
    close(np.broadcast_to(evaluate(hoisted, env), (64,)), wanted)


@pytest.mark.parametrize("seed", range(100))
def test_nothing_invariant_is_left_in_the_loop(seed: int) -> None:
    """After hoisting, the symbols are gone, and no operation has constant operands alone."""
    rng = random.Random(seed)  # noqa: S311
    exprs = [normal_form(random_expression(rng, 3, 1)) for _ in range(3)]
    hoisted, scalars = hoist_scalars(exprs)
    assert len(set(scalars)) == len(scalars)
    for scalar in scalars:
        assert invariant(scalar)
    for node in (node for expr in hoisted for node in expr.walk()):
        assert not isinstance(node, Symbol)
        if node.children:
            assert any(not isinstance(child, (Num, Scalar)) for child in node.children)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        # Like terms are collected.
        (u + 2 * u, 3 * u),
        (u - u, Num(0)),
        (a * u + b * u, mul(add(a, b), u)),
        # Equal coefficients share one multiplication.
        (a * left + a * right, mul(a, add(left, right))),
        (a * (left - 2 * u + right), add(mul(a, add(left, right)), mul(-2, a, u))),
        # Exact arithmetic of weights: a third three times is one.
        (mul(Fraction(1, 3), u) + mul(Fraction(2, 3), u), u),
        # A linear and a quadratic term in u join: one multiplication less.
        (a * u + b * u * left, Mul((add(a, mul(b, left)), u))),
        # Sums of varying quantities are never multiplied out.
        ((u + left) * (u + right), Mul((Add((u, left)), Add((u, right))))),
        ((1 - u) ** 2, power(add(mul(-1, u), 1), 2)),
        # Powers of symbols meet.
        (a**2 * u / a, mul(a, u)),
        (call("sin", u + u), call("sin", 2 * u)),
        (2 * u * 3 * a, mul(6, a, u)),
    ],
)
def test_normal_forms(given: Expr, wanted: Expr) -> None:
    assert normal_form(given) == wanted


@pytest.mark.parametrize("product", [(a + b) * (a + b), (a + b) * (a - b), (1 + a) * (1 - a) * (2 + b / a)])
def test_products_of_invariant_sums(product: Expr) -> None:
    """Coefficients are multiplied out exactly: equal monomials add up."""
    env = {a: np.float64(0.7), b: np.float64(-1.9), u: np.float64(1.3), left: np.float64(0.4)}
    expr = product * u + product * left
    assert evaluate(normal_form(expr), env) == pytest.approx(evaluate(expr, env), rel=1e-13)


def test_invariants_stay_as_written() -> None:
    assert normal_form(a + 1 + a) == a + 1 + a
    assert invariant(call("exp", a * b))
    assert not invariant(a * Coordinate(0, 0, 0))


def multiplications(expr: Expr) -> int:
    return sum(len(node.args) - 1 for node in expr.walk() if isinstance(node, Mul) and node.args[0] != Num(-1))


def test_a_laplacian_costs_one_multiplication_per_weight() -> None:
    """Equal spacings: order 2 in 3-D needs one factor for the neighbours and one for the centre."""
    names = Names(3, fields={"u": 1}, symbols=frozenset({"D"}))
    for order, wanted in ((2, 2), (4, 3), (8, 5)):
        discretizer = Discretizer(3, order, {"u": ((0, 0, 0),)}, ("h_x", "h_x", "h_x"))
        expr = discretizer(parse_scalar("D*laplacian(u)", names), (0, 0, 0))
        (hoisted,), scalars = hoist_scalars([normal_form(expr)])
        assert multiplications(hoisted) == wanted
        assert len(scalars) == wanted


def test_conditions_that_hold_everywhere_become_numbers() -> None:
    expr = where(parse_scalar("where(t < 1 and x < 2, 1, 0)", Names(1)).condition, u, left)
    (hoisted,), scalars = hoist_scalars([normal_form(expr)])
    assert len(scalars) == 1
    index, x = hoisted.condition.left, Coordinate(0, 0, 0)
    assert index == Scalar(0)
    for t in (0.0, 2.0):
        env = {x: np.array([0.0, 3.0]), u: np.array([5.0, 5.0]), left: np.array([7.0, 7.0])}
        env[Scalar(0)] = np.float64(scalar_value(scalars[0], {"t": t}))
        assert evaluate(hoisted, env).tolist() == ([5.0, 7.0] if t < 1 else [7.0, 7.0])


@pytest.mark.parametrize("text", ["((2*a)**64)**64*u", "(1e300*a)**2*u", "u/(a - a)", "u*(a - a)**-2"])
def test_constants_that_overflow_are_refused(text: str) -> None:
    """F-35: what the parser cannot see is found here, as an error in words."""
    expr = parse_scalar(text, Names(1, fields={"u": 1}, symbols=frozenset("a")))
    with pytest.raises(FormulaError, match="not finite"):
        normal_form(Discretizer(1, 2, {"u": ((0,),)}, ("h_x",))(expr, (0,)))
