"""Exponential integration in the modes of the lattice: the linear part with constant coefficients is exact.

Sources: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, section 2 (the scheme ETD1); for the noise, which is an
Ornstein-Uhlenbeck process in every mode, Gillespie, Phys. Rev. E 54 (1996) 2084, eq. 3.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hpcsim.errors import FormulaError
from hpcsim.integrators.explicit import euler
from hpcsim.integrators.scheme import Scheme, no_limit
from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Stage
from hpcsim.sweeps.transforms import Propagate
from hpcsim.symbolic.expr import ZERO, Access, Add, Expr, FieldValue, Symbol, add, mul, transform
from hpcsim.symbolic.linearize import linearize
from hpcsim.symbolic.noise import reads_noise
from hpcsim.symbolic.simplify import normal_form
from hpcsim.symbolic.system import Equation

Weights = tuple[tuple[tuple[int, ...], Expr], ...]
"""Offsets and constant coefficients."""


def exponential_modes(discrete: Discrete) -> Scheme:
    """Exact for linear equations with constant coefficients and noise; first order in what else there is.

    Raises
    ------
    FormulaError
        If an equation is of second order in time.
    """
    equations = discrete.system.equations
    for equation in equations:
        if equation.order == 2:
            raise FormulaError(f"exponential_modes needs dt() equations, but dtt({equation.field}) is of second order")
    parts = {equation: _split(discrete, equation) for equation in equations}
    extra = {_register(equation): equation.field for equation in equations if parts[equation].rest != ZERO}

    def rest(equation: Equation, index: int) -> list[Assignment]:
        value = parts[equation].rest
        return [Assignment(discrete.at(_register(equation), equation.component), value)] if value != ZERO else []

    def step(equation: Equation) -> Propagate:
        own = parts[equation]
        register = (_register(equation), equation.component) if own.rest != ZERO else None
        return Propagate("step", (equation.field, equation.component), own.weights, register, own.noises)

    sweeps = tuple(sweep for sweep in discrete.sweeps(rest) if sweep.assignments)
    return Scheme(
        name="exponential_modes",
        order=1,
        extra=extra,
        saved=frozenset(),
        stages=(*([Stage(0.0, sweeps)] if sweeps else []), *map(step, equations)),
        swaps=(),
        limit=euler.limit if extra else no_limit,
        bounding=lambda equation: replace(equation, rhs=parts[equation].bounding),
    )


class Parts(NamedTuple):
    """A right-hand side, divided.

    Attributes
    ----------
    weights : tuple of (tuple of int, Expr)
        Offsets and coefficients of the own component, the same everywhere and always.
    noises : tuple of (Access, Expr)
        Noise at the site itself, with its constant factor.
    rest : Expr
        All else, discrete.
    bounding : Expr
        The continuous terms that the rest came from.
    """

    weights: Weights
    noises: tuple[tuple[Access, Expr], ...]
    rest: Expr
    bounding: Expr


def _register(equation: Equation) -> str:
    """Where the rest of an equation is kept during a step."""
    return f"{equation.field}@rest"


def _split(discrete: Discrete, equation: Equation) -> Parts:
    """Divide a right-hand side term by term into what is exact and the rest."""
    location, own = discrete.location(equation), FieldValue(equation.field, equation.component)
    weights: dict[tuple[int, ...], Expr] = {}
    noises: list[tuple[Access, Expr]] = []
    rest: list[Expr] = []
    bounding: list[Expr] = []
    for term in equation.rhs.args if isinstance(equation.rhs, Add) else (equation.rhs,):
        linear, value = _divided(discrete.discretizer(term, location), own.name, own.component)
        for offset, weight in linear:
            weights[offset] = normal_form(add(weights.get(offset, ZERO), weight))
        for noise in dict.fromkeys(node for node in value.walk() if isinstance(node, Access) and reads_noise(node)):
            entries, others = _divided(value, noise.register, noise.component)
            if len(entries) == 1 and not any(entries[0][0]):
                noises.append((noise, entries[0][1]))
                value = others
        if value != ZERO:
            rest.append(value)
            bounding.append(transform(term, lambda node: ZERO if node == own else None) if linear else term)
    return Parts(tuple(weights.items()), tuple(noises), add(*rest), add(*bounding))


def _divided(value: Expr, register: str, component: int) -> tuple[Weights, Expr]:
    """A discrete term as a sum over reads of a register with constant coefficients, and what is left over.

    There is no such sum if the rest would still read the register.
    """
    value = normal_form(value)
    try:
        form = linearize([value], [(register, component)])
    except FormulaError:
        # A function without a derivative.
        return (), value
    timed = any(node == Symbol("t") for entry in form.entries for node in entry.coefficient.walk())
    if form.entries and form.constant and not timed:
        reads = [mul(e.coefficient, Access(register, component, e.offset)) for e in form.entries]
        # The derivative of a step function is zero: that the term is linear shows only in what cancels.
        others = normal_form(add(value, mul(-1, add(*reads))))
        left = (node for node in others.walk() if isinstance(node, Access))
        if not any((node.register, node.component) == (register, component) for node in left):
            return tuple((e.offset, e.coefficient) for e in form.entries), others
    return (), value
