"""Fields that are integrals, ``field(x) = integral of kernel(x - y)*source(y) dy``, as a model writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.symbolic.expr import ONE, ZERO, Derivative, Expr, FluxDerivative, Num, mul
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.operators import Value, parts_of
from hpcsim.symbolic.parse import parse_scalar

KEYS = ("source", "kernel", "mode")
FORMULA = "formula"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LEAST = 'write e.g. source = "rho", kernel = "exp(-r)"'


@dataclass(frozen=True)
class Kernel:
    """What a source is convolved with: a function of a catalogue, a formula of the offset, or the product of both.

    Attributes
    ----------
    name : str
        Name in the catalogue; empty if there is only a formula.
    parameters : tuple of (str, Expr)
        Parameters of the named function, in terms of numeric parameters of the model.
    formula : Expr
        Of the distance ``Symbol("r")``, the offsets as coordinates, and numeric parameters.
    origin : Expr or None
        Value at the origin, where it is given.
    """

    name: str = ""
    parameters: tuple[tuple[str, Expr], ...] = ()
    formula: Expr = ONE
    origin: Expr | None = None

    @property
    def zero(self) -> bool:
        """Whether it vanishes everywhere."""
        return self.formula == ZERO


@dataclass(frozen=True)
class Convolution:
    """One component of a field that is an integral at every time.

    Attributes
    ----------
    field, component : str, int
        Which component of which field.
    source : Expr
        What is integrated.
    kernel : Kernel
        With which weight.
    mode : str
        How the space around the lattice is taken; empty leaves the choice to the solver.
    """

    field: str
    component: int
    source: Expr
    kernel: Kernel
    mode: str = ""


@dataclass
class Reader:
    """Reads the tables of a model; faults are handed on, with their key.

    Attributes
    ----------
    ndim : int
        Axes of the lattice.
    components : mapping of str to int
        Components of every field.
    symbols : frozenset of str
        Numeric parameters.
    constants : mapping of str to Expr
        Parameters that are formulas of numeric parameters.
    parse : callable
        Expression of a source, None after a fault: ``parse(text, where)``.
    fault : callable
        ``fault(where, message)``.
    """

    ndim: int
    components: Mapping[str, int]
    symbols: frozenset[str]
    constants: Mapping[str, Expr]
    parse: Callable[[str, str], Value | None]
    fault: Callable[[str, str], None]

    def read(self, tables: Mapping[str, Any], taken: set[str]) -> tuple[Convolution, ...]:
        """Every component of every field of the tables.

        Parameters
        ----------
        tables : mapping
            Field to its table with ``source``, ``kernel`` and, if wanted, ``mode``.
        taken : set of str
            Fields that have an equation.
        """
        found: list[Convolution] = []
        for name, table in tables.items():
            where = f"model.convolutions.{name}"
            if name not in self.components:
                self.fault(where, unknown_name("field", name, self.components))
            elif name in taken:
                self.fault(where, f"'{name}' already has an equation")
            elif not isinstance(table, Mapping):
                self.fault(where, f"a table is needed; {_LEAST}")
            else:
                found += self._field(name, table, where)
        return tuple(found)

    def _field(self, name: str, table: Mapping[str, Any], where: str) -> list[Convolution]:
        for key in table:
            if key not in KEYS:
                self.fault(f"{where}.{key}", unknown_name("key", key, KEYS))
        for key in KEYS[:2]:
            if key not in table:
                self.fault(f"{where}.{key}", f"is needed; {_LEAST}")
        mode = table.get("mode") or ""
        if not isinstance(mode, str):
            self.fault(f"{where}.mode", f"a name is needed, got {mode!r}")
            mode = ""
        sources = self._sources(table.get("source"), f"{where}.source", self.components[name])
        kernels = self._kernels(table.get("kernel"), f"{where}.kernel", self.components[name])
        both = zip(sources, kernels, strict=False)
        return [
            Convolution(name, component, source, kernel, mode)
            for component, (source, kernel) in enumerate(both)
            if source is not None and kernel is not None
        ]

    def _sources(self, given: Any, where: str, count: int) -> list[Expr | None]:
        """One source per component; one formula stands for all, a vector has them all."""
        if given is None:
            return []
        if isinstance(given, str):
            value = self.parse(given, where)
            parts = [] if value is None else list(parts_of(value))
            return self._each(parts if len(parts) != 1 else parts * count, where, count)
        entries = self._each(self._listed(given, where, "a formula, or a list of them"), where, count)
        return [self._scalar(entry, f"{where}[{place}]") for place, entry in enumerate(entries)]

    def _scalar(self, text: Any, where: str) -> Expr | None:
        if not isinstance(text, str):
            self.fault(where, f"a formula is needed, got {text!r}")
            return None
        value = self.parse(text, where)
        if value is not None and not isinstance(value, Expr):
            self.fault(where, "a scalar is needed, this formula is a vector")
            return None
        return value

    def _kernels(self, given: Any, where: str, count: int) -> list[Kernel | None]:
        if given is None:
            return []
        if isinstance(given, (str, Mapping)):
            return [self._kernel(given, where)] * count
        entries = self._each(self._listed(given, where, "a name, a formula, a table, or a list of them"), where, count)
        return [self._kernel(entry, f"{where}[{place}]") for place, entry in enumerate(entries)]

    def _listed(self, given: Any, where: str, wanted: str) -> list[Any]:
        if isinstance(given, Sequence):
            return list(given)
        self.fault(where, f"{wanted} is needed, got {given!r}")
        return []

    def _each(self, entries: list[Any], where: str, count: int) -> list[Any]:
        """The entries, if there is one for every component."""
        if entries and len(entries) != count:
            self.fault(where, f"{len(entries)} entries for {count} component(s)")
            return []
        return entries

    def _kernel(self, given: Any, where: str) -> Kernel | None:
        try:
            if isinstance(given, str):
                return self._of_text(given, where)
            if isinstance(given, Mapping):
                return self._of_table(given, where)
        except ConfigError as error:
            for problem in error.problems:
                self.fault(problem.where or where, problem.message)
            return None
        self.fault(where, f"a name, a formula or a table is needed, got {given!r}")
        return None

    def _of_text(self, text: str, where: str) -> Kernel:
        """A bare name that means nothing in a formula is one of the catalogue."""
        names = self._names(space=True)
        if _NAME.fullmatch(text.strip()) and text.strip() not in names.known():
            return Kernel(text.strip())
        return Kernel(formula=self._formula(text, where))

    def _formula(self, text: Any, where: str) -> Expr:
        """A formula of offsets, distance and numbers."""
        if not isinstance(text, str):
            raise ConfigError([Problem(where, f"a formula is needed, got {text!r}")])
        formula = parse_scalar(text, self._names(space=True), where)
        if any(isinstance(node, (Derivative, FluxDerivative)) for node in formula.walk()):
            raise ConfigError([Problem(where, "a kernel may not differentiate; write the derivative out")])
        return formula

    def _of_table(self, table: Mapping[str, Any], where: str) -> Kernel:
        rest = dict(table)
        name, origin = rest.pop("name", None), rest.pop("origin", None)
        if not isinstance(name, str):
            raise ConfigError([Problem(f"{where}.name", 'is needed; write e.g. name = "yukawa"')])
        factors = [self._formula(rest.pop("times"), f"{where}.times")] if "times" in rest else []
        if name == FORMULA:
            if FORMULA not in rest:
                raise ConfigError([Problem(f"{where}.{FORMULA}", "is needed")])
            factors.insert(0, self._formula(rest.pop(FORMULA), f"{where}.{FORMULA}"))
        return Kernel(
            "" if name == FORMULA else name,
            tuple((key, self._number(value, f"{where}.{key}")) for key, value in rest.items()),
            mul(*factors),
            None if origin is None else self._number(origin, f"{where}.origin"),
        )

    def _number(self, given: Any, where: str) -> Expr:
        """A number, or a formula of numeric parameters."""
        if isinstance(given, str):
            return parse_scalar(given, self._names(space=False), where)
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
            raise ConfigError([Problem(where, f"a number or a formula of numeric parameters is needed, got {given!r}")])
        return Num(given)

    def _names(self, space: bool) -> Names:
        """What a formula of a kernel may use: offsets, the distance, and numbers."""
        symbols = self.symbols | {"r"} if space else self.symbols
        return Names(self.ndim, symbols=symbols, meanings=self.constants, time=False, space=space)
