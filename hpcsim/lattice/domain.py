"""The box of space that is simulated: cells per axis, its corners, and which axes close on themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import LayoutError, Problem
from hpcsim.lattice.check import axis_name, whole_numbers

MAX_AXES = 4
MAX_SITES = 2**62


@dataclass(frozen=True)
class Domain:
    """A rectangular lattice of cells.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis, 1 to 4 axes.
    lower, upper : tuple of float
        Corners, in the length unit of the model; `upper` above `lower` on every axis.
    periodic : tuple of bool
        Whether the axis closes on itself.

    Raises
    ------
    LayoutError
        If the numbers cannot describe a lattice; every fault is listed.

    Examples
    --------
    >>> domain = Domain((4, 8), (0.0, 0.0), (1.0, 1.0), (True, False))
    >>> domain.spacing, domain.cell_volume
    ((0.25, 0.125), 0.03125)
    >>> domain.coordinate(0, 1, staggered=False)
    0.375
    """

    shape: tuple[int, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    periodic: tuple[bool, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", whole_numbers(self.shape, "lattice.shape", 1, MAX_SITES))
        for name, convert in (("lower", float), ("upper", float), ("periodic", bool)):
            values = getattr(self, name)
            if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
                raise LayoutError([Problem(f"lattice.{name}", f"{values!r} is not a list, one entry per axis")])
            object.__setattr__(self, name, _converted(values, convert, f"lattice.{name}"))
        problems = self._problems()
        if problems:
            raise LayoutError(problems)

    def _problems(self) -> list[Problem]:
        """Everything that is wrong with the numbers taken together."""
        axes = len(self.shape)
        if not 1 <= axes <= MAX_AXES:
            return [Problem("lattice.shape", f"{axes} axes given; allowed: 1 to {MAX_AXES}")]
        problems = [
            Problem(f"lattice.{name}", f"{len(getattr(self, name))} entries for {axes} axes; give one per axis")
            for name in ("lower", "upper", "periodic")
            if len(getattr(self, name)) != axes
        ]
        # One more plane per axis: a staggered component of a bounded domain must still have 64-bit site numbers.
        sites = math.prod(n + 1 for n in self.shape)
        if sites > MAX_SITES:
            problems.append(Problem("lattice.shape", f"{self.shape} has about {sites:.3g} sites; at most 2**62"))
        for axis, (low, high) in enumerate(zip(self.lower, self.upper, strict=False)):
            if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low) and high > low):
                text = f"axis {axis_name(axis)} runs from {low} to {high}; both must be finite and upper above lower"
                problems.append(Problem("lattice.upper", text))
        return problems

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Cell width per axis, in the length unit of the corners."""
        return tuple((b - a) / n for a, b, n in zip(self.lower, self.upper, self.shape, strict=True))

    @cached_property
    def cell_volume(self) -> float:
        """Product of the spacings."""
        return math.prod(self.spacing)

    @overload
    def coordinate(self, axis: int, index: int, staggered: bool) -> float: ...

    @overload
    def coordinate(self, axis: int, index: NDArray[np.int64], staggered: bool) -> NDArray[np.float64]: ...

    def coordinate(self, axis: int, index: int | NDArray[np.int64], staggered: bool) -> float | NDArray[np.float64]:
        """Position of a site along an axis; every user of coordinates calls this, so all ranks round alike.

        Parameters
        ----------
        axis : int
            Axis number.
        index : int or ndarray
            Global index of the site; ghost indices outside the domain are allowed.
        staggered : bool
            True for the lower plane of a cell, False for its centre.

        Returns
        -------
        float or ndarray
            ``lower + (index + (0 if staggered else 0.5)) * spacing``, of the shape of `index`.
        """
        return self.lower[axis] + (index + (0.0 if staggered else 0.5)) * self.spacing[axis]


def _converted(values: tuple[object, ...], convert: type, where: str) -> tuple[object, ...]:
    """The entries as floats or bools, with the key named when one is neither."""
    try:
        return tuple(convert(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise LayoutError([Problem(where, f"{values!r} must hold one number per axis")]) from None
