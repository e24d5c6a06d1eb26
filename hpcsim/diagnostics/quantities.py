"""Quantities of the time series: an expression at every site, reduced to one number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcsim.errors import ConfigError, Problem
from hpcsim.integrators.scheme import Scheme
from hpcsim.sweeps.discrete import Discrete
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import Expr
from hpcsim.symbolic.names import Names, field_value
from hpcsim.symbolic.operators import Value
from hpcsim.symbolic.parse import parse_scalar
from hpcsim.symbolic.system import System

if TYPE_CHECKING:
    from hpcsim.config.schema import Config
    from hpcsim.models.base import Model

REDUCTIONS = ("integral", "max", "min", "norm2", "mean")
_TAKEN = ("step", "time")


@dataclass(frozen=True)
class Quantity:
    """One named number.

    Attributes
    ----------
    name : str
        Column of the time series.
    reduction : {"integral", "max", "min", "norm2", "mean"}
        How the values at the sites become one number.
    expr : Expr
        What is reduced.
    """

    name: str
    reduction: str
    expr: Expr

    def integrand(self, discrete: Discrete) -> Expr:
        """The discrete expression whose values are reduced, at the location where its first field lives."""
        value = discrete.at_home(self.expr)
        return value**2 if self.reduction == "norm2" else value

    def finish(self, total: float, cell_volume: float, volume: float) -> float:
        """The number from the reduced values (their exact sum, or their extreme)."""
        if self.reduction == "integral":
            return total * cell_volume
        if self.reduction == "mean":
            return total * cell_volume / volume
        if self.reduction == "norm2":
            return math.sqrt(total * cell_volume)
        return total


def parse_quantities(config: Config, model: Model, system: System, scheme: Scheme) -> tuple[Quantity, ...]:
    """Quantities of a run: the model's own, and those of ``[diagnostics.quantities]``.

    A quantity of the model that needs a time level which the scheme does not keep is left out; one that the
    configuration asks for is an error.

    Raises
    ------
    ConfigError
        With every fault of the given formulas.
    """
    names = quantity_names(system, scheme)
    found = []
    for name, entry in model.quantities.items():
        reduction, text = next(iter(entry.items()))
        try:
            found.append(Quantity(name, reduction, parse_scalar(text, names)))
        except ConfigError:
            continue
    problems: list[Problem] = []
    given: Mapping[str, Mapping[str, str]] = config.to_mapping().get("diagnostics", {}).get("quantities", {})
    for name, wanted in given.items():
        reduction, text = next((r, wanted[r]) for r in REDUCTIONS if wanted.get(r) is not None)
        if name in _TAKEN:
            problems.append(Problem(f"diagnostics.quantities.{name}", "every series has this column; rename it"))
            continue
        try:
            expr = parse_scalar(text, names, f"diagnostics.quantities.{name}")
        except ConfigError as error:
            problems += error.problems
            continue
        found = [quantity for quantity in found if quantity.name != name]
        found.append(Quantity(name, reduction, expr))
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def quantity_names(system: System, scheme: Scheme) -> Names:
    """Names a quantity may use: those of the model, ``dt``, and earlier levels as ``u_prev``."""
    levels: dict[str, Value] = {}
    rates = bool(scheme.extra)
    for name, order in system.orders.items():
        components = system.components[name]
        if f"{name}@prev" in scheme.extra:
            levels[f"{name}_prev"] = field_value(f"{name}@prev", components)
        rates = rates and (order != 2 or rate_register(name) in scheme.extra)
    names = system.names()
    return system.names(
        symbols=names.symbols | {"dt"}, meanings={**names.meanings, **levels}, rates=rates and bool(scheme.rates)
    )
