"""Reading the table of one condition: which keys it has, and what their values mean."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from hpcsim.boundary import BOUNDARIES
from hpcsim.boundary.base import BoundaryCondition, Key
from hpcsim.boundary.values import Parameters, is_number, wall_names
from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.symbolic.evaluate import scalar_value
from hpcsim.symbolic.expr import Coordinate, Expr, Num
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse_scalar


class Entry(NamedTuple):
    """A condition as the configuration gives it: its name and keys, and where it stands."""

    name: str
    table: Mapping[str, Any]
    where: str

    @property
    def kind(self) -> type[BoundaryCondition]:
        """The class of that name."""
        return BOUNDARIES.get(self.name)


def read_entry(given: object, where: str) -> Entry:
    """A condition given as a name, or as a table with the key ``type``.

    Raises
    ------
    ConfigError
        If it is neither, or the name is unknown.
    """
    if isinstance(given, str):
        name, table = given, {}
    elif isinstance(given, Mapping):
        table = {str(key): value for key, value in given.items() if key != "type"}
        if "type" not in given:
            raise ConfigError([Problem(where, f"the key 'type' is missing; known: {', '.join(BOUNDARIES)}")])
        name = given["type"]
    else:
        raise ConfigError([Problem(where, f"{given!r} is no condition; give a name, or a table with the key 'type'")])
    if not isinstance(name, str) or name not in BOUNDARIES:
        raise ConfigError([Problem(where, unknown_name("boundary condition", str(name), BOUNDARIES))])
    kind = BOUNDARIES.get(name)
    if not (isinstance(kind, type) and issubclass(kind, BoundaryCondition)):
        text = f"the boundary condition '{name}' is registered as {kind!r}, which is no subclass of BoundaryCondition"
        raise ConfigError([Problem(where, text)])
    return Entry(name, table, where)


class Reader:
    """Turns tables into options of conditions.

    Parameters
    ----------
    parameters : mapping
        Parameters of the model that formulas may use.
    ndim : int
        Axes of the lattice.
    """

    def __init__(self, parameters: Parameters, ndim: int) -> None:
        self._names = wall_names(parameters, ndim)
        self._numbers = {name: float(value) for name, value in parameters.items() if is_number(value)}

    def options(self, entry: Entry, components: int) -> dict[str, Any]:
        """Value of every key of a condition.

        Raises
        ------
        ConfigError
            With every unknown key, missing key and wrong value.
        """
        keys, table = entry.kind.keys, entry.table
        problems = [
            Problem(f"{entry.where}.{key}", unknown_name(f"key of '{entry.name}'", key, ["type", *keys]))
            for key in table
            if key not in keys
        ]
        missing = [name for name, key in keys.items() if key.required and name not in table]
        if missing:
            example = ", ".join((f'type = "{entry.name}"', *(f"{name} = ..." for name in missing)))
            text = f"'{entry.name}' needs {' and '.join(missing)}; write {{ {example} }}"
            problems.append(Problem(entry.where, text))
        options: dict[str, Any] = {}
        for name, key in keys.items():
            try:
                given = table.get(name, key.default)
                options[name] = None if given is None else self._read(key, given, f"{entry.where}.{name}", components)
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigError(problems)
        return options

    def _read(self, key: Key, given: object, where: str, components: int) -> Any:
        if key.kind == "formula":
            return self._formulas(given, where, components)
        if key.kind == "number":
            return _at_least(key, self._number(given, where), where)
        if key.kind == "whole":
            return _at_least(key, _whole(given, where), where)
        if given not in key.choices:
            raise ConfigError([Problem(where, unknown_name("choice", str(given), key.choices))])
        return given

    def _formulas(self, given: object, where: str, components: int) -> tuple[Expr, ...]:
        """One expression per component."""
        if not isinstance(given, (list, tuple)):
            return (self._formula(given, where, self._names),) * components
        if len(given) != components:
            text = f"{len(given)} values for {components} component(s); give one value, or one per component"
            raise ConfigError([Problem(where, text)])
        return tuple(self._formula(value, f"{where}[{i}]", self._names) for i, value in enumerate(given))

    def _formula(self, given: object, where: str, names: Names) -> Expr:
        if is_number(given):
            value = float(given)  # type: ignore[arg-type]
            if not math.isfinite(value):
                raise ConfigError([Problem(where, f"{value} is not a finite number")])
            return Num(value)
        if not isinstance(given, str):
            raise ConfigError([Problem(where, f"{given!r} is neither a number nor the text of a formula")])
        return parse_scalar(given, names, where)

    def _number(self, given: object, where: str) -> float:
        names = replace(self._names, time=False, space=False)
        expr = self._formula(given, where, names)
        if any(isinstance(node, Coordinate) for node in expr.walk()):
            raise ConfigError([Problem(where, f"'{given}' varies in space; a single number is needed")])
        try:
            value = scalar_value(expr, self._numbers)
        except KeyError:
            raise ConfigError([Problem(where, f"'{given}' varies in time; a single number is needed")]) from None
        except (ArithmeticError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError([Problem(where, f"'{given}' is not a finite number")])
        return value


def _whole(given: object, where: str) -> int:
    try:
        if isinstance(given, bool):
            raise TypeError
        return operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError([Problem(where, f"{given!r} is not a whole number")]) from None


def _at_least(key: Key, value: float, where: str) -> float:
    if value < key.least:
        raise ConfigError([Problem(where, f"{value:g} is too small; at least {key.least:g} is allowed")])
    return value
