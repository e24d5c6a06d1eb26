"""A model's texts as one system of equations with typed fields and parameters."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpcsim.errors import ConfigError, FormulaError, Problem, unknown_name
from hpcsim.symbolic.convolution import Convolution, Reader
from hpcsim.symbolic.discretize import Location
from hpcsim.symbolic.expr import (
    Coordinate,
    Derivative,
    Expr,
    FieldValue,
    FluxDerivative,
    Num,
    Rate,
    Static,
    Symbol,
    transform,
)
from hpcsim.symbolic.names import RESERVED, Names
from hpcsim.symbolic.noise import linear_in_noise
from hpcsim.symbolic.operators import Value, Vector, parts_of
from hpcsim.symbolic.parse import parse

ParameterValue = float | int | str | Sequence["float | int | str"]
_LEFT = re.compile(r"^\s*(dt|dtt|solve)\s*\(\s*([A-Za-z][A-Za-z0-9_]*)\s*\)\s*$")
_ZERO = re.compile(r"^\s*0\s*$")
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Equation:
    """The evolution of one component: ``d^order/dt^order field[component] = rhs``."""

    field: str
    component: int
    order: int
    rhs: Expr


@dataclass(frozen=True)
class Constraint:
    """What one component of a field obeys at every time: ``residual = 0``."""

    field: str
    component: int
    residual: Expr


@dataclass(frozen=True)
class System:
    """Fields, parameters and equations of a model on a lattice of given dimension.

    Attributes
    ----------
    ndim : int
        Axes of the lattice.
    locations : mapping of str to tuple of Location
        Where each component of each field lives.
    equations : tuple of Equation
        One per evolving component.
    symbols : mapping of str to float
        Numeric parameters.
    statics : mapping of str to Expr
        Parameters that are expressions of space.
    meanings : mapping of str to Expr or Vector
        Everything that stands for an expression: time- or field-dependent parameters, vectors, derived fields.
    derived : tuple of str
        Names of derived fields, in order of definition.
    constraints : tuple of Constraint
        One per component of a field that follows from the others without a time derivative.
    convolutions : tuple of Convolution
        One per component of a field that is an integral over the others.
    """

    ndim: int
    locations: Mapping[str, tuple[Location, ...]]
    equations: tuple[Equation, ...]
    symbols: Mapping[str, float]
    statics: Mapping[str, Expr]
    meanings: Mapping[str, Value]
    derived: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()
    convolutions: tuple[Convolution, ...] = ()

    @property
    def components(self) -> dict[str, int]:
        """Number of components of each field."""
        return {name: len(places) for name, places in self.locations.items()}

    @property
    def following(self) -> tuple[Constraint | Convolution, ...]:
        """Components that follow from others at every time: constraints, then convolutions."""
        return *self.constraints, *self.convolutions

    @property
    def orders(self) -> dict[str, int]:
        """Time order (1 or 2) of each evolving field, in the order of the equations."""
        return {equation.field: equation.order for equation in self.equations}

    def names(self, **changes: object) -> Names:
        """The names a formula about this system may use (diagnostics, outputs, boundary values)."""
        names = Names(self.ndim, self.components, frozenset(self.symbols), frozenset(self.statics), dict(self.meanings))
        return replace(names, **changes)  # type: ignore[arg-type]

    def with_terms(self, extra: Mapping[tuple[str, int], Expr], statics: Mapping[str, Expr]) -> System:
        """The same system with a term added to the right-hand side of some components."""
        equations = tuple(
            replace(e, rhs=e.rhs + extra[e.field, e.component]) if (e.field, e.component) in extra else e
            for e in self.equations
        )
        return replace(self, equations=equations, statics={**self.statics, **statics})


def build_system(
    ndim: int,
    locations: Mapping[str, tuple[Location, ...]],
    parameters: Mapping[str, ParameterValue],
    equations: Mapping[str, str],
    derived: Mapping[str, str] | None = None,
    convolutions: Mapping[str, Mapping[str, Any]] | None = None,
) -> System:
    """Parse a model.

    Parameters
    ----------
    ndim : int
        Axes of the lattice.
    locations : mapping of str to tuple of Location
        Location of every component of every field.
    parameters : mapping
        Name to number, formula or list of those (a vector).
    equations : mapping of str to str
        ``"dt(u)"`` or ``"dtt(u)"`` to its right-hand side; ``"solve(phi)"``, or ``"0"`` where the unknown is clear, to
        what is zero for the right phi.
    derived : mapping of str to str, optional
        Derived fields; usable in equations, outputs and diagnostics.
    convolutions : mapping, optional
        Field to the table with ``source``, ``kernel`` and ``mode`` of the integral that it is.

    Raises
    ------
    FormulaError
        With every fault found in any of the texts.
    """
    builder = _Builder(ndim, locations)
    builder.check_names([*locations], "model.fields")
    builder.check_names([*parameters, *(derived or {})], "model.parameters")
    builder.read_parameters(parameters)
    builder.read_derived(derived or {})
    found = builder.read_equations(equations, frozenset(convolutions or ()))
    builder.check_constraints()
    taken = {equation.field for equation in found} | {constraint.field for constraint in builder.constraints}
    integrals = builder.reader().read(convolutions or {}, taken)
    if builder.problems:
        raise FormulaError(builder.problems)
    return System(
        ndim, dict(locations), found, builder.symbols, builder.statics, builder.meanings, tuple(derived or {}),
        tuple(builder.constraints), integrals,
    )  # fmt: skip


class _Builder:
    def __init__(self, ndim: int, locations: Mapping[str, tuple[Location, ...]]) -> None:
        self.ndim = ndim
        self.components = {name: len(places) for name, places in locations.items()}
        self.symbols: dict[str, float] = {}
        self.statics: dict[str, Expr] = {}
        self.meanings: dict[str, Value] = {}
        self.constraints: list[Constraint] = []
        self.problems: list[Problem] = []

    def check_names(self, names: Sequence[str], where: str) -> None:
        """Report names that are not identifiers, reserved or used twice."""
        for name in names:
            if not _NAME.match(name) or "__" in name or not name.isascii():
                self._fault(f"{where}.{name}", "a name starts with a letter and has only letters, digits and single _")
            elif name in RESERVED:
                self._fault(f"{where}.{name}", f"'{name}' is reserved; choose another name")
            elif where != "model.fields" and name in self.components:
                self._fault(f"{where}.{name}", f"'{name}' is already the name of a field")

    def read_parameters(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Sort parameters into numbers, tables of space and expressions."""
        pending: dict[str, list[object]] = {}
        for name, value in parameters.items():
            if isinstance(value, (int, float)):
                self.symbols[name] = float(value)
            else:
                pending[name] = [value] if isinstance(value, str) else list(value)
        while pending:
            ready = [n for n, parts in pending.items() if not self._words(parts) & (set(pending) - {n})]
            ready = [n for n in ready if n not in self._words(pending[n])]
            if not ready:
                self._fault("model.parameters", f"these depend on each other in a circle: {', '.join(sorted(pending))}")
                return
            for name in ready:
                self._read_parameter(name, pending.pop(name), parameters[name])

    @staticmethod
    def _words(parts: Sequence[object]) -> set[str]:
        return {word for part in parts if isinstance(part, str) for word in _WORD.findall(part)}

    def _read_parameter(self, name: str, parts: Sequence[object], given: ParameterValue) -> None:
        where = f"model.parameters.{name}"
        if isinstance(given, str):
            value = self._parse(given, where)
            if isinstance(value, Vector):
                self.meanings[name] = value
            elif value is not None:
                self.meanings.update(self._scalar_parameter(name, value))
            return
        components: list[Expr] = []
        for index, part in enumerate(parts):
            own = f"{name}[{index}]"
            if isinstance(part, (int, float)):
                self.symbols[own] = float(part)
                components.append(Symbol(own))
            elif isinstance(part, str) and isinstance(value := self._parse(part, where), Expr):
                components.append(next(iter(self._scalar_parameter(own, value).values()), Static(own)))
            else:
                self._fault(where, f"component {index} must be a number or a scalar formula")
        self.meanings[name] = Vector(components)

    def _scalar_parameter(self, name: str, value: Expr) -> dict[str, Expr]:
        """Meaning of a formula parameter, empty if it is tabulated (a function of space alone)."""
        nodes = list(value.walk())
        of_space = any(isinstance(n, (Coordinate, Static)) for n in nodes)
        of_rest = any(isinstance(n, (FieldValue, Rate)) or n == Symbol("t") for n in nodes)
        differentiated = any(type(n).__name__ in ("Derivative", "FluxDerivative") for n in nodes)
        if not of_space or of_rest or differentiated:
            return {name: value}
        self.statics[name] = transform(value, lambda n: self.statics[n.name] if isinstance(n, Static) else None)
        return {}

    def read_derived(self, derived: Mapping[str, str]) -> None:
        """Derived fields, in the order given; later ones may use earlier ones."""
        for name, text in derived.items():
            value = self._parse(text, f"model.derived.{name}")
            if value is not None:
                self.meanings[name] = value

    def reader(self) -> Reader:
        """Reads the tables of convolutions, once parameters and derived fields are known."""
        constants = {
            name: value
            for name, value in self.meanings.items()
            if isinstance(value, Expr) and all(_constant(node) for node in value.walk() if not node.children)
        }
        return Reader(self.ndim, self.components, frozenset(self.symbols), constants, self._parse, self._fault)

    def read_equations(self, equations: Mapping[str, str], elsewhere: frozenset[str]) -> tuple[Equation, ...]:
        """All equations, component by component; constraints are kept aside, fields given elsewhere need none."""
        found: list[Equation] = []
        seen: set[str] = set()
        # An unnamed constraint is for a field without any other equation, so it comes last.
        for left, right in sorted(equations.items(), key=lambda item: bool(_ZERO.match(item[0]))):
            where = f"model.equations.'{left}'"
            match = _LEFT.match(left)
            if match is None and not _ZERO.match(left):
                self._fault(where, "the left side must be dt(field), dtt(field), solve(field) or 0")
                continue
            verb, name = (
                match.groups() if match is not None else ("solve", self._unknown(right, where, seen | elsewhere))
            )
            if not name:
                continue
            if name not in self.components:
                self._fault(where, unknown_name("field", name, self.components))
            elif name in seen:
                self._fault(where, f"'{name}' already has an equation")
            else:
                seen.add(name)
                parts = self._sides(name, right, where, verb)
                if verb == "solve":
                    self.constraints += [Constraint(name, component, part) for component, part in enumerate(parts)]
                else:
                    order = 2 if verb == "dtt" else 1
                    found += [Equation(name, component, order, rhs) for component, rhs in enumerate(parts)]
        if not equations and not elsewhere:
            self._fault("model.equations", 'at least one equation is needed, e.g. "dt(u)" = "D*laplacian(u)"')
        return tuple(found)

    def check_constraints(self) -> None:
        """Report fields that no constraint depends on; only if all texts could be read."""
        if self.problems:
            return
        nodes = (node for constraint in self.constraints for node in constraint.residual.walk())
        read = {node.name for node in nodes if isinstance(node, FieldValue)}
        for name in sorted({constraint.field for constraint in self.constraints} - read):
            text = f"'{name}' does not occur in it or in another constraint, so that it cannot be solved for"
            self._fault(f"model.equations.'solve({name})'", text)

    def _unknown(self, text: str, where: str, seen: Collection[str]) -> str:
        """The field that ``0 = ...`` is solved for: the only one without an equation that is differentiated."""
        value = self._parse(text, where)
        if value is None:
            return ""
        derivatives = [
            n for part in parts_of(value) for n in part.walk() if isinstance(n, (Derivative, FluxDerivative))
        ]
        inside = {n.name for derivative in derivatives for n in derivative.walk() if isinstance(n, FieldValue)}
        unknown = sorted(inside - set(seen))
        if len(unknown) == 1:
            return unknown[0]
        choice = (
            f"could be {' or '.join(unknown)}"
            if unknown
            else "is not clear: no field without equation is differentiated"
        )
        self._fault(where, f'the unknown of this constraint {choice}; write "solve(field)" on the left side')
        return ""

    def _sides(self, name: str, text: str, where: str, verb: str) -> Sequence[Expr]:
        """The right side, one expression per component of the field; nothing after a fault."""
        noise = 0 if verb == "solve" else self.components[name]
        value = self._parse(text, where, rates=verb == "dtt", noise=noise)
        if value is None:
            return ()
        parts = parts_of(value)
        if not all(map(linear_in_noise, parts)):
            self._fault(where, "noise() may be multiplied and differentiated only: its square has no limit as dt -> 0")
        if len(parts) != self.components[name]:
            self._fault(where, f"'{name}' has {self.components[name]} component(s), the right side has {len(parts)}")
            return ()
        return parts

    def _parse(self, text: str, where: str, rates: bool = False, noise: int = 0) -> Value | None:
        symbols, statics = frozenset(self.symbols), frozenset(self.statics)
        names = Names(self.ndim, self.components, symbols, statics, self.meanings, rates=rates, noise=noise)
        try:
            return parse(text, names, where)
        except ConfigError as error:
            self.problems += error.problems
            return None

    def _fault(self, where: str, message: str) -> None:
        self.problems.append(Problem(where, message))


def _constant(leaf: Expr) -> bool:
    return isinstance(leaf, Num) or isinstance(leaf, Symbol) and leaf.name != "t"
