"""Constraints beside a time scheme: solved before every stage that reads their unknowns, and for looks at the state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hpcsim.integrators.scheme import Scheme, renamed
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.joint import Part
from hpcsim.sweeps.sweep import Solve, Stage
from hpcsim.symbolic.expr import Access, Expr, Symbol
from hpcsim.symbolic.system import Constraint


@dataclass(frozen=True)
class Group:
    """Constraints that are solved together.

    Attributes
    ----------
    name : str
        Name of the solver: the field, or the fields joined by ``_``.
    constraints : tuple of Constraint
        One per component.
    reads : frozenset of str
        Other fields that the residuals read.
    timed : bool
        Whether time occurs in them.
    """

    name: str
    constraints: tuple[Constraint, ...]
    reads: frozenset[str]
    timed: bool

    @property
    def fields(self) -> frozenset[str]:
        """Fields that are solved for."""
        return frozenset(constraint.field for constraint in self.constraints)

    def solve(self, discrete: Discrete, time: float, inputs: Mapping[str, str]) -> Solve:
        """The solve at a place of the step, from the given registers of other fields."""
        residuals = tuple(renamed(_residual(discrete, c), inputs) for c in self.constraints)
        return Solve(self.name, time, tuple((c.field, c.component) for c in self.constraints), residuals)


def with_constraints(scheme: Scheme, discrete: Discrete) -> Scheme:
    """A scheme that keeps the constraints of its system.

    All are solved at the start. One that depends on evolving fields or on time is solved again before every stage that
    reads its unknowns, from the values that the stage works on, and before every look at the state. An implicit stage
    that reads its unknowns is solved together with it.
    """
    groups = constraint_groups(discrete)
    if not groups:
        return scheme
    start = tuple(group.solve(discrete, 0.0, {}) for group in groups)
    moving = _moving(groups, frozenset(discrete.system.orders))
    stages: list[Part] = []
    for stage in scheme.stages:
        if isinstance(stage, Stage):
            stages += _solves(stage, moving, discrete)
        stages.append(_joined(stage, moving, discrete) if isinstance(stage, Solve) else stage)
    opening = (_joined(stage, moving, discrete) if isinstance(stage, Solve) else stage for stage in scheme.start)
    looks = tuple(group.solve(discrete, 0.0, {}) for group in moving)
    return replace(scheme, start=(*start, *opening), stages=tuple(stages), constraints=looks)


def stationary(discrete: Discrete) -> Scheme:
    """The scheme of a system without time derivatives: nothing moves."""
    return Scheme("stationary", 1, {}, frozenset(), (), (), lambda spectrum: math.inf)


def constraint_groups(discrete: Discrete) -> list[Group]:
    """Constraints in an order in which each finds what it reads; those that need each other are one group."""
    own: dict[str, list[Constraint]] = {}
    for constraint in discrete.system.constraints:
        own.setdefault(constraint.field, []).append(constraint)
    reads = {name: _fields(discrete, constraints) for name, constraints in own.items()}
    reach = {name: _reachable(name, reads) for name in own}
    groups: list[Group] = []
    waiting = list(own)
    while waiting:
        name = next(n for n in waiting if all(m not in waiting or n in reach[m] for m in reach[n]))
        together = [name, *(m for m in waiting if m != name and m in reach[name])]
        constraints = tuple(c for m in together for c in own[m])
        others = frozenset(field for m in together for field in reads[m]) - set(together)
        timed = any(node == Symbol("t") for c in constraints for node in c.residual.walk())
        groups.append(Group("_".join(together), constraints, others, timed))
        waiting = [m for m in waiting if m not in together]
    return groups


def _reachable(name: str, reads: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Constrained fields that a constraint depends on, directly or through others, itself left out."""
    found: set[str] = set()
    front = {name}
    while front:
        front = {m for n in front for m in reads[n] if m in reads} - found
        found |= front
    return frozenset(found - {name})


def _fields(discrete: Discrete, constraints: Iterable[Constraint]) -> frozenset[str]:
    """Fields that residuals read."""
    known = discrete.system.locations
    nodes = (node for c in constraints for node in _residual(discrete, c).walk())
    return frozenset(node.register for node in nodes if isinstance(node, Access) and node.register in known)


def _residual(discrete: Discrete, constraint: Constraint) -> Expr:
    location = discrete.system.locations[constraint.field][constraint.component]
    return discrete.discretizer(constraint.residual, location)


def _moving(groups: Iterable[Group], evolving: frozenset[str]) -> list[Group]:
    """Groups whose solution changes in the course of a run."""
    changing = set(evolving)
    found = []
    for group in groups:
        if group.timed or group.reads & changing:
            found.append(group)
            changing |= group.fields
    return found


def _solves(stage: Stage | Solve, groups: list[Group], discrete: Discrete) -> list[Solve]:
    """The constraints that a stage needs, taken from the values it works on."""
    return [group.solve(discrete, stage.time, stage.inputs) for group in _needed(groups, _reads(stage))]


def _joined(stage: Solve, groups: list[Group], discrete: Discrete) -> Solve:
    """An implicit stage with the constraints that it needs as further equations of the same solve."""
    parts = [stage, *_solves(stage, groups, discrete)]
    unknowns = tuple(unknown for part in parts for unknown in part.unknowns)
    return replace(stage, unknowns=unknowns, residuals=tuple(residual for part in parts for residual in part.residuals))


def _reads(stage: Stage | Solve) -> frozenset[str]:
    """Registers that a stage reads."""
    return frozenset(node.register for value in stage.values for node in value.walk() if isinstance(node, Access))


def _needed(groups: Iterable[Group], reads: frozenset[str]) -> list[Group]:
    """Groups whose unknowns are read, and those that they need in turn; in order."""
    wanted = set(reads)
    found: list[Group] = []
    for group in reversed(list(groups)):
        if group.fields & wanted:
            found.insert(0, group)
            wanted |= group.reads
    return found
