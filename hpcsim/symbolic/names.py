"""The names a formula may use, and what each of them stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpcsim.errors import FormulaError, unknown_name
from hpcsim.symbolic.expr import Coordinate, Expr, FieldValue, Num, Rate, Static, Symbol
from hpcsim.symbolic.functions import FUNCTIONS
from hpcsim.symbolic.operators import AXES, Value, Vector

OPERATORS = ("d", "laplacian", "grad", "div", "curl", "dot", "where", "vector", "dt", "noise")
CONSTANTS = {"pi": 3.141592653589793}
RESERVED = frozenset((*FUNCTIONS, *OPERATORS, *CONSTANTS, *AXES, "t", "dtt", "solve"))


@dataclass(frozen=True)
class Names:
    """Declared names of one formula.

    Attributes
    ----------
    ndim : int
        Axes of the lattice; the coordinates are the first ``ndim`` of x, y, z, w.
    fields : mapping of str to int
        Field name to number of components; a vector ``V`` also gives ``V_x``, ``V_y``, ...
    symbols : frozenset of str
        Names of numbers that are the same at every site.
    statics : frozenset of str
        Parameters that are expressions of space alone.
    meanings : mapping of str to Expr or Vector
        Names that stand for an expression (derived fields, vector parameters, earlier time levels).
    time, space, rates : bool
        Whether ``t``, the coordinates and ``dt(field)`` may occur.
    noise : int
        Components of ``noise()``: those of the field whose equation it is, 0 where it may not occur.
    """

    ndim: int
    fields: Mapping[str, int] = field(default_factory=dict)
    symbols: frozenset[str] = frozenset()
    statics: frozenset[str] = frozenset()
    meanings: Mapping[str, Value] = field(default_factory=dict)
    time: bool = True
    space: bool = True
    rates: bool = False
    noise: int = 0

    def known(self) -> list[str]:
        """Every name that may be used, for messages."""
        names = {*self.fields, *self.symbols, *self.statics, *self.meanings, *CONSTANTS}
        names.update(f"{name}_{axis}" for name, n in self.fields.items() if n > 1 for axis in AXES[:n])
        names.update(AXES[: self.ndim] if self.space else ())
        names.update(("t",) if self.time else ())
        return sorted(names)

    def resolve(self, name: str) -> Value:
        """What a name stands for.

        Raises
        ------
        FormulaError
            If it is not declared; the message has the nearest declared name.
        """
        if name in self.meanings:
            return self.meanings[name]
        if name in self.fields:
            return field_value(name, self.fields[name])
        if name in self.statics:
            return Static(name)
        if name in self.symbols or (self.time and name == "t"):
            return Symbol(name)
        if self.space and name in AXES[: self.ndim]:
            return Coordinate(AXES.index(name), 0, 0)
        if name in CONSTANTS:
            return Num(CONSTANTS[name])
        stem, _, axis = name.rpartition("_")
        if self.fields.get(stem, 1) > 1 and axis in AXES[: self.fields[stem]]:
            return FieldValue(stem, AXES.index(axis))
        raise FormulaError(unknown_name("name", name, self.known()))


def field_value(name: str, components: int) -> Value:
    """A field in an equation: a scalar, or a vector of its components."""
    if components == 1:
        return FieldValue(name, 0)
    return Vector(FieldValue(name, component) for component in range(components))


def rate_of(value: Value) -> Value:
    """The time derivative of a field on a right-hand side.

    Raises
    ------
    FormulaError
        If the argument is not a field.
    """
    parts = value if isinstance(value, Vector) else (value,)
    rates: list[Expr] = []
    for part in parts:
        if not isinstance(part, FieldValue):
            raise FormulaError("dt() on a right-hand side takes a field that has a dtt() equation")
        rates.append(Rate(part.name, part.component))
    return Vector(rates) if isinstance(value, Vector) else rates[0]
