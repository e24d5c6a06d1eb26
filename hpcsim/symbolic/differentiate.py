"""Derivatives of discrete expressions with respect to a read or a symbol (for Jacobians and stability)."""

from __future__ import annotations

from hpcsim.errors import FormulaError
from hpcsim.symbolic.expr import ONE, ZERO, Add, Call, Compare, Expr, Mul, Num, Pow, Where, add, call, mul, power, where

_TWO_OVER_SQRT_PI = 1.1283791670955126


def differentiate(expr: Expr, variable: Expr) -> Expr:
    """Partial derivative of an expression.

    Parameters
    ----------
    expr : Expr
        A discrete expression.
    variable : Expr
        A leaf: an ``Access``, ``Symbol``, ...

    Raises
    ------
    FormulaError
        If a function without a derivative (``floor``) depends on the variable.

    Examples
    --------
    >>> from hpcsim.symbolic.expr import Symbol
    >>> a = Symbol("a")
    >>> differentiate(a**3, a)
    Mul((Num(3), Pow(Symbol('a'), Num(2))))
    """
    if expr == variable:
        return ONE
    if isinstance(expr, Add):
        return add(*(differentiate(term, variable) for term in expr.args))
    if isinstance(expr, Mul):
        return _product(expr, variable)
    if isinstance(expr, Pow):
        return _power(expr, variable)
    if isinstance(expr, Call):
        return _call(expr, variable)
    if isinstance(expr, Where):
        a, b = differentiate(expr.a, variable), differentiate(expr.b, variable)
        return ZERO if a == ZERO == b else where(expr.condition, a, b)
    return ZERO


def _product(expr: Mul, variable: Expr) -> Expr:
    terms = []
    for i, factor in enumerate(expr.args):
        slope = differentiate(factor, variable)
        if slope != ZERO:
            terms.append(mul(*expr.args[:i], slope, *expr.args[i + 1 :]))
    return add(*terms)


def _power(expr: Pow, variable: Expr) -> Expr:
    base, exponent = expr.base, expr.exponent
    slope, rise = differentiate(base, variable), differentiate(exponent, variable)
    terms: list[Expr] = []
    if slope != ZERO:
        terms.append(mul(exponent, power(base, add(exponent, -1)), slope))
    if rise != ZERO:
        terms.append(mul(expr, call("log", base), rise))
    return add(*terms)


def _call(expr: Call, variable: Expr) -> Expr:
    slopes = [differentiate(argument, variable) for argument in expr.args]
    if all(slope == ZERO for slope in slopes):
        return ZERO
    partials = _partials(expr)
    return add(*(mul(partial, slope) for partial, slope in zip(partials, slopes, strict=True)))


def _partials(expr: Call) -> list[Expr]:
    name, x = expr.function, expr.args[0]
    if name in ("min", "max", "atan2"):
        y = expr.args[1]
        if name == "atan2":
            norm = power(x**2 + y**2, -1)
            return [mul(y, norm), mul(-1, x, norm)]
        first = Compare("<=" if name == "min" else ">=", x, y)
        return [Where(first, ONE, ZERO), Where(first, ZERO, ONE)]
    rules = {
        "exp": lambda: expr,
        "log": lambda: power(x, -1),
        "log10": lambda: mul(0.4342944819032518, power(x, -1)),
        "sqrt": lambda: mul(0.5, power(expr, -1)),
        "sin": lambda: call("cos", x),
        "cos": lambda: mul(-1, call("sin", x)),
        "tan": lambda: 1 + expr**2,
        "asin": lambda: power(call("sqrt", 1 - x**2), -1),
        "acos": lambda: mul(-1, power(call("sqrt", 1 - x**2), -1)),
        "atan": lambda: power(1 + x**2, -1),
        "sinh": lambda: call("cosh", x),
        "cosh": lambda: call("sinh", x),
        "tanh": lambda: 1 - expr**2,
        "erf": lambda: mul(_TWO_OVER_SQRT_PI, call("exp", mul(-1, x**2))),
        "abs": lambda: call("sign", x),
        "sign": lambda: Num(0),
    }
    if name not in rules:
        raise FormulaError(f"{name}() has no derivative, so the step size limit cannot be derived; give run.dt")
    return [rules[name]()]
