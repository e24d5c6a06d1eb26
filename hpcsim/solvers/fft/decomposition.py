"""Who holds what while the axes of a transform become whole one after the other.

The last axis is whole first, the first axis last. A grid of ranks with one part number per axis but the last cuts the
axes that are not whole: those still to come by their own number, those already transformed by the number of the axis
before (Dalcin, Mortensen and Keyes, "Fast parallel multidimensional FFT using advanced MPI", J. Parallel Distrib.
Comput. 128, 2019). One number above 1 gives slabs, two give pencils.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpcsim.lattice.box import Box
from hpcsim.lattice.cut import factorisations
from hpcsim.lattice.pencils import cut

Grid = tuple[int, ...]

_TRANSPOSE = 0.15
"""Price of one more transposition, as a share of the rest of the work."""


def choose_grid(sites: Sequence[int], modes: Sequence[int], ranks: int) -> Grid:
    """Parts per axis but the last: even shares first, then few cuts.

    Parameters
    ----------
    sites, modes : sequence of int
        Extents before and after the transform.
    ranks : int
        Most parts in all.

    Examples
    --------
    >>> choose_grid((64, 64, 64), (64, 64, 33), 4), choose_grid((8, 8, 64), (8, 8, 33), 32)
    ((4, 1), (8, 4))
    """
    limits = tuple(max(1, min(n, m)) for n, m in zip(sites[:-1], modes[1:], strict=True))
    best: Grid = (1,) * len(limits)
    if not limits or 0 in sites:
        return best

    def rating(grid: Grid) -> tuple[float, Grid]:
        cuts = sum(parts > 1 for parts in grid)
        return largest(sites, modes, grid) * (1.0 + _TRANSPOSE * cuts), tuple(-parts for parts in grid)

    for parts in range(min(ranks, math.prod(limits)), 1, -1):
        if rating(best)[0] * parts < math.prod(sites):
            break
        best = min([best, *factorisations(parts, limits)], key=rating)
    return best


def largest(sites: Sequence[int], modes: Sequence[int], grid: Grid) -> int:
    """Entries of the largest box over all ranks and all moments."""
    found = 0
    for axis in range(len(sites)):
        extents = zip(shape_at(sites, modes, axis), grid_at(grid, axis), strict=True)
        found = max(found, math.prod(-(-n // parts) for n, parts in extents))
    return found


def shape_at(sites: Sequence[int], modes: Sequence[int], axis: int) -> tuple[int, ...]:
    """Extents when an axis is about to be transformed: sites up to it, modes behind it."""
    return (*sites[: axis + 1], *modes[axis + 1 :])


def grid_at(grid: Grid, axis: int) -> Grid:
    """Parts of every axis while one is whole.

    Examples
    --------
    >>> grid_at((4, 2), 1)
    (4, 1, 2)
    """
    return (*grid[:axis], 1, *grid[axis:])


def boxes_at(shape: tuple[int, ...], grid: Grid, axis: int, ranks: int) -> tuple[Box, ...]:
    """Box of every rank while an axis is whole; all ranks hold all of a lattice with one axis."""
    if len(shape) == 1:
        return (((0,), shape),) * ranks
    return cut(shape, grid_at(grid, axis), ranks)
