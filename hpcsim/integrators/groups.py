"""Fields that follow from the others by constraints or convolutions, in the order in which they can be found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hpcsim.errors import FormulaError, Problem
from hpcsim.integrators.scheme import renamed
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Solve
from hpcsim.sweeps.transforms import Convolve, Shared
from hpcsim.symbolic.convolution import Convolution, Kernel
from hpcsim.symbolic.discretize import Location
from hpcsim.symbolic.expr import Access, Expr, Symbol
from hpcsim.symbolic.system import Constraint


@dataclass(frozen=True)
class Group:
    """Fields that are found together.

    Attributes
    ----------
    name : str
        Name of the solver: the field, or the fields joined by ``_``.
    parts : tuple of Constraint or Convolution
        One per component; all of one kind, convolutions of one field only.
    reads : frozenset of str
        Other fields that are read.
    timed : bool
        Whether time occurs in them.
    """

    name: str
    parts: tuple[Constraint | Convolution, ...]
    reads: frozenset[str]
    timed: bool

    @property
    def fields(self) -> frozenset[str]:
        """Fields that are found."""
        return frozenset(part.field for part in self.parts)

    @property
    def integral(self) -> bool:
        """Whether it is a convolution."""
        return isinstance(self.parts[0], Convolution)

    def solve(self, discrete: Discrete, time: float, inputs: Mapping[str, str]) -> Solve | Convolve:
        """The way to the fields at a place of the step, from the given registers of other fields."""
        if self.integral:
            return Convolve(self.name, self._shared(discrete, inputs), time)
        return Solve(self.name, time, self.unknowns, self.residuals(discrete, inputs))

    @property
    def unknowns(self) -> tuple[tuple[str, int], ...]:
        """Field and component of every part."""
        return tuple((part.field, part.component) for part in self.parts)

    def residuals(self, discrete: Discrete, inputs: Mapping[str, str]) -> tuple[Expr, ...]:
        """What every part says, as discrete expressions over the given registers."""
        return tuple(renamed(_value(discrete, part), inputs) for part in self.parts)

    def _shared(self, discrete: Discrete, inputs: Mapping[str, str]) -> tuple[Shared, ...]:
        """Components by source and place; those whose kernel is zero stay zero."""
        found: dict[tuple[Expr, Location], list[tuple[int, Kernel, str]]] = {}
        for part, source in zip(self.parts, self.residuals(discrete, inputs), strict=True):
            if isinstance(part, Convolution) and not part.kernel.zero:
                key = source, discrete.system.locations[part.field][part.component]
                found.setdefault(key, []).append((part.component, part.kernel, part.mode))
        return tuple(Shared(*key, tuple(parts)) for key, parts in found.items())


def dependent_groups(discrete: Discrete) -> list[Group]:
    """All groups of a system, each after those that it reads; constraints that need each other are one group.

    Raises
    ------
    FormulaError
        If a convolution depends on itself, directly or through other fields.
    """
    own: dict[str, list[Constraint | Convolution]] = {}
    for part in discrete.system.following:
        own.setdefault(part.field, []).append(part)
    reads = {name: _fields(discrete, parts) for name, parts in own.items()}
    _refuse_circles(reads, frozenset(part.field for part in discrete.system.convolutions))
    reach = {name: _reachable(name, reads) - {name} for name in own}
    groups: list[Group] = []
    waiting = list(own)
    while waiting:
        name = next(n for n in waiting if all(m not in waiting or n in reach[m] for m in reach[n]))
        together = [name, *(m for m in waiting if m != name and m in reach[name])]
        parts = tuple(part for m in together for part in own[m])
        others = frozenset(field for m in together for field in reads[m]) - set(together)
        timed = any(node == Symbol("t") for part in parts for node in _value(discrete, part).walk())
        groups.append(Group("_".join(together), parts, others, timed))
        waiting = [m for m in waiting if m not in together]
    return groups


def moving_groups(groups: Iterable[Group], evolving: frozenset[str]) -> list[Group]:
    """Groups whose fields change in the course of a run."""
    changing = set(evolving)
    found = []
    for group in groups:
        if group.timed or group.reads & changing:
            found.append(group)
            changing |= group.fields
    return found


def needed_groups(groups: Iterable[Group], reads: Iterable[str]) -> list[Group]:
    """Groups whose fields are read, and those that they need in turn; in order."""
    wanted = set(reads)
    found: list[Group] = []
    for group in reversed(list(groups)):
        if group.fields & wanted:
            found.insert(0, group)
            wanted |= group.reads
    return found


def _reachable(name: str, reads: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Fields of groups that a field depends on, directly or through others."""
    found: set[str] = set()
    front = {name}
    while front:
        front = {m for n in front for m in reads[n] if m in reads} - found
        found |= front
    return frozenset(found)


def _refuse_circles(reads: Mapping[str, frozenset[str]], integrals: frozenset[str]) -> None:
    problems = []
    for name in reads:
        if name in integrals and name in _reachable(name, reads):
            others = [m for m in sorted(_reachable(name, reads)) if m != name and name in _reachable(m, reads)]
            through = f" through {', '.join(others)}" if others else ""
            text = f"depends on itself{through}; a convolution must follow from fields that do not need it"
            problems.append(Problem(f"model.convolutions.{name}", text))
    if problems:
        raise FormulaError(problems)


def _fields(discrete: Discrete, parts: Iterable[Constraint | Convolution]) -> frozenset[str]:
    """Fields that are read."""
    known = discrete.system.locations
    nodes = (node for part in parts for node in _value(discrete, part).walk())
    return frozenset(node.register for node in nodes if isinstance(node, Access) and node.register in known)


def _value(discrete: Discrete, part: Constraint | Convolution) -> Expr:
    """Residual or source of a component, where the component lives."""
    location = discrete.system.locations[part.field][part.component]
    return discrete.discretizer(part.source if isinstance(part, Convolution) else part.residual, location)
