"""Initial conditions: what a number, a formula or a table of the configuration puts on the lattice."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.errors import ConfigError, FormulaError, Problem, unknown_name
from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location, owned_extent
from hpcsim.models.initials import INITIAL
from hpcsim.models.sampling import Values
from hpcsim.symbolic.expr import Expr, Num
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.operators import AXES, Value, Vector
from hpcsim.symbolic.parse import parse


@dataclass(frozen=True)
class InitialSetting:
    """What an initial condition may depend on.

    Parameters
    ----------
    domain : Domain
        The lattice.
    locations : tuple of Location
        Place of each component.
    field : str
        Name of the field, or ``dt(field)``; keys the random numbers.
    parameters : mapping
        Parameters of the model; numbers and formulas of space may be used by name.
    second_order : bool
        Whether the rate of the field is part of the initial state.
    seed : int
        Seed of the run.
    start_time : float
        Value of ``t``.
    directory : Path
        Directory of the case; files outside are refused.
    """

    domain: Domain
    locations: tuple[Location, ...]
    field: str = "u"
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    second_order: bool = False
    seed: int = 0
    start_time: float = 0.0
    directory: Path = Path()

    @property
    def components(self) -> int:
        """Number of components."""
        return len(self.locations)

    @cached_property
    def names(self) -> Names:
        """What a formula may use: coordinates, t, and the parameters that do not depend on a field."""
        meanings: dict[str, Value] = {"t": Num(float(self.start_time))}
        waiting = dict(self.parameters)
        # A parameter may use another one, so each round resolves those whose names are known by then.
        while waiting:
            names = Names(self.domain.ndim, meanings=dict(meanings))
            found = {name: value for name in waiting if (value := _meaning(waiting[name], names)) is not None}
            if not found:
                break
            meanings.update(found)
            waiting = {name: value for name, value in waiting.items() if name not in found}
        return Names(self.domain.ndim, meanings=meanings)


def _meaning(value: Any, names: Names) -> Value | None:
    if isinstance(value, (list, tuple)):
        parts = [part for entry in value if isinstance(part := _meaning(entry, names), Expr)]
        return Vector(parts) if len(parts) == len(value) else None
    if isinstance(value, (int, float)):
        return Num(value)
    try:
        return parse(value, names)
    except FormulaError:
        return None


class InitialCondition(ABC):
    """Initial values of one field, box by box.

    Every value depends on the global index of its site alone, so any cut of the lattice into boxes gives the same bits.

    Parameters
    ----------
    where : str
        Path of the key in the configuration, for messages.
    """

    has_rate = False
    """Whether the condition also gives the time derivative of the field."""

    def __init__(self, where: str) -> None:
        self.where = where

    def values(
        self, domain: Domain, box_lo: tuple[int, ...], box_hi: tuple[int, ...], location: Location, component: int = 0
    ) -> Values:
        """Values at the owned sites of a box.

        Parameters
        ----------
        domain : Domain
            The lattice.
        box_lo, box_hi : tuple of int
            Half-open global indices, inside the domain.
        location : Location
            Place of the component in the cell.
        component : int
            Which component.

        Returns
        -------
        ndarray of float64
            Shape of the box.

        Raises
        ------
        ConfigError
            If a value is not finite; the message has the place.
        """
        return self._checked(self._values, domain, (tuple(box_lo), tuple(box_hi)), location, component)

    def rate(
        self, domain: Domain, box_lo: tuple[int, ...], box_hi: tuple[int, ...], location: Location, component: int = 0
    ) -> Values:
        """Time derivative of the field; parameters and errors as for `values`. Zero unless `has_rate`."""
        return self._checked(self._rate, domain, (tuple(box_lo), tuple(box_hi)), location, component)

    @abstractmethod
    def _values(self, domain: Domain, box: Box, location: Location, component: int) -> Values: ...

    def _rate(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        return np.zeros(tuple(b - a for a, b in zip(*box, strict=True)))

    def _checked(self, compute: Any, domain: Domain, box: Box, location: Location, component: int) -> Values:
        extent = owned_extent(domain, location)
        if any(a < 0 or b > n for a, b, n in zip(*box, extent, strict=True)):
            raise ValueError(f"box {box} is not inside the {extent} sites of the lattice")
        values: Values = compute(domain, box, location, component)
        finite = np.isfinite(values)
        if not finite.all():
            index = np.unravel_index(int(np.argmin(finite)), values.shape)
            place = ", ".join(
                f"{AXES[a]} = {domain.coordinate(a, box[0][a] + int(i), bool(location[a])):.6g}"
                for a, i in enumerate(index)
            )
            raise ConfigError([Problem(self.where, f"the initial value is {values[index]} at {place}")])
        return values


class PerComponent(InitialCondition):
    """One initial condition for each component.

    Parameters
    ----------
    where : str
        Path of the key.
    parts : sequence of InitialCondition
        One per component.
    """

    def __init__(self, where: str, parts: Sequence[InitialCondition]) -> None:
        super().__init__(where)
        self._parts = tuple(parts)
        self.has_rate = any(part.has_rate for part in parts)

    def _values(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        return self._parts[component].values(domain, *box, location, component)

    def _rate(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        return self._parts[component].rate(domain, *box, location, component)


def resolve_initial(
    spec: object,
    where: str,
    domain: Domain,
    locations: Sequence[Location],
    **setting: Any,
) -> InitialCondition:
    """The initial condition that a value of the configuration describes.

    Parameters
    ----------
    spec : object
        A number, a formula, a table with ``kind``, or a list of those with one entry per component. A number, a scalar
        formula and most tables stand for every component.
    where : str
        Path of the key, e.g. ``initial.E``.
    domain : Domain
        The lattice.
    locations : sequence of Location
        Place of each component.
    **setting
        The other fields of `InitialSetting`.

    Raises
    ------
    ConfigError
        If the kind or a key is unknown, a key is missing or a value is not allowed; every fault is listed.

    Examples
    --------
    >>> domain = Domain((4,), (0.0,), (1.0,), (True,))
    >>> start = resolve_initial("8*x**2", "initial.u", domain, [(0,)])
    >>> start.values(domain, (0,), (2,), (0,), 0)
    array([0.125, 1.125])
    """
    return _resolve(spec, where, InitialSetting(domain, tuple(locations), **setting))


def _resolve(spec: object, where: str, setting: InitialSetting) -> InitialCondition:
    if isinstance(spec, Mapping):
        return _from_table(spec, where, setting)
    if isinstance(spec, Sequence) and not isinstance(spec, (str, bytes)):
        return resolve_list(spec, where, setting)
    made: InitialCondition = INITIAL.get("expression")({"value": spec}, where, setting)
    return made


def _from_table(spec: Mapping[str, Any], where: str, setting: InitialSetting) -> InitialCondition:
    kind = spec.get("kind")
    if kind is None:
        raise ConfigError([Problem(where, f"the table needs a 'kind'; known: {', '.join(INITIAL.names())}")])
    if not isinstance(kind, str) or kind not in INITIAL:
        raise ConfigError([Problem(f"{where}.kind", unknown_name("initial condition", str(kind)[:64], INITIAL))])
    made: InitialCondition = INITIAL.get(kind)({k: v for k, v in spec.items() if k != "kind"}, where, setting)
    return made


def resolve_list(spec: Sequence[Any], where: str, setting: InitialSetting) -> InitialCondition:
    """The initial condition of a list with one entry per component; errors as for `resolve_initial`."""
    if len(spec) != setting.components:
        text = f"{len(spec)} entries given for {setting.components} components"
        raise ConfigError([Problem(where, text)])
    parts: list[InitialCondition] = []
    faults: list[Problem] = []
    for component, (entry, location) in enumerate(zip(spec, setting.locations, strict=True)):
        try:
            parts.append(_resolve(entry, f"{where}[{component}]", replace(setting, locations=(location,))))
        except ConfigError as error:
            faults.extend(error.problems)
    if faults:
        raise ConfigError(faults)
    return PerComponent(where, parts)
