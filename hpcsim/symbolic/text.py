"""Expressions as text for people: the way they would be written on paper."""

from __future__ import annotations

from fractions import Fraction

from hpcsim.symbolic.expr import (
    Access,
    Add,
    Call,
    Compare,
    Coordinate,
    Derivative,
    Expr,
    FieldValue,
    FluxDerivative,
    Mul,
    Noise,
    Num,
    Pow,
    Rate,
    Scalar,
    SiteIndex,
    Static,
    Symbol,
    Temp,
    Where,
)
from hpcsim.symbolic.operators import AXES


def to_text(expr: Expr) -> str:
    """An expression as one line of text.

    Examples
    --------
    >>> u = Access("u", 0, (-1, 0))
    >>> to_text(2 * u - Symbol("c"))
    '2*u[x-1] - c'
    """
    if isinstance(expr, Add):
        return _sum(expr)
    if isinstance(expr, Mul):
        return _product(expr)
    if isinstance(expr, Pow):
        return f"{_tight(expr.base)}**{_tight(expr.exponent)}"
    if isinstance(expr, Call):
        return f"{expr.function}({', '.join(map(to_text, expr.args))})"
    if isinstance(expr, Compare):
        return f"{to_text(expr.left)} {expr.operator} {to_text(expr.right)}"
    if isinstance(expr, Where):
        return f"where({to_text(expr.condition)}, {to_text(expr.a)}, {to_text(expr.b)})"
    if isinstance(expr, Derivative):
        return f"d({to_text(expr.operand)}, {AXES[expr.axis]}{', 2' if expr.order == 2 else ''})"
    if isinstance(expr, FluxDerivative):
        return f"d[flux {to_text(expr.operand)}]/d{AXES[expr.axis]}"
    return _leaf(expr)


def _leaf(expr: Expr) -> str:
    if isinstance(expr, Num):
        value = expr.value
        return str(value) if isinstance(value, (int, Fraction)) else f"{value:.12g}"
    if isinstance(expr, (Symbol, Static)):
        return str(expr.name)
    if isinstance(expr, FieldValue):
        return f"{expr.name}_{AXES[expr.component]}" if expr.component else str(expr.name)
    if isinstance(expr, Rate):
        return f"dt({expr.name})"
    if isinstance(expr, Noise):
        return f"noise({expr.stream})" + (f"[{expr.component}]" if expr.component else "")
    if isinstance(expr, Temp):
        return f"v{expr.index}"
    if isinstance(expr, Scalar):
        return f"s{expr.index}"
    if isinstance(expr, Coordinate):
        return AXES[expr.axis] + (f"[{expr.offset:+d}]" if expr.offset else "")
    if isinstance(expr, SiteIndex):
        return f"(i_{AXES[expr.axis]}{expr.offset:+d})" if expr.offset else f"i_{AXES[expr.axis]}"
    assert isinstance(expr, Access)
    shift = ",".join(f"{AXES[a]}{step:+d}" for a, step in enumerate(expr.offset) if step)
    component = f".{AXES[expr.component]}" if expr.component else ""
    return f"{expr.register}{component}[{shift}]" if shift else f"{expr.register}{component}"


def _sum(expr: Add) -> str:
    text = to_text(expr.args[0])
    for term in expr.args[1:]:
        part = to_text(term)
        text += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return text


def _product(expr: Mul) -> str:
    if expr.args[0] == Num(-1) and len(expr.args) > 1:
        return "-" + _product(Mul(expr.args[1:]))
    return "*".join(_factor(f) for f in expr.args)


def _factor(expr: Expr) -> str:
    text = to_text(expr)
    return f"({text})" if isinstance(expr, (Add, Compare)) else text


def _tight(expr: Expr) -> str:
    text = to_text(expr)
    simple = not expr.children or isinstance(expr, (Call, Where, Derivative))
    return text if simple and not text.startswith("-") and "/" not in text else f"({text})"
