"""Exponential Euler: linear decay is integrated exactly, the rest as in forward Euler.

For ``u_t = a u + N(u)`` the step is ``u(n+1) = exp(a dt) u(n) + dt phi1(a dt) N(u(n))``,
where ``phi1(z) = (exp(z) - 1)/z``
(Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 19 (2010), section 2.1).
"""

from __future__ import annotations

from dataclasses import replace

from hpcsim.errors import FormulaError
from hpcsim.integrators.explicit import euler
from hpcsim.integrators.scheme import DT, Scheme
from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Stage
from hpcsim.symbolic.expr import (
    ONE,
    ZERO,
    Add,
    Compare,
    Derivative,
    Expr,
    FieldValue,
    FluxDerivative,
    Mul,
    Noise,
    Num,
    Rate,
    add,
    call,
    mul,
    power,
    where,
)
from hpcsim.symbolic.system import Equation

_SMALL = 1e-2
# Powers of z and the factorials that divide them.
_SERIES = ((1, 2), (2, 6), (3, 24), (4, 120), (5, 720))


def exponential_euler(discrete: Discrete) -> Scheme:
    """First-order exponential integrator for dt equations; exact for pure linear decay.

    Raises
    ------
    FormulaError
        If an equation is of second order.
    """
    for field, order in discrete.system.orders.items():
        if order == 2:
            raise FormulaError(f"exponential_euler needs dt() equations, but dtt({field}) is of second order")

    def advance(equation: Equation, index: int) -> list[Assignment]:
        u = discrete.at(equation.field, equation.component)
        target = discrete.at(f"{equation.field}@1", equation.component)
        decay, rest = split_decay(equation)
        location = discrete.location(equation)
        a, n = discrete.discretizer(decay, location), discrete.discretizer(rest, location)
        z = DT * a
        return [Assignment(target, call("exp", z) * u + DT * phi1(z) * n)]

    fields = discrete.system.orders
    return Scheme(
        name="exponential_euler",
        order=1,
        extra={f"{name}@1": name for name in fields},
        saved=frozenset(),
        stages=(Stage(0.0, discrete.sweeps(advance)),),
        swaps=tuple((name, f"{name}@1") for name in fields),
        limit=euler.limit,
        bounding=without_decay,
    )


def phi1(z: Expr) -> Expr:
    """``(exp(z) - 1)/z``, by its series where the quotient would cancel."""
    if z == ZERO:
        return ONE
    series = add(ONE, *(mul(power(Num(factorial), -1), power(z, n)) for n, factorial in _SERIES))
    quotient = (call("exp", z) - 1) * power(z, -1)
    return where(Compare("<", call("abs", z), Num(_SMALL)), series, quotient)


def split_decay(equation: Equation) -> tuple[Expr, Expr]:
    """Write a right-hand side as ``a*u + rest``, ``a`` free of fields and noise; diffusion stays in the rest."""
    own = FieldValue(equation.field, equation.component)
    terms = equation.rhs.args if isinstance(equation.rhs, Add) else (equation.rhs,)
    rates: list[Expr] = []
    rest: list[Expr] = []
    for term in terms:
        factors = list(term.args) if isinstance(term, Mul) else [term]
        others = [f for f in factors if f != own]
        if len(others) == len(factors) - 1 and not any(_depends(f) for f in others):
            rates.append(mul(*others))
        else:
            rest.append(term)
    return add(*rates), add(*rest)


def _depends(expr: Expr) -> bool:
    return any(isinstance(n, (FieldValue, Rate, Derivative, FluxDerivative, Noise)) for n in expr.walk())


def without_decay(equation: Equation) -> Equation:
    """The equation without its linear decay; its spectrum bounds the step."""
    return replace(equation, rhs=split_decay(equation)[1])
