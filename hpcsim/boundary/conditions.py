"""From the configuration to one condition per field, component, axis and side; all faults are reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcsim.boundary.base import SIDES, BoundaryCondition, Damping, Wall, make_layers
from hpcsim.boundary.options import Entry, Reader, read_entry
from hpcsim.boundary.values import Parameters
from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.symbolic.operators import AXES

Ends = dict[tuple[int, int], Entry]
"""Axis and side to the condition given for it."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of a run; make them with `resolve`.

    Attributes
    ----------
    table : mapping
        (field, component, axis, side) to the condition; periodic axes have none.
    """

    table: Mapping[tuple[str, int, int, int], BoundaryCondition] = field(default_factory=dict)

    def at(self, field: str, component: int, axis: int, side: int) -> BoundaryCondition:
        """The condition of a component at one end of a bounded axis (side 0 lower, 1 upper)."""
        return self.table[field, component, axis, side]

    def damping(self, field: str, component: int = 0) -> tuple[Damping, ...]:
        """Absorbing layers of a component, one per wall that has one; their rates add up."""
        found = (c.damping(component) for key, c in self.table.items() if key[:2] == (field, component))
        return tuple(layer for layer in found if layer is not None)


def periodic_axes(boundary: object, ndim: int) -> tuple[bool, ...]:
    """Which axes close on themselves.

    Parameters
    ----------
    boundary : str, mapping or sequence
        The key ``lattice.boundary``: a condition for all axes, a table from axis to a condition or to a pair of
        conditions (lower, upper), or one such pair. A condition is a name or a table with the key ``type``; axes that
        are left out are periodic.
    ndim : int
        Number of axes.

    Raises
    ------
    ConfigError
        With every unknown axis or condition, and every axis that is periodic on one side only.

    Examples
    --------
    >>> periodic_axes({"x": "outflow", "y": ["periodic", "periodic"]}, 3)
    (False, True, True)
    """
    problems: list[Problem] = []
    ends = _lattice_ends(boundary, ndim, problems)
    closed = []
    for axis in range(ndim):
        sides = [ends[axis, side].kind.periodic for side in range(len(SIDES)) if (axis, side) in ends]
        if len(set(sides)) > 1:
            text = f"axis {AXES[axis]} is periodic on one side only; give 'periodic' for both sides or for none"
            problems.append(Problem(f"lattice.boundary.{AXES[axis]}", text))
        closed.append(all(sides))
    if problems:
        raise ConfigError(problems)
    return tuple(closed)


def resolve(
    boundary: object,
    fields: Mapping[str, Any],
    specs: Sequence[FieldSpec],
    domain: Domain,
    parameters: Parameters | None = None,
    ghost: int = 1,
) -> Conditions:
    """The condition of every field, component, axis and side.

    Parameters
    ----------
    boundary : str, mapping or sequence
        The key ``lattice.boundary``, see `periodic_axes`.
    fields : mapping
        The table ``boundary``: field (or component ``V_x``) to a table with the keys ``all``, ``x``, ``x_lower``,
        ``x_upper``, ``y``, ...; the more special key wins, a component over its field.
    specs : sequence of FieldSpec
        The fields of the run.
    domain : Domain
        The lattice; its periodic axes must be those of `boundary`.
    parameters : mapping, optional
        Parameters of the model that formulas may use.
    ghost : int, default 1
        Ghost layers that every condition must be able to fill.

    Returns
    -------
    Conditions
        One per bounded end.

    Raises
    ------
    ConfigError
        With every fault: unknown fields, sides, conditions and keys, missing or wrong values, formulas that cannot be
        read, conditions on periodic axes, ``periodic`` on bounded ones.

    Examples
    --------
    >>> domain = Domain((8,), (0,), (1,), (False,))
    >>> table = {"u": {"x_lower": {"type": "dirichlet", "value": "sin(t)"}}}
    >>> found = resolve("outflow", table, [FieldSpec("u")], domain)
    >>> type(found.at("u", 0, 0, 0)).__name__, type(found.at("u", 0, 0, 1)).__name__
    ('Dirichlet', 'Outflow')
    """
    problems: list[Problem] = []
    base = _lattice_ends(boundary, domain.ndim, problems)
    tables = _tables(fields, specs, domain, problems)
    table: dict[tuple[str, int, int, int], BoundaryCondition] = {}
    reader = Reader(parameters or {}, domain.ndim)
    for spec in specs:
        made: dict[tuple[int, int, str], BoundaryCondition | None] = {}
        for component in range(spec.components):
            ends = {**base, **tables.get((spec.name, None), {}), **tables.get((spec.name, component), {})}
            for (axis, side), entry in sorted(ends.items()):
                key = (axis, side, entry.where)
                if key not in made:
                    made[key] = _make(spec, domain, axis, side, entry, reader, problems)
                condition = made[key]
                if condition is not None:
                    table[spec.name, component, axis, side] = condition
                    _check(condition, spec, component, ghost, problems)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Conditions(table)


def _make(
    spec: FieldSpec, domain: Domain, axis: int, side: int, entry: Entry, reader: Reader, problems: list[Problem]
) -> BoundaryCondition | None:
    """The condition of one end, or None on a periodic axis or after a fault."""
    name = AXES[axis]
    if entry.kind.periodic != domain.periodic[axis]:
        if domain.periodic[axis]:
            text = f"axis {name} is periodic, so it has no wall for '{entry.name}'; "
            text += f"set lattice.boundary.{name} to a condition first"
        else:
            text = f"axis {name} has walls; an axis is periodic for all fields, by lattice.boundary.{name}"
        problems.append(Problem(entry.where, text))
        return None
    try:
        options = reader.options(entry, spec.components)
    except ConfigError as error:
        problems.extend(error.problems)
        return None
    if entry.kind.periodic:
        return None
    return entry.kind(Wall(domain, spec.name, spec.components, axis, side, entry.where), options)


def _check(condition: BoundaryCondition, spec: FieldSpec, component: int, ghost: int, problems: list[Problem]) -> None:
    """Ask a condition for all it must know, and note what it refuses."""
    staggered = bool(spec.locations(condition.wall.domain.ndim)[component][condition.wall.axis])
    try:
        condition.damping(component)
        if not condition.has_callback:
            make_layers(condition, ghost, component, staggered)
    except ConfigError as error:
        problems.extend(error.problems)
    except NotImplementedError as error:
        problems.append(Problem(condition.wall.where, str(error)))


def _lattice_ends(boundary: object, ndim: int, problems: list[Problem]) -> Ends:
    """What ``lattice.boundary`` gives for each end; axes left out are periodic."""
    where = "lattice.boundary"
    if isinstance(boundary, Mapping) and "type" not in boundary:
        ends: Ends = {}
        for axis, name in enumerate(AXES[:ndim]):
            ends |= _pair(boundary.get(name, "periodic"), f"{where}.{name}", [axis], problems)
        for key in boundary:
            if key not in AXES[:ndim]:
                text = unknown_name("axis", str(key), AXES[:ndim]) + f" (the lattice has {ndim} axes)"
                problems.append(Problem(f"{where}.{key}", text))
        return ends
    return _pair(boundary, where, range(ndim), problems)


def _pair(given: object, where: str, axes: Sequence[int], problems: list[Problem]) -> Ends:
    """One condition for both ends, or a pair of conditions, on some axes."""
    if isinstance(given, (list, tuple)):
        if len(given) != len(SIDES):
            problems.append(Problem(where, f"{len(given)} conditions given; write [lower, upper]"))
            return {}
        items = [(side, value, f"{where}[{side}]") for side, value in enumerate(given)]
    else:
        items = [(side, given, where) for side in range(len(SIDES))]
    ends: Ends = {}
    for side, value, place in items:
        try:
            entry = read_entry(value, place)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            ends |= {(axis, side): entry for axis in axes}
    return ends


def _tables(
    fields: Mapping[str, Any], specs: Sequence[FieldSpec], domain: Domain, problems: list[Problem]
) -> dict[tuple[str, int | None], Ends]:
    """What the table ``boundary`` gives for each field (component None) and component."""
    targets = dict(_targets(specs))
    found: dict[tuple[str, int | None], Ends] = {}
    for name, table in fields.items():
        where = f"boundary.{name}"
        if name not in targets:
            problems.append(Problem(where, unknown_name("field", str(name), targets)))
        elif not isinstance(table, Mapping):
            text = f"{table!r} is not a table of sides; write x = ..., x_lower = ... or all = ..."
            problems.append(Problem(where, text))
        else:
            found[targets[name]] = _field_ends(table, where, domain, problems)
    return found


def _targets(specs: Sequence[FieldSpec]) -> Iterator[tuple[str, tuple[str, int | None]]]:
    """Names that a table may have: fields, and components of those that have several."""
    for spec in specs:
        yield spec.name, (spec.name, None)
        if 1 < spec.components <= len(AXES):
            for component in range(spec.components):
                yield f"{spec.name}_{AXES[component]}", (spec.name, component)


def _field_ends(table: Mapping[str, Any], where: str, domain: Domain, problems: list[Problem]) -> Ends:
    """Ends of one table; keys for both sides first, those for one side override them."""
    names = AXES[: domain.ndim]
    bounded = [axis for axis in range(domain.ndim) if not domain.periodic[axis]]
    allowed = ["all", *(key for name in names for key in (name, f"{name}_lower", f"{name}_upper"))]
    for key in table:
        if key not in allowed:
            text = unknown_name("side", str(key), allowed) + f" (the lattice has {domain.ndim} axes)"
            problems.append(Problem(f"{where}.{key}", text))
    if "all" in table and not bounded:
        problems.append(Problem(f"{where}.all", "every axis is periodic, there is no wall; see lattice.boundary"))
    ends = _pair(table["all"], f"{where}.all", bounded, problems) if "all" in table else {}
    for axis, name in enumerate(names):
        if name in table:
            ends |= _pair(table[name], f"{where}.{name}", [axis], problems)
        for side, suffix in enumerate(SIDES):
            key = f"{name}_{suffix}"
            if key in table:
                try:
                    ends[axis, side] = read_entry(table[key], f"{where}.{key}")
                except ConfigError as error:
                    problems.extend(error.problems)
    return ends
