"""Wall values: formulas of space and time, evaluated on the sites of a wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import FormulaError
from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.symbolic.evaluate import Evaluator
from hpcsim.symbolic.expr import Coordinate, Expr, Num, Symbol
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.operators import Value, Vector
from hpcsim.symbolic.parse import parse, parse_scalar

Coordinates = tuple[NDArray[np.float64], ...]
Parameters = Mapping[str, Any]
"""Parameter name to number, formula text, expression, or a list of these (a vector)."""


def wall_names(parameters: Parameters, ndim: int) -> Names:
    """The names a wall value may use: coordinates, ``t`` and the parameters of the model.

    A parameter that is a formula is put in where its name occurs. Parameters that are no formulas of space, time and
    other parameters (some models let them depend on fields) have no value on a wall and are left out.
    """
    numbers = frozenset(name for name, value in parameters.items() if is_number(value))
    meanings: dict[str, Value] = {}
    waiting = [name for name in parameters if name not in numbers]
    # A parameter may use others in any order: go round until nothing more can be read.
    while waiting:
        names = Names(ndim, symbols=numbers, meanings=dict(meanings))
        for name in waiting:
            try:
                meanings[name] = _meaning(parameters[name], names)
            except FormulaError:
                continue
        if not any(name in meanings for name in waiting):
            break
        waiting = [name for name in waiting if name not in meanings]
    return Names(ndim, symbols=numbers, meanings=meanings)


def is_number(value: object) -> bool:
    """Whether a configuration value is a plain number (truth values are not)."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _meaning(value: Any, names: Names) -> Value:
    if isinstance(value, (Expr, Vector)):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Vector(Num(float(part)) if is_number(part) else parse_scalar(part, names) for part in value)
    return parse(value, names)


@dataclass(frozen=True)
class WallValue:
    """One wall value with the numbers it needs.

    Parameters
    ----------
    expr : Expr
        Formula of the coordinates, ``t`` and parameters.
    parameters : mapping
        Values of the parameters that are numbers.

    Examples
    --------
    >>> from hpcsim.symbolic.parse import parse_scalar
    >>> value = WallValue(parse_scalar("a*t", wall_names({"a": 2.0}, 1)), {"a": 2.0})
    >>> value.time_dependent, value.uniform, float(value((), 1.5))
    (True, True, 3.0)
    """

    expr: Expr
    parameters: Parameters

    @property
    def time_dependent(self) -> bool:
        """Whether ``t`` occurs in it."""
        return any(node == Symbol("t") for node in self.expr.walk())

    @property
    def uniform(self) -> bool:
        """Whether it is the same at every site of the wall."""
        return not any(isinstance(node, Coordinate) for node in self.expr.walk())

    def __call__(self, coordinates: Coordinates, t: float) -> Any:
        """Value at a time, in double precision, broadcast over the shapes of the coordinates it uses."""

        def leaf(node: Expr) -> Any:
            if isinstance(node, Coordinate):
                return coordinates[node.axis]
            return t if node.name == "t" else float(self.parameters[node.name])

        with np.errstate(all="ignore"):
            return Evaluator(leaf, "float64")(self.expr)

    def on(self, coordinates: Coordinates, inside: Coordinates, t: float) -> Any:
        """Value at sites that may lie past the rim of the wall.

        Past the rim a formula is continued as it stands, so that smooth values stay exact in the corners; where that
        gives no number, as under a square root that ends at the rim, the value at the rim is taken.

        Parameters
        ----------
        coordinates : tuple of ndarray
            Positions of the sites, see `wall_coordinates`.
        inside : tuple of ndarray
            The same, kept within the domain.
        t : float
            Time.
        """
        value = self(coordinates, t)
        finite = np.isfinite(value)
        return value if finite.all() else np.where(finite, value, self(inside, t))


def wall_coordinates(domain: Domain, location: Location, box: Box, axis: int, side: int) -> Coordinates:
    """Positions of the sites of a box on a wall, one array per axis that broadcasts against the box.

    Along the axis of the wall it is the position of the wall; on a periodic axis positions are wrapped.
    """
    arrays = []
    for b, (lo, hi) in enumerate(zip(*box, strict=True)):
        if b == axis:
            values = np.array([domain.coordinate(b, side * domain.shape[b], True)])
        else:
            index = np.arange(lo, hi)
            index = index % domain.shape[b] if domain.periodic[b] else index
            values = domain.coordinate(b, index, bool(location[b]))
        arrays.append(values.reshape([-1 if c == b else 1 for c in range(domain.ndim)]))
    return tuple(arrays)


def inside(domain: Domain, coordinates: Coordinates) -> Coordinates:
    """Positions kept within the domain."""
    ends = zip(coordinates, domain.lower, domain.upper, strict=True)
    return tuple(np.clip(values, low, high) for values, low, high in ends)
