"""Absorbing layers as damping terms of the equations."""

from __future__ import annotations

from collections.abc import Mapping

from hpcsim.boundary.conditions import Conditions
from hpcsim.fields.spec import FieldSpec
from hpcsim.symbolic.expr import ZERO, Expr, FieldValue, Rate, Static, add, mul
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse_scalar
from hpcsim.symbolic.system import System


def with_damping(system: System, specs: Mapping[str, FieldSpec], conditions: Conditions) -> System:
    """Add ``-sigma*dt(u)`` to second-order and ``-sigma*(u - reference)`` to first-order equations.

    Parameters
    ----------
    system : System
        The equations.
    specs : mapping of str to FieldSpec
        The fields.
    conditions : Conditions
        Boundary conditions; those with an absorbing layer give its rate sigma as a formula of space.

    Returns
    -------
    System
        The same system if there is no absorbing layer.
    """
    terms: dict[tuple[str, int], Expr] = {}
    statics: dict[str, Expr] = {}
    names = Names(system.ndim, symbols=frozenset(system.symbols), time=False)
    for name, order in system.orders.items():
        for component in range(specs[name].components):
            # Walls that relax to the same reference share one table of rates.
            rates: dict[Expr, list[Expr]] = {}
            for layer in conditions.damping(name, component):
                rate = parse_scalar(layer.rate, names, f"boundary.{name}")
                rates.setdefault(layer.reference if order == 1 else ZERO, []).append(rate)
            parts = []
            for number, (reference, layers) in enumerate(rates.items()):
                key = f"sponge_{name}_{component}_{number}"
                statics[key] = add(*layers)
                own = Rate(name, component) if order == 2 else FieldValue(name, component) - reference
                parts.append(mul(-1, Static(key), own))
            if parts:
                terms[name, component] = add(*parts)
    return system.with_terms(terms, statics) if terms else system
