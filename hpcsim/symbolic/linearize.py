"""The linearised form of discrete residuals: which site couples to which, with what weight, and its kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_

from hpcsim.symbolic.expr import ZERO, Access, Coordinate, Expr, Mul, mul, transform
from hpcsim.symbolic.simplify import invariant, normal_form
from hpcsim.symbolic.stability import JacobianEntry, Unknown, jacobian

Offset = tuple[int, ...]


@dataclass(frozen=True)
class Linearization:
    """Jacobian of residuals with respect to unknown registers.

    Attributes
    ----------
    unknowns : tuple of (str, int)
        Register and component of each unknown of a site; residual ``i`` belongs to unknown ``i``.
    entries : tuple of JacobianEntry
        Derivatives that are not zero, sorted by row, column and offset.

    Examples
    --------
    >>> def u(i):
    ...     return Access("u", 0, (i,))
    >>> found = linearize([u(-1) - 2 * u(0) + u(1) - Access("f", 0, (0,))], [("u", 0)])
    >>> found.linear, found.constant, found.star, found.symmetric, found.kind
    (True, True, True, True, 'elliptic')
    """

    unknowns: tuple[Unknown, ...]
    entries: tuple[JacobianEntry, ...]

    @property
    def size(self) -> int:
        """Unknowns per site."""
        return len(self.unknowns)

    @cached_property
    def linear(self) -> bool:
        """Whether no coefficient depends on an unknown."""
        return not any(
            isinstance(node, Access) and (node.register, node.component) in self.unknowns
            for entry in self.entries
            for node in entry.coefficient.walk()
        )

    @cached_property
    def constant(self) -> bool:
        """Whether every coefficient is the same at all sites."""
        return all(invariant(entry.coefficient) for entry in self.entries)

    @cached_property
    def pointwise(self) -> bool:
        """Whether no site couples to another."""
        return not any(any(entry.offset) for entry in self.entries)

    @cached_property
    def star(self) -> bool:
        """Whether there is one unknown per site, coupled to its next neighbours along the axes only."""
        return self.size == 1 and all(sum(map(abs, entry.offset)) <= 1 for entry in self.entries)

    @cached_property
    def symmetric(self) -> bool:
        """Whether the matrix of an unbounded lattice is symmetric by the form of its coefficients."""
        known = {(e.row, e.column, e.offset): e.coefficient for e in self.entries}
        return all(
            shifted(known.get((c, r, tuple(-step for step in o)), ZERO), o) == value
            for (r, c, o), value in known.items()
        )

    @cached_property
    def kind(self) -> str:
        """What the operator is, for the choice of a solver.

        ``pointwise`` couples no sites, ``elliptic`` has second differences of every unknown, whatever multiplies a row,
        and no coupling between unknowns, ``coupled`` couples several unknowns, ``general`` is the rest.
        """
        if self.pointwise:
            return "pointwise"
        if all(self._second_differences(row) for row in range(self.size)):
            return "elliptic" if self.size == 1 or self._triangular else "coupled"
        return "coupled" if self.size > 1 else "general"

    def weight(self, row: int, column: int, offset: Offset) -> Expr:
        """Coefficient of a neighbour, zero if it has none."""
        return next((e.coefficient for e in self.entries if (e.row, e.column, e.offset) == (row, column, offset)), ZERO)

    @property
    def _triangular(self) -> bool:
        """Whether the unknowns do not couple."""
        return all(entry.row == entry.column for entry in self.entries)

    def _second_differences(self, row: int) -> bool:
        """Whether an unknown couples to itself on both sides, equally up to a shift by one site and a factor."""
        sides = {e.offset: e.coefficient for e in self.entries if e.row == e.column == row and any(e.offset)}
        sides = dict(zip(sides, _without_common_factors(list(sides.values())), strict=True))
        return bool(sides) and all(
            shifted(sides.get(tuple(-step for step in offset), ZERO), offset) == value
            for offset, value in sides.items()
        )


def _without_common_factors(coefficients: Sequence[Expr]) -> list[Expr]:
    """The coefficients of a row divided by the factors that all have, which multiply the whole row."""
    factors = [Counter(c.args) if isinstance(c, Mul) else Counter([c]) for c in coefficients]
    common = reduce(and_, factors) if factors else Counter[Expr]()
    return [mul(*(own - common).elements()) for own in factors]


def linearize(residuals: Sequence[Expr], unknowns: Sequence[Unknown]) -> Linearization:
    """Differentiate residuals with respect to every read of every unknown.

    Parameters
    ----------
    residuals : sequence of Expr
        Discrete expressions, one per unknown.
    unknowns : sequence of (str, int)
        Register and component.
    """
    entries = sorted(jacobian(residuals, unknowns), key=lambda e: (e.row, e.column, e.offset))
    return Linearization(tuple(unknowns), tuple(entries))


def shifted(expr: Expr, by: Offset) -> Expr:
    """The same expression for a site that lies `by` sites away, in normal form."""

    def visit(node: Expr) -> Expr | None:
        if isinstance(node, Access):
            return Access(node.register, node.component, tuple(a + b for a, b in zip(node.offset, by, strict=True)))
        if isinstance(node, Coordinate):
            return Coordinate(node.axis, node.offset + by[node.axis], node.staggered)
        return None

    return normal_form(transform(expr, visit)) if expr != ZERO else ZERO
