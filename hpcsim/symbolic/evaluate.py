"""Values of an expression: with NumPy arrays, or with plain floats for what is the same at every site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpcsim.symbolic.expr import Add, Call, Compare, Expr, Mul, Num, Pow, Where
from hpcsim.symbolic.functions import FUNCTIONS, numpy_function

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "and": lambda a, b: bool(a and b),
    "or": lambda a, b: bool(a or b),
}


def integer_power(base: Any, exponent: int, one: Any = 1.0) -> Any:
    """Power by multiplications from left to right, as the compiled kernels do it."""
    result = base
    for _ in range(abs(exponent) - 1):
        result = result * base
    return one / result if exponent < 0 else result


class Evaluator:
    """Walks an expression with NumPy.

    Parameters
    ----------
    leaf : callable
        Gives the value of every node without children that is not a number (and of ``Access``).
    dtype : str
        Type in which numbers enter, so that float32 stays float32.
    """

    def __init__(self, leaf: Callable[[Expr], Any], dtype: str = "float64") -> None:
        import numpy

        self._leaf = leaf
        self._type = numpy.dtype(dtype).type
        self._where = numpy.where
        # A condition that is the same everywhere comes in as a number, so these take any type as true or false.
        logical: dict[str, Callable[[Any, Any], Any]] = {"and": numpy.logical_and, "or": numpy.logical_or}
        self._compare = {**_COMPARE, **logical}

    def __call__(self, expr: Expr) -> Any:
        """Value of the expression, broadcast over the shapes of its leaves."""
        if isinstance(expr, Num):
            return self._type(float(expr.value))
        if isinstance(expr, Add):
            return self._sum(expr)
        if isinstance(expr, Mul):
            return self._product(expr)
        if isinstance(expr, Pow):
            return self._power(expr)
        if isinstance(expr, Call):
            return numpy_function(expr.function)(*(self(a) for a in expr.args))
        if isinstance(expr, Compare):
            return self._compare[expr.operator](self(expr.left), self(expr.right))
        if isinstance(expr, Where):
            return self._where(self(expr.condition), self(expr.a), self(expr.b))
        return self._leaf(expr)

    def _sum(self, expr: Add) -> Any:
        total = self(expr.args[0])
        for term in expr.args[1:]:
            total = total + self(term)
        return total

    def _product(self, expr: Mul) -> Any:
        above, below = split_quotient(expr)
        value = self(above[0]) if above else self._type(1.0)
        for factor in above[1:]:
            value = value * self(factor)
        for factor in below:
            value = value / self(factor)
        return value

    def _power(self, expr: Pow) -> Any:
        base = self(expr.base)
        if isinstance(expr.exponent, Num) and isinstance(expr.exponent.value, int):
            return integer_power(base, expr.exponent.value, self._type(1.0))
        return base ** self(expr.exponent)


def split_quotient(expr: Mul) -> tuple[list[Expr], list[Expr]]:
    """Factors of a product above and below the fraction line (integer negative powers are divisors)."""
    above: list[Expr] = []
    below: list[Expr] = []
    for factor in expr.args:
        exponent = factor.exponent.value if isinstance(factor, Pow) and isinstance(factor.exponent, Num) else 0
        if isinstance(exponent, int) and exponent < 0:
            from hpcsim.symbolic.expr import power

            below.append(power(factor.base, -exponent))
        else:
            above.append(factor)
    return above, below


def evaluate(expr: Expr, environment: dict[Expr, Any], dtype: str = "float64") -> Any:
    """Value of an expression from the values of its leaves.

    Parameters
    ----------
    expr : Expr
        The expression.
    environment : dict
        Leaf node to array or number; arrays must broadcast against each other.
    dtype : str
        Type in which numbers enter.

    Examples
    --------
    >>> from hpcsim.symbolic.expr import Symbol
    >>> float(evaluate(2 * Symbol("a") ** 2, {Symbol("a"): 3.0}))
    18.0
    """
    return Evaluator(environment.__getitem__, dtype)(expr)


def scalar_value(expr: Expr, values: dict[str, float]) -> float:
    """Value of an expression of symbols alone, in double precision with the standard library.

    Raises
    ------
    KeyError
        If a symbol has no value.
    """
    if isinstance(expr, Num):
        return float(expr.value)
    if isinstance(expr, Add):
        total = scalar_value(expr.args[0], values)
        for term in expr.args[1:]:
            total += scalar_value(term, values)
        return total
    if isinstance(expr, Mul):
        product = 1.0
        for factor in expr.args:
            product *= scalar_value(factor, values)
        return product
    if isinstance(expr, Pow):
        base = scalar_value(expr.base, values)
        if isinstance(expr.exponent, Num) and isinstance(expr.exponent.value, int):
            return float(integer_power(base, expr.exponent.value))
        return float(base ** scalar_value(expr.exponent, values))
    if isinstance(expr, Call):
        return float(FUNCTIONS[expr.function].scalar(*(scalar_value(a, values) for a in expr.args)))
    if isinstance(expr, Compare):
        return _COMPARE[expr.operator](scalar_value(expr.left, values), scalar_value(expr.right, values))
    if isinstance(expr, Where):
        return scalar_value(expr.a if scalar_value(expr.condition, values) else expr.b, values)
    return values[expr.name]
