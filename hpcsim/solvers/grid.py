"""Star-shaped operators on rectangular grids of unknowns: what the native solvers are given.

A star operator couples a site with its two neighbours on every axis,
``(A u)[i] = centre*u[i] + sum over axes a of (lower[a]*u[i - e_a] + upper[a]*u[i + e_a])``.
At the ends of a bounded axis the missing neighbour follows from the boundary condition without its given value: the
value belongs to the right-hand side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hpcsim.errors import ConfigError

Weight = float | NDArray[Any]
"""A number, or the values at the sites of the local box."""


@dataclass(frozen=True)
class End:
    """Homogeneous condition ``alpha*u + beta*du/dn = 0`` at one end of a bounded axis, n pointing outwards.

    Attributes
    ----------
    alpha, beta : float
        Dirichlet is (1, 0), Neumann (0, 1), anything else Robin; `beta` in length times the unit of `alpha`.

    Examples
    --------
    >>> End(1.0, 0.0).mirror(0.1), End(0.0, 1.0).mirror(0.1)
    (-1.0, 1.0)
    """

    alpha: float
    beta: float

    def mirror(self, spacing: float) -> float:
        """Ghost over its mirror image on a cell-centred axis.

        Raises
        ------
        ConfigError
            If the condition leaves the ghost undetermined at this spacing.
        """
        mean, slope = self.alpha / 2, self.beta / spacing
        if abs(mean + slope) <= 1e-12 * max(abs(mean), abs(slope)):
            raise ConfigError(f"alpha = {self.alpha:g}, beta = {self.beta:g} have no solution at spacing {spacing:g}")
        return (slope - mean) / (mean + slope)

    def wall(self, spacing: float) -> float:
        """Ghost minus its mirror image over the site on the wall, on a vertex-centred axis with `beta` not zero."""
        return -2.0 * spacing * self.alpha / self.beta

    @property
    def fixed(self) -> bool:
        """Whether a site on the wall is given and no unknown."""
        return self.beta == 0.0


@dataclass(frozen=True)
class Axis:
    """The unknowns along one axis.

    Attributes
    ----------
    count : int
        Unknowns.
    spacing : float
        Distance between them.
    vertex : bool
        Whether they lie on the planes between cells (and on walls), else at the centres of cells.
    ends : tuple of End or None
        Lower and upper end; None on a periodic axis.
    first : int
        Global site index of the first unknown: 1 where a wall plane is fixed, else 0.

    Examples
    --------
    >>> Axis.of_cells(8, 0.125, (End(1, 0), End(1, 0)), vertex=True)
    Axis(count=7, spacing=0.125, vertex=True, ends=(End(alpha=1, beta=0), End(alpha=1, beta=0)), first=1)
    """

    count: int
    spacing: float
    vertex: bool
    ends: tuple[End, End] | None
    first: int = 0

    @classmethod
    def of_cells(cls, cells: int, spacing: float, ends: tuple[End, End] | None, vertex: bool = False) -> Axis:
        """The axis of a field on so many cells."""
        if ends is None or not vertex:
            return cls(cells, spacing, vertex, ends)
        return cls(cells + 1 - ends[0].fixed - ends[1].fixed, spacing, True, ends, int(ends[0].fixed))

    @property
    def cells(self) -> int:
        """Cells of the axis."""
        if self.ends is None or not self.vertex:
            return self.count
        return self.count - 1 + self.ends[0].fixed + self.ends[1].fixed


@dataclass(frozen=True)
class Star:
    """A star-shaped operator for one scalar unknown per site.

    Attributes
    ----------
    axes : tuple of Axis
        One to four.
    lower, upper : tuple of float or ndarray
        Weight of the lower and the upper neighbour on each axis.
    centre : float or ndarray
        Weight of the site itself.

    Notes
    -----
    Arrays cover the box of this rank in the distribution of the solver, shape of the box, float64.
    """

    axes: tuple[Axis, ...]
    lower: tuple[Weight, ...]
    upper: tuple[Weight, ...]
    centre: Weight

    @property
    def shape(self) -> tuple[int, ...]:
        """Unknowns per axis."""
        return tuple(axis.count for axis in self.axes)

    @property
    def size(self) -> int:
        """Unknowns."""
        return math.prod(self.shape)

    @property
    def constant(self) -> bool:
        """Whether every weight is a number."""
        return all(isinstance(weight, (int, float)) for weight in (*self.lower, *self.upper, self.centre))


def laplacian(axes: tuple[Axis, ...], scale: float = 1.0, shift: float = 0.0) -> Star:
    """``scale*laplacian(u) + shift*u`` of second order.

    Examples
    --------
    >>> laplacian((Axis(4, 0.5, False, None),)).centre
    -8.0
    """
    sides = tuple(scale / axis.spacing**2 for axis in axes)
    return Star(axes, sides, sides, shift - 2.0 * sum(sides))
