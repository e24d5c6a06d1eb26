"""Random discrete expressions and data for them."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np

from hpcsim.symbolic.expr import Access, Compare, Coordinate, Expr, Num, SiteIndex, Symbol, call, power, where

SYMBOLS = [Symbol(name) for name in ("a", "b", "dt", "h_x")]
EXACT = ("sqrt", "abs", "sign", "floor", "ceil", "min", "max")
INEXACT = ("exp", "sin", "cos", "tanh", "atan2", "erf", "log")


def random_expression(
    rng: random.Random,
    depth: int,
    ndim: int,
    *,
    registers: int = 2,
    exact: bool = True,
    index: bool = True,
    reach: int = 1,
) -> Expr:
    """An expression of accesses, symbols, numbers, coordinates, powers, functions and choices."""

    def leaf() -> Expr:
        kind = rng.randrange(10)
        if kind < 5:
            offset = tuple(rng.randint(-reach, reach) if rng.random() < 0.5 else 0 for _ in range(ndim))
            return Access(f"r{rng.randrange(registers)}", rng.randrange(2), offset)
        if kind < 7:
            return rng.choice(SYMBOLS)
        if kind < 8 and index:
            return Coordinate(rng.randrange(ndim), rng.choice((-1, 0, 0, 1)), rng.randrange(2))
        return Num(rng.choice([2, -1, 3, Fraction(1, 3), Fraction(-5, 2), 0.1, 1.75]))

    def grow(depth: int) -> Expr:
        if depth == 0:
            return leaf()
        a, b = grow(depth - 1), grow(depth - 1)
        kind = rng.randrange(12)
        if kind < 3:
            return a + b
        if kind < 4:
            return a - b
        if kind < 7:
            return a * b
        if kind < 8:
            return a / (2 + b**2)
        if kind < 9:
            return power(2 + call("abs", a), rng.choice([2, 3, 5, -1, -2, -3]))
        if kind < 10:
            condition = Compare(rng.choice(["<", "<=", ">", ">=", "!="]), a, b)
            if rng.random() < 0.4:
                condition = Compare(rng.choice(["and", "or"]), condition, Compare("<", leaf(), leaf()))
            return where(condition, a, b)
        return function(a, b)

    def function(a: Expr, b: Expr) -> Expr:
        name = rng.choice(EXACT if exact else EXACT + INEXACT)
        if name in ("min", "max", "atan2"):
            return call(name, a, b)
        if name in ("sqrt", "log"):
            return call(name, 1 + a**2)
        return call(name, call("tanh", a)) if name == "exp" else call(name, a)

    return grow(depth)


def random_environment(expr: Expr, seed: int, sites: int = 64) -> dict[Expr, object]:
    """Random arrays for the reads and numbers for the symbols of an expression."""
    rng = np.random.default_rng(seed)
    env: dict[Expr, object] = {}
    for node in expr.walk():
        if node in env:
            continue
        if isinstance(node, (Access, Coordinate, SiteIndex)):
            env[node] = rng.uniform(-2.0, 2.0, sites)
        elif isinstance(node, Symbol):
            env[node] = np.float64(rng.uniform(0.3, 1.7))
    return env
