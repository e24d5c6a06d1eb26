"""From continuous equations to reads of neighbouring sites: finite differences of order 2, 4, 6 and 8.

Every quantity lives somewhere on each axis: at cell centres (0) or on the staggered points between them (1, half a
spacing lower). An expression is asked for its value at a target location; fields that live elsewhere are interpolated,
derivatives pick the centred or the staggered formula by where their operand lives. Divergences difference their flux
between the faces of the target, and both neighbours of a face evaluate the same flux, so content is conserved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpcsim.errors import FormulaError
from hpcsim.symbolic.expr import (
    Access,
    Coordinate,
    Derivative,
    Expr,
    FieldValue,
    FluxDerivative,
    Noise,
    Rate,
    Static,
    Symbol,
    add,
    call,
    mul,
    power,
)
from hpcsim.symbolic.noise import NoiseTable
from hpcsim.symbolic.weights import centred, staggered

Location = tuple[int, ...]
MAX_READS = 6_000


def rate_register(name: str) -> str:
    """Name under which the time derivative of a field appears in a discrete equation."""
    return f"{name}@rate"


def static_register(name: str, location: Location) -> str:
    """Name of the table of a space-dependent parameter at a location."""
    suffix = "" if not any(location) else "@" + "".join(map(str, location))
    return f"parameter:{name}{suffix}"


@dataclass
class Discretizer:
    """Turns continuous expressions into expressions of register accesses.

    Parameters
    ----------
    ndim : int
        Axes of the lattice.
    order : int
        Order of accuracy in space: 2, 4, 6 or 8.
    locations : mapping of str to tuple of Location
        Where each component of each field lives.
    spacings : tuple of str
        Name of the spacing symbol of each axis; equal spacings share a name.

    Attributes
    ----------
    statics : dict
        Register name to (parameter name, location) of every table that the expressions read.
    noises : dict
        Register name to the table of random numbers, for every noise that the expressions read.
    """

    ndim: int
    order: int
    locations: Mapping[str, tuple[Location, ...]]
    spacings: tuple[str, ...]
    statics: dict[str, tuple[str, Location]] = field(default_factory=dict)
    noises: dict[str, NoiseTable] = field(default_factory=dict)
    _memo: dict[tuple[Expr, Location, tuple[int, ...]], Expr] = field(default_factory=dict)
    _homes: dict[tuple[Expr, int], int | None] = field(default_factory=dict)

    def __call__(self, expr: Expr, target: Location) -> Expr:
        """Value of an expression at a location of the site of the loop.

        Raises
        ------
        FormulaError
            If the stencil would need an unreasonable number of reads.
        """
        return self._at(expr, target, (0,) * self.ndim)

    def _at(self, expr: Expr, target: Location, offset: tuple[int, ...]) -> Expr:
        key = (expr, target, offset)
        if key not in self._memo:
            if len(self._memo) > MAX_READS:
                raise FormulaError("the nested derivatives need too many reads; lower model.order or nest less")
            self._memo[key] = self._discretize(expr, target, offset)
        return self._memo[key]

    def _discretize(self, expr: Expr, target: Location, offset: tuple[int, ...]) -> Expr:
        if isinstance(expr, (FieldValue, Rate)):
            return self._field(expr, target, offset)
        if isinstance(expr, Static):
            register = static_register(expr.name, target)
            self.statics[register] = (expr.name, target)
            return Access(register, 0, offset)
        if isinstance(expr, Noise):
            return self._noise(expr, target, offset)
        if isinstance(expr, Coordinate):
            return Coordinate(expr.axis, offset[expr.axis], target[expr.axis])
        if isinstance(expr, Derivative):
            return self._derivative(expr, target, offset)
        if isinstance(expr, FluxDerivative):
            return self._flux(expr, target, offset)
        if not expr.children:
            return expr
        return expr.rebuild(tuple(self._at(child, target, offset) for child in expr.children))

    def _field(self, expr: Expr, target: Location, offset: tuple[int, ...]) -> Expr:
        name = rate_register(expr.name) if isinstance(expr, Rate) else expr.name
        home = self.locations[expr.name][expr.component]
        for axis in range(self.ndim):
            if home[axis] != target[axis]:
                nearer = _replaced(target, axis, home[axis])
                return add(
                    *(
                        mul(weight, self._at(expr, nearer, _moved(offset, axis, m)))
                        for m, weight in staggered(0, self.order, bool(target[axis]))
                    )
                )
        return Access(name, expr.component, offset)

    def _noise(self, expr: Expr, target: Location, offset: tuple[int, ...]) -> Expr:
        """Over a step of size dt white noise is a normal number over the root of dt; it lives where it is read."""
        table = NoiseTable(expr.stream, expr.component, target, max(map(abs, offset)))
        known = self.noises.get(table.register)
        if known is None or known.reach < table.reach:
            self.noises[table.register] = table
        return mul(power(call("sqrt", Symbol("dt")), -1), Access(table.register, 0, offset))

    def _derivative(self, expr: Expr, target: Location, offset: tuple[int, ...]) -> Expr:
        axis, operand = expr.axis, expr.operand
        home = self._home(operand, axis, target[axis])
        if expr.order == 2 and home != target[axis]:
            return self._at(Derivative(Derivative(operand, axis, 1), axis, 1), target, offset)
        if home == target[axis]:
            formula = centred(expr.order, self.order)
        else:
            formula = staggered(1, self.order, bool(target[axis]))
        return self._difference(operand, axis, expr.order, formula, _replaced(target, axis, home), offset)

    def _flux(self, expr: Expr, target: Location, offset: tuple[int, ...]) -> Expr:
        face = _replaced(target, expr.axis, 1 - target[expr.axis])
        formula = staggered(1, self.order, bool(target[expr.axis]))
        return self._difference(expr.operand, expr.axis, 1, formula, face, offset)

    def _difference(
        self,
        operand: Expr,
        axis: int,
        order: int,
        formula: tuple[tuple[int, object], ...],
        location: Location,
        offset: tuple[int, ...],
    ) -> Expr:
        scale = power(Symbol(self.spacings[axis]), -order)
        terms = [mul(weight, scale, self._at(operand, location, _moved(offset, axis, m))) for m, weight in formula]  # type: ignore[arg-type]
        return add(*terms)

    def _home(self, expr: Expr, axis: int, target: int) -> int:
        """Where an operand lives on an axis: where all its parts do, else at the target."""
        home = self._natural(expr, axis)
        return target if home is None or home < 0 else home

    def _natural(self, expr: Expr, axis: int) -> int | None:
        """0 or 1 where an expression lives by itself, -1 if its parts disagree, None if it lives anywhere."""
        key = (expr, axis)
        if key not in self._homes:
            self._homes[key] = self._own_home(expr, axis)
        return self._homes[key]

    def _own_home(self, expr: Expr, axis: int) -> int | None:
        if isinstance(expr, (FieldValue, Rate)):
            return self.locations[expr.name][expr.component][axis]
        homes = {home for child in expr.children if (home := self._natural(child, axis)) is not None}
        if len(homes) != 1:
            return -1 if homes else None
        home = homes.pop()
        odd = isinstance(expr, FluxDerivative) or (isinstance(expr, Derivative) and expr.order == 1)
        return 1 - home if odd and expr.axis == axis and home >= 0 else home


def _replaced(location: Location, axis: int, value: int) -> Location:
    return (*location[:axis], value, *location[axis + 1 :])


def _moved(offset: tuple[int, ...], axis: int, by: int) -> tuple[int, ...]:
    return (*offset[:axis], offset[axis] + by, *offset[axis + 1 :])
