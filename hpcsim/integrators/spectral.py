"""Exponential integration in the modes of the lattice: the linear part with constant coefficients is exact.

Sources: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, section 2 (the scheme ETD1); for the noise, which is an
Ornstein-Uhlenbeck process in every mode, Gillespie, Phys. Rev. E 54 (1996) 2084, eq. 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hpcsim.errors import FormulaError
from hpcsim.integrators.explicit import euler
from hpcsim.integrators.scheme import Scheme, no_limit
from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Stage, Sweep
from hpcsim.sweeps.transforms import Propagate
from hpcsim.symbolic.expr import ZERO, Access, Add, Expr, Symbol, add, transform
from hpcsim.symbolic.linearize import linearize
from hpcsim.symbolic.noise import reads_noise
from hpcsim.symbolic.simplify import invariant, normal_form
from hpcsim.symbolic.system import Equation


def exponential_modes(discrete: Discrete) -> Scheme:
    """Exact for linear equations with constant coefficients and noise; first order in what else there is.

    Raises
    ------
    FormulaError
        If an equation is of second order in time.
    """
    stages: list[Stage] = []
    propagations: list[Propagate] = []
    extra: dict[str, str] = {}
    for equation in discrete.system.equations:
        if equation.order == 2:
            raise FormulaError(f"exponential_modes needs dt() equations, but dtt({equation.field}) is of second order")
        parts = _split(discrete, equation)
        register = f"{equation.field}@rest"
        if parts.rest:
            extra[register] = equation.field
            location = discrete.location(equation)
            target = discrete.at(register, equation.component)
            stages.append(Stage(0.0, (Sweep(location, (Assignment(target, add(*parts.rest)),)),)))
        unknown = equation.field, equation.component
        weights = tuple((e.offset, e.coefficient) for e in linearize([add(*parts.linear)], [unknown]).entries)
        own = (register, equation.component) if parts.rest else None
        propagations.append(Propagate("step", unknown, weights, own, tuple(parts.noises)))
    return Scheme(
        name="exponential_modes",
        order=1,
        extra=extra,
        saved=frozenset(),
        stages=(*stages, *propagations),
        swaps=(),
        limit=euler.limit if extra else no_limit,
        bounding=lambda equation: replace(equation, rhs=add(*_split(discrete, equation).others)),
    )


class Parts(NamedTuple):
    """Terms of one equation.

    Attributes
    ----------
    linear : list of Expr
        Discrete, linear in the own component with constant coefficients.
    noises : list of (Access, Expr)
        Noise registers with their amplitudes.
    rest : list of Expr
        The other terms, discrete.
    others : list of Expr
        The same, continuous.
    """

    linear: list[Expr]
    noises: list[tuple[Access, Expr]]
    rest: list[Expr]
    others: list[Expr]


def _split(discrete: Discrete, equation: Equation) -> Parts:
    """Which terms of an equation are exact."""
    location, own = discrete.location(equation), (equation.field, equation.component)
    parts = Parts([], [], [], [])
    terms: Sequence[Expr] = equation.rhs.args if isinstance(equation.rhs, Add) else (equation.rhs,)
    for term in terms:
        value = normal_form(discrete.discretizer(term, location))
        noise = _white(value) if reads_noise(value) else None
        if noise is not None:
            parts.noises.append(noise)
        elif _constant(value, own):
            parts.linear.append(value)
        else:
            parts.rest.append(value)
            parts.others.append(term)
    return parts


def _constant(value: Expr, unknown: tuple[str, int]) -> bool:
    """Whether a term is linear in the unknown with the same coefficients everywhere and always."""
    reads = {node for node in value.walk() if isinstance(node, Access)}
    if not reads or any((node.register, node.component) != unknown for node in reads):
        return False
    form = linearize([value], [unknown])
    steady = form.constant and not any(n == Symbol("t") for e in form.entries for n in e.coefficient.walk())
    left = transform(value, lambda node: ZERO if isinstance(node, Access) else None)
    return steady and normal_form(left) == ZERO


def _white(value: Expr) -> tuple[Access, Expr] | None:
    """Noise register and amplitude of a term that is a constant times a noise at the site itself, else None."""
    reads = {node for node in value.walk() if isinstance(node, Access)}
    if len(reads) != 1:
        return None
    (noise,) = reads
    form = linearize([value], [(noise.register, noise.component)])
    (entry,) = form.entries or (None,)
    if entry is None or any(noise.offset) or not form.constant or not invariant(entry.coefficient):
        return None
    return noise, entry.coefficient
