"""Which axes of a level are coarsened, and the axes of the next level; pure functions of the axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpcsim.errors import ConfigError
from hpcsim.solvers.grid import Axis

DIRECT_SIZE = 160
"""Unknowns of the coarsest level; solving it directly costs less than one more level."""

LARGEST_DIRECT = 1000
"""Most unknowns for which an inverse is kept."""

MIN_CELLS = 4
"""An axis with fewer cells is coarse already."""

WEAK = 0.5
"""An axis that couples less than this share of the strongest is left alone until the others have caught up."""


def coarse_axis(axis: Axis) -> Axis:
    """The axis with half the cells, rounded up, of the same length; its sites need not be sites of the fine one.

    Examples
    --------
    >>> from hpcsim.solvers.grid import End
    >>> coarse_axis(Axis(7, 0.125, False, None))
    Axis(count=4, spacing=0.21875, vertex=False, ends=None, first=0)
    >>> coarse_axis(Axis.of_cells(8, 0.125, (End(1, 0), End(0, 1)), vertex=True)).count
    4
    """
    cells = (axis.cells + 1) // 2
    return Axis.of_cells(cells, axis.spacing * axis.cells / cells, axis.ends, axis.vertex)


def _can_coarsen(axis: Axis) -> bool:
    if axis.cells < MIN_CELLS:
        return False
    coarse = coarse_axis(axis)
    if axis.ends is None or axis.vertex:
        return coarse.count > 0
    try:
        return all(math.isfinite(end.mirror(coarse.spacing)) for end in axis.ends)
    except ConfigError:
        return False


def coarsened(axes: Sequence[Axis], strengths: Sequence[float]) -> tuple[bool, ...]:
    """Which axes to coarsen: those along which the operator couples strongly, for there errors are smooth.

    Parameters
    ----------
    axes : sequence of Axis
        The level.
    strengths : sequence of float
        Size of the coupling along each axis, e.g. 1/spacing**2.

    Returns
    -------
    tuple of bool
        All False if the level is the coarsest.

    Examples
    --------
    >>> thin, wide = Axis(64, 1.0, False, None), Axis(64, 4.0, False, None)
    >>> coarsened((thin, wide), (1.0, 1 / 16))
    (True, False)
    """
    able = [_can_coarsen(axis) for axis in axes]
    strongest = max((s for s, can in zip(strengths, able, strict=True) if can), default=0.0)
    return tuple(can and s >= WEAK * strongest and s > 0.0 for s, can in zip(strengths, able, strict=True))


def hierarchy(axes: Sequence[Axis], strengths: Sequence[float], direct: int = DIRECT_SIZE) -> list[tuple[Axis, ...]]:
    """The axes of all levels, finest first.

    Examples
    --------
    >>> [[axis.count for axis in level] for level in hierarchy([Axis(20, 1.0, False, None)] * 2, [1.0, 1.0])]
    [[20, 20], [10, 10]]
    """
    levels, current, coupling = [tuple(axes)], tuple(axes), list(strengths)
    while math.prod(axis.count for axis in current) > direct:
        chosen = coarsened(current, coupling)
        if not any(chosen):
            break
        following = tuple(coarse_axis(a) if take else a for a, take in zip(current, chosen, strict=True))
        scale = [(a.spacing / b.spacing) ** 2 for a, b in zip(current, following, strict=True)]
        coupling = [s * factor for s, factor in zip(coupling, scale, strict=True)]
        current = following
        levels.append(current)
    return levels
