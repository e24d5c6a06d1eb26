"""Weights along one axis with the ends of the axis folded in: what the loops are given for the neighbours of a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.grid import Axis, End

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """How a missing neighbour is replaced: ghost = `image` * (neighbour on the other side) + `own` * (site)."""

    image: float
    own: float


def fold(axis: Axis, end: End) -> Fold:
    """The replacement at one end of a bounded axis.

    Examples
    --------
    >>> fold(Axis(4, 0.5, False, (End(1, 0), End(0, 1))), End(0.0, 1.0))
    Fold(image=0.0, own=1.0)
    """
    if not axis.vertex:
        return Fold(0.0, end.mirror(axis.spacing))
    return Fold(0.0, 0.0) if end.fixed else Fold(1.0, end.wall(axis.spacing))


def folds(axis: Axis) -> tuple[Fold, Fold] | None:
    """Replacements at both ends; None on a periodic axis."""
    return None if axis.ends is None else (fold(axis, axis.ends[0]), fold(axis, axis.ends[1]))


def folded(axis: Axis, lower: float, upper: float) -> tuple[Values, Values, Values]:
    """Weights of the neighbours at every site of an axis, and what is added to the weight of the site.

    Parameters
    ----------
    axis : Axis
        The axis.
    lower, upper : float
        Weights away from the ends.

    Returns
    -------
    lower, upper, extra : float64 array
        One value per site; a neighbour that does not exist has weight zero.

    Examples
    --------
    >>> folded(Axis(3, 0.5, False, (End(1, 0), End(0, 1))), 1.0, 2.0)[2]
    array([-1.,  0.,  2.])
    """
    n = axis.count
    low, high, extra = np.full(n, float(lower)), np.full(n, float(upper)), np.zeros(n)
    ends = folds(axis)
    if ends is not None:
        low[0] = high[-1] = 0.0
        extra[0] += ends[0].own * lower
        extra[-1] += ends[1].own * upper
        if n > 1:
            high[0] += ends[0].image * lower
            low[-1] += ends[1].image * upper
    elif n == 1:
        # The site is its own neighbour.
        low[0] = high[0] = 0.0
        extra[0] = lower + upper
    return low, high, extra


def volumes(axis: Axis) -> Values:
    """Volumes of the sites in units of a cell: one half on a wall that is a site.

    Examples
    --------
    >>> volumes(Axis.of_cells(2, 0.5, (End(0, 1), End(0, 1)), vertex=True))
    array([0.5, 1. , 0.5])
    """
    size = np.ones(axis.count)
    if axis.vertex and axis.ends is not None:
        size[0] *= 1.0 if axis.ends[0].fixed else 0.5
        size[-1] *= 1.0 if axis.ends[1].fixed else 0.5
    return size
