"""Normal form of a discrete expression: what is the same at every site is pulled out of the loop.

A right-hand side becomes ``sum of coefficient * (sum of atoms)``, where coefficients hold numbers and symbols only and
equal coefficients share one multiplication. Coefficients that are not plain numbers become scalar arguments of the
kernel, evaluated once per call in double precision. Sums of varying quantities are never multiplied out, so a formula
keeps the conditioning its author gave it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from hpcsim.errors import FormulaError
from hpcsim.symbolic.expr import (
    Access,
    Add,
    Coordinate,
    Expr,
    Mul,
    Num,
    Number,
    Pow,
    Scalar,
    SiteIndex,
    Temp,
    add,
    mul,
    power,
)

Monomial = tuple[tuple[Expr, int], ...]
Coefficient = dict[Monomial, Number]


def invariant(expr: Expr) -> bool:
    """Whether an expression has the same value at every site."""
    return not any(isinstance(node, (Access, Coordinate, SiteIndex, Temp)) for node in expr.walk())


def normal_form(expr: Expr) -> Expr:
    """Rewrite an expression as grouped sums of coefficient times atom.

    Parameters
    ----------
    expr : Expr
        A discrete expression (accesses, symbols, numbers, functions).

    Returns
    -------
    Expr
        An expression of equal value, up to rounding.

    Examples
    --------
    >>> from hpcsim.symbolic.expr import Symbol
    >>> u = Access("u", 0, (0,))
    >>> normal_form(Symbol("a") * (u + 2 * u))
    Mul((Num(3), Symbol('a'), Access('u', 0, (0,))))
    """
    if invariant(expr):
        return expr
    collected: dict[Expr, Coefficient] = {}
    constant: Coefficient = {}
    for coefficient, atom in _terms(expr):
        into = constant if atom is None else collected.setdefault(atom, {})
        for monomial, number in coefficient.items():
            into[monomial] = into.get(monomial, 0) + number
    return _assemble(collected, constant)


def _assemble(collected: dict[Expr, Coefficient], constant: Coefficient) -> Expr:
    groups: dict[tuple[tuple[Monomial, Number], ...], list[Expr]] = {}
    for atom, coefficient in collected.items():
        kept = {m: n for m, n in coefficient.items() if n != 0}
        if kept:
            groups.setdefault(tuple(sorted(kept.items(), key=_monomial_order)), []).append(atom)
    terms = [mul(_coefficient_expr(dict(key)), add(*atoms)) for key, atoms in groups.items()]
    return add(*_factored(terms), _coefficient_expr(constant))


def _factored(terms: list[Expr]) -> list[Expr]:
    """Join ``k*u`` and ``c*f*u`` to ``(k + c*f)*u``: one multiplication less per site."""
    plain = {t.args[-1]: i for i, t in enumerate(terms) if isinstance(t, Mul) and _is_scaled_access(t)}
    joined = list(terms)
    for i, term in enumerate(terms):
        if not isinstance(term, Mul) or i in plain.values():
            continue
        access = next((f for f in term.args if f in plain), None)
        if access is None:
            continue
        others = list(term.args)
        others.remove(access)
        home = joined[plain[access]]
        inner = home.args[0] if isinstance(home.args[0], Add) else mul(*home.args[:-1])
        joined[plain[access]] = Mul((add(inner, mul(*others)), access))
        joined[i] = Num(0)
    return joined


def _is_scaled_access(term: Mul) -> bool:
    return isinstance(term.args[-1], Access) and all(invariant(f) for f in term.args[:-1])


def _monomial_order(item: tuple[Monomial, Number]) -> str:
    return repr(item[0])


def _terms(expr: Expr) -> Iterable[tuple[Coefficient, Expr | None]]:
    """Linear terms of an expression: coefficient and varying atom (None for a term without one)."""
    if invariant(expr):
        yield _as_coefficient(expr), None
    elif isinstance(expr, Add):
        for term in expr.args:
            yield from _terms(term)
    elif isinstance(expr, Mul):
        yield from _product_terms(expr)
    else:
        yield {(): 1}, _rebuilt(expr)


def _product_terms(expr: Mul) -> Iterable[tuple[Coefficient, Expr | None]]:
    steady = mul(*(f for f in expr.args if invariant(f)))
    varying = [f for f in expr.args if not invariant(f)]
    outer = _as_coefficient(steady)
    if len(varying) == 1 and isinstance(varying[0], Add):
        for inner, atom in _terms(varying[0]):
            yield _multiply(outer, inner), atom
        return
    # A product of several varying factors: numbers and symbols inside them come out, sums inside them stay.
    factors: list[Expr] = []
    for factor in varying:
        simple = _rebuilt(factor)
        for part in simple.args if isinstance(simple, Mul) else (simple,):
            if invariant(part):
                outer = _multiply(outer, _as_coefficient(part))
            else:
                factors.append(part)
    yield outer, mul(*factors)


def _rebuilt(expr: Expr) -> Expr:
    if isinstance(expr, (Add, Mul)):
        return normal_form(expr)
    if not expr.children:
        return expr
    return expr.rebuild(tuple(normal_form(child) for child in expr.children))


def _as_coefficient(expr: Expr) -> Coefficient:
    if isinstance(expr, Add):
        total: Coefficient = {}
        for term in expr.args:
            for monomial, number in _as_coefficient(term).items():
                total[monomial] = total.get(monomial, 0) + number
        return total
    if isinstance(expr, Mul):
        product: Coefficient = {(): 1}
        for factor in expr.args:
            product = _multiply(product, _as_coefficient(factor))
        return product
    if isinstance(expr, Num):
        return {(): expr.value}
    if isinstance(expr, Pow) and isinstance(expr.exponent, Num) and isinstance(expr.exponent.value, int):
        base = _as_coefficient(expr.base)
        if len(base) == 1:
            return _monomial_power(base, expr.exponent.value)
    return {((expr, 1),): 1}


def _monomial_power(base: Coefficient, exponent: int) -> Coefficient:
    ((monomial, number),) = base.items()
    exact = Fraction(number) if isinstance(number, int) else number
    try:
        raised: Number = exact**exponent
    except ArithmeticError:
        raise FormulaError("a constant in the formula is not finite") from None
    return {tuple((factor, n * exponent) for factor, n in monomial): raised}


def _multiply(left: Coefficient, right: Coefficient) -> Coefficient:
    product: Coefficient = {}
    for m1, n1 in left.items():
        for m2, n2 in right.items():
            powers = dict(m1)
            for factor, exponent in m2:
                powers[factor] = powers.get(factor, 0) + exponent
            monomial = tuple(sorted(((f, e) for f, e in powers.items() if e), key=lambda fe: repr(fe[0])))
            product[monomial] = product.get(monomial, 0) + n1 * n2
    return product


def _coefficient_expr(coefficient: Coefficient) -> Expr:
    terms = []
    for monomial, number in coefficient.items():
        if not _finite(number):
            raise FormulaError("a constant in the formula is not finite")
        value = float(number) if isinstance(number, Fraction) and number.denominator != 1 else number
        whole = int(value) if isinstance(value, Fraction) else value
        terms.append(mul(whole, *(power(factor, exponent) for factor, exponent in monomial)))
    return add(*terms)


def _finite(number: Number) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


def hoist_scalars(exprs: Iterable[Expr], scalars: list[Expr] | None = None) -> tuple[list[Expr], list[Expr]]:
    """Replace the largest invariant sub-expressions that hold symbols by scalar arguments.

    Parameters
    ----------
    exprs : iterable of Expr
        Expressions in normal form.
    scalars : list of Expr, optional
        Scalars found before, to be extended.

    Returns
    -------
    exprs : list of Expr
        The expressions over ``Scalar(i)``.
    scalars : list of Expr
        What each scalar argument stands for.
    """
    found = [] if scalars is None else scalars

    def argument(expr: Expr) -> Expr:
        if expr not in found:
            found.append(expr)
        return Scalar(found.index(expr))

    def visit(expr: Expr) -> Expr:
        if isinstance(expr, Num) or (not expr.children and not invariant(expr)) or isinstance(expr, Scalar):
            return expr
        if invariant(expr):
            return argument(expr)
        if isinstance(expr, (Add, Mul)):
            steady = [a for a in expr.args if invariant(a)]
            if any(not isinstance(a, Num) for a in steady) and len(steady) > 1:
                # The invariant part of a product or sum is one argument, placed where its first factor stood.
                joined = argument(mul(*steady) if isinstance(expr, Mul) else add(*steady))
                rest = [visit(a) for a in expr.args if not invariant(a)]
                return (Mul if isinstance(expr, Mul) else Add)((joined, *rest))
            return type(expr)(tuple(visit(a) for a in expr.args))
        return expr.rebuild(tuple(visit(child) for child in expr.children))

    return [visit(expr) for expr in exprs], found
