"""Schemes for second-order equations: two-level leapfrog and kick-drift-kick.

Leapfrog is the Stoermer-Verlet method on (u, u_prev); both schemes are symplectic for an undamped linear equation
(Hairer, Lubich, Wanner, "Geometric numerical integration illustrated by the Stoermer-Verlet method", Acta Numerica 12
(2003), sections 1 and 2).
"""

from __future__ import annotations

import math

from hpcsim.errors import FormulaError
from hpcsim.integrators.scheme import DT, Scheme, Spectrum, refuse_rate_stencils, renamed
from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Stage
from hpcsim.symbolic.differentiate import differentiate
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import ZERO, Access, Expr, mul, power, transform
from hpcsim.symbolic.noise import reads_noise
from hpcsim.symbolic.system import Equation


def previous(name: str) -> str:
    """Register of the earlier time level of a field."""
    return f"{name}@prev"


def leapfrog(discrete: Discrete) -> Scheme:
    """Two-level leapfrog for dtt equations, in place: the new level overwrites the one before the last.

    ``u(n+1) = (2 u(n) - (1 + b dt/2) u(n-1) + dt^2 a) / (1 - b dt/2)`` for ``u_tt = a + b u_t``. The damping is
    centred in time, so the step is of second order and the product of the amplification factors is
    ``(1 + b dt/2)/(1 - b dt/2)``.

    Raises
    ------
    FormulaError
        If an equation is of first order, or not linear in ``dt(u)``.
    """
    _require_second_order(discrete, "leapfrog")

    def advance(equation: Equation, index: int) -> list[Assignment]:
        u = discrete.at(equation.field, equation.component)
        before = discrete.at(previous(equation.field), equation.component)
        a, b = split_rate(discrete, equation)
        if b == ZERO:
            return [Assignment(before, 2 * u - before + DT**2 * a)]
        half = mul(0.5, DT, b)
        return [Assignment(before, power(1 - half, -1) * (2 * u - (1 + half) * before + DT**2 * a))]

    def begin(equation: Equation, index: int) -> list[Assignment]:
        u = discrete.at(equation.field, equation.component)
        rate = discrete.at(previous(equation.field), equation.component)
        names = {rate_register(e.field): previous(e.field) for e in discrete.system.equations}
        acceleration = _first_kick(renamed(discrete.rhs(equation), names))
        return [Assignment(rate, u - DT * rate + mul(0.5, DT**2) * acceleration)]

    fields = discrete.system.orders
    return Scheme(
        name="leapfrog",
        order=2,
        extra={previous(name): name for name in fields},
        saved=frozenset(previous(name) for name in fields),
        stages=(Stage(0.0, discrete.sweeps(advance)),),
        swaps=tuple((name, previous(name)) for name in fields),
        limit=oscillator_limit,
        start=(Stage(0.0, discrete.sweeps(begin)),),
        rates={name: previous(name) for name in fields},
    )


def _first_kick(expr: Expr) -> Expr:
    """The acceleration behind ``u(-1)`` such that the first half step has the noise of half a step.

    The first step itself adds the whole kick of its noise and ``u(-1)`` takes half the factor away:
    ``1 - (2 - sqrt(2))/2`` is the root of 1/2, so the variance of the rate at dt/2 is right.
    """

    def visit(node: Expr) -> Expr | None:
        return mul(2.0 - math.sqrt(2.0), node) if isinstance(node, Access) and reads_noise(node) else None

    return transform(expr, visit)


def kick_drift_kick(discrete: Discrete) -> Scheme:
    """Velocity Verlet on (u, u_t): half a kick, a drift, half a kick.

    Raises
    ------
    FormulaError
        If an equation is of first order, or not linear in ``dt(u)``.
    """
    _require_second_order(discrete, "kick_drift_kick")

    def kick(equation: Equation, first: bool) -> list[Assignment]:
        rate = discrete.at(rate_register(equation.field), equation.component)
        a, b = split_rate(discrete, equation)
        half = mul(0.5, DT)
        if first:
            return [Assignment(rate, (1 + half * b) * rate + half * a)]
        return [Assignment(rate, power(1 - half * b, -1) * (rate + half * a))]

    def drift(equation: Equation, index: int) -> list[Assignment]:
        u = discrete.at(equation.field, equation.component)
        return [Assignment(u, u + DT * discrete.at(rate_register(equation.field), equation.component))]

    opening = discrete.sweeps(lambda equation, _: kick(equation, True)) + discrete.sweeps(drift)
    closing = discrete.sweeps(lambda equation, _: kick(equation, False))
    fields = discrete.system.orders
    return Scheme(
        name="kick_drift_kick",
        order=2,
        extra={rate_register(name): name for name in fields},
        saved=frozenset(rate_register(name) for name in fields),
        stages=(Stage(0.0, opening), Stage(1.0, closing)),
        swaps=(),
        limit=oscillator_limit,
        rates={name: rate_register(name) for name in fields},
    )


def oscillator_limit(spectrum: Spectrum) -> float:
    """Largest dt for which every mode of u_tt = -k u stays bounded: 2 / sqrt(max k)."""
    stiffest = max((-float(value) for value in spectrum.second_order.real), default=0.0)
    return 2.0 / math.sqrt(stiffest) if stiffest > 0.0 else math.inf


def split_rate(discrete: Discrete, equation: Equation) -> tuple[Expr, Expr]:
    """Write a right-hand side as ``a + b * dt(u)``.

    Raises
    ------
    FormulaError
        If it is not linear in its own rate, reads another one, or multiplies its rate by noise.
    """
    rhs = discrete.rhs(equation)
    rate = discrete.at(rate_register(equation.field), equation.component)
    slope = differentiate(rhs, rate)
    if reads_noise(slope):
        name = equation.field
        raise FormulaError(f"dt({name}) is multiplied by noise(), which this scheme cannot divide by; use euler or rk4")
    rest = transform(rhs, lambda node: ZERO if node == rate else None)
    for expr in (slope, rest):
        if any(isinstance(n, Access) and n.register.endswith(rate_register("")) for n in expr.walk()):
            name = equation.field
            raise FormulaError(f"dtt({name}) must be linear in its own dt({name}); use integrator rk4")
    return rest, slope


def _require_second_order(discrete: Discrete, name: str) -> None:
    first = [field for field, order in discrete.system.orders.items() if order == 1]
    if first:
        raise FormulaError(f"{name} needs dtt() equations, but dt({first[0]}) is of first order; use rk4 or ssprk3")
    refuse_rate_stencils(discrete, name)
