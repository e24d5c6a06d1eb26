"""Whether an expression is even or odd in a variable, as far as its form shows it."""

from __future__ import annotations

import math

from hpcsim.symbolic.expr import Add, Call, Expr, Mul, Num, Pow

EVEN, ODD, NEITHER = 1, -1, 0
_ODD_FUNCTIONS = frozenset(("sin", "tan", "asin", "atan", "sinh", "tanh", "erf", "sign"))
_EVEN_FUNCTIONS = frozenset(("cos", "cosh", "abs"))


def parity(expr: Expr, variable: Expr) -> int:
    """`EVEN`, `ODD`, or `NEITHER` where that cannot be told.

    Parameters
    ----------
    expr : Expr
        The expression.
    variable : Expr
        The leaf that changes its sign; all others are held.

    Examples
    --------
    >>> from hpcsim.symbolic.expr import Symbol, call
    >>> x, y = Symbol("x"), Symbol("y")
    >>> parity(x * y / (x**2 + y**2), x), parity(call("exp", x**2) + 1, x), parity(x + 1, x)
    (-1, 1, 0)
    """
    if expr == variable:
        return ODD
    found = [parity(child, variable) for child in expr.children]
    if isinstance(expr, Mul):
        return math.prod(found)
    if all(value == EVEN for value in found):
        return EVEN
    if isinstance(expr, Add):
        return ODD if all(value == ODD for value in found) else NEITHER
    if isinstance(expr, Pow) and isinstance(expr.exponent, Num) and isinstance(expr.exponent.value, int):
        return found[0] ** abs(expr.exponent.value)
    if isinstance(expr, Call) and found == [ODD]:
        return ODD if expr.function in _ODD_FUNCTIONS else EVEN if expr.function in _EVEN_FUNCTIONS else NEITHER
    return NEITHER
