"""Interpolation and restriction along one axis, tabulated.

The sites of the coarse axis are equally spaced and need not be sites of the fine one. Interpolation is linear.
Restriction is the mean of the residual over the volume of the coarse site. On nested cells these are the mean of two
and the weights 3/4, 1/4; on nested vertices full weighting and the weights 1, 1/2. Together they are of order three,
enough for operators of second order (Trottenberg, Oosterlee, Schueller, Multigrid, 2001, section 2.7).

Positions are integers in units of ``length / (2 * fine cells * coarse cells)``, so nothing is decided by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.grid import Axis

TAPS = 3
"""Most fine sites that a coarse site takes its residual from."""

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Transfer:
    """Transfers between an axis and the coarser one.

    Attributes
    ----------
    fine, coarse : Axis
        Both axes; the same object if this axis is not coarsened.
    """

    fine: Axis
    coarse: Axis

    @property
    def same(self) -> bool:
        """Whether the axis is not coarsened."""
        return self.fine is self.coarse

    @property
    def nested(self) -> bool:
        """Whether every coarse cell is two fine ones."""
        return self.fine.cells == 2 * self.coarse.cells

    def interpolation(self, index: Indices) -> tuple[Indices, Values]:
        """Coarse site below, and weight of the one above it, for fine sites.

        Parameters
        ----------
        index : int64 array
            Fine sites; on a periodic axis any integers, continued periodically.

        Returns
        -------
        below : int64 array
            Coarse site j; the value is ``(1 - weight)*u[j] + weight*u[j + 1]``. It is -1 below the first coarse site
            and `coarse.count - 1` above the last one: there the ghost follows from the end of the axis.
        weight : float64 array

        Examples
        --------
        >>> Transfer(Axis(8, 0.5, False, None), Axis(4, 1.0, False, None)).interpolation(np.arange(3))
        (array([-1,  0,  0]), array([0.75, 0.25, 0.75]))
        """
        if self.same:
            return index.copy(), np.zeros(len(index))
        many, few = self.fine.cells, self.coarse.cells
        if self.fine.vertex:
            position = 2 * few * (index + self.fine.first) - 2 * many * self.coarse.first
        else:
            position = few * (2 * index + 1) - many
        below = position // (2 * many)
        return below, (position - 2 * many * below) / (2 * many)

    def restriction(self, index: Indices) -> tuple[Indices, Values]:
        """First fine site and the weights of that and the following ones, for coarse sites.

        Parameters
        ----------
        index : int64 array
            Coarse sites; on a periodic axis any integers.

        Returns
        -------
        first : int64 array
        weights : float64 array
            Shape (coarse sites, `TAPS`); the rows of all sites away from walls sum to 1.

        Examples
        --------
        >>> Transfer(Axis(8, 0.5, False, None), Axis(4, 1.0, False, None)).restriction(np.arange(2))[0]
        array([0, 2])
        """
        if self.same:
            weights = np.zeros((len(index), TAPS))
            weights[:, 0] = 1.0
            return index.copy(), weights
        lower, upper = _volumes(self.coarse, index, self.fine.cells)
        size = 2 * self.coarse.cells
        shift = self.coarse.cells if self.fine.vertex else 0
        # The fine site whose volume holds the lower edge.
        first = (lower + shift) // size - self.fine.first
        if self.fine.ends is not None:
            first = np.maximum(first, 0)
        weights = np.zeros((len(index), TAPS))
        for tap in range(TAPS):
            site = first + tap
            a, b = _volumes(self.fine, site, self.coarse.cells)
            share = np.minimum(b, upper) - np.maximum(a, lower)
            if self.fine.ends is not None:
                share = np.where(site < self.fine.count, share, 0)
            weights[:, tap] = np.maximum(share, 0) / (upper - lower)
        return first, weights

    def owner(self, index: Indices) -> Indices:
        """The fine site that decides on which rank a coarse site lives.

        Examples
        --------
        >>> Transfer(Axis(8, 0.5, False, None), Axis(4, 1.0, False, None)).owner(np.arange(4))
        array([0, 2, 4, 6])
        """
        first, weights = self.restriction(index)
        inside: Indices = first + (np.count_nonzero(weights, axis=1) - 1) // 2
        return inside


def _volumes(axis: Axis, index: Indices, other: int) -> tuple[Indices, Indices]:
    """Edges of the volumes of sites; on walls that are sites the volume ends at the wall."""
    size = 2 * other
    if not axis.vertex:
        return size * index, size * (index + 1)
    middle = size * (index + axis.first)
    lower, upper = middle - other, middle + other
    if axis.ends is not None:
        lower, upper = np.maximum(lower, 0), np.minimum(upper, size * axis.cells)
    return lower, upper
