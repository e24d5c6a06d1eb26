"""Values of formulas and profiles at the sites of a box, the same to the bit however the lattice is cut.

Every value is computed from global indices alone. Vector loops of numerical libraries treat whole groups of values at
once and may treat the rest of a row, or values that do not lie side by side, by another path with another rounding.
Rows are therefore widened to whole groups of the global index, and operands are contiguous arrays of the full size: a
site always sits at the same place of the same group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.symbolic.evaluate import Evaluator
from hpcsim.symbolic.expr import Coordinate, Expr, Symbol

Values = NDArray[np.float64]

# Sites of a group: a multiple of the lanes of every vector unit.
GROUP = 16
# Sites of a slab: its working arrays stay in cache and small beside the field.
SLAB_SITES = 1 << 16


def sample(
    expr: Expr, domain: Domain, box: Box, location: Location, symbols: Mapping[str, float] | None = None
) -> Values:
    """Values of a formula of space at the sites of a box.

    Parameters
    ----------
    expr : Expr
        The formula; its leaves are numbers, coordinates and symbols.
    domain : Domain
        The lattice.
    box : Box
        Half-open global indices; ghost sites outside the domain are allowed.
    location : Location
        Place of the values in the cell.
    symbols : mapping of str to float, optional
        Values of the symbols.

    Returns
    -------
    ndarray of float64
        Shape of the box.

    Examples
    --------
    >>> domain = Domain((4,), (0.0,), (4.0,), (True,))
    >>> sample(2 * Coordinate(0, 0, 0), domain, ((1,), (3,)), (0,))
    array([3., 5.])
    """
    lo, hi = box
    out = np.empty(tuple(b - a for a, b in zip(lo, hi, strict=True)))
    for first, last in slabs(lo, hi):
        out[first - lo[0] : last - lo[0]] = _slab(expr, domain, ((first, *lo[1:]), (last, *hi[1:])), location, symbols)
    return out


def slabs(lo: tuple[int, ...], hi: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Runs of planes along the first axis, each of about `SLAB_SITES` sites.

    Examples
    --------
    >>> list(slabs((0, 0), (3, 1 << 15)))
    [(0, 2), (2, 3)]
    """
    plane = math.prod(b - a for a, b in zip(lo[1:], hi[1:], strict=True))
    if plane <= 0:
        return
    planes = max(1, SLAB_SITES // plane)
    for first in range(lo[0], hi[0], planes):
        yield first, min(first + planes, hi[0])


def whole_groups(first: int, last: int) -> tuple[int, int]:
    """The range of global indices widened to whole groups.

    Examples
    --------
    >>> whole_groups(17, 33)
    (16, 48)
    """
    return first // GROUP * GROUP, -(-last // GROUP) * GROUP


def axis_points(domain: Domain, axis: int, first: int, last: int, staggered: bool) -> tuple[Values, slice]:
    """Coordinates along an axis in whole groups, and which of them were asked for."""
    start, stop = whole_groups(first, last)
    points = domain.coordinate(axis, np.arange(start, stop), staggered)
    return points, slice(first - start, last - start)


def _slab(
    expr: Expr, domain: Domain, box: Box, location: Location, symbols: Mapping[str, float] | None
) -> Values | float:
    lo, hi = box
    wide = whole_groups(lo[-1], hi[-1])
    starts, stops = (*lo[:-1], wide[0]), (*hi[:-1], wide[1])
    shape = tuple(b - a for a, b in zip(starts, stops, strict=True))
    grids: dict[int, Values] = {}

    def leaf(node: Expr) -> Values | np.float64:
        if isinstance(node, Symbol) and symbols is not None:
            return np.float64(symbols[node.name])
        if not isinstance(node, Coordinate):
            raise TypeError(f"{type(node).__name__} has no value at a site of its own")
        axis = node.axis
        if axis not in grids:
            points = domain.coordinate(axis, np.arange(starts[axis], stops[axis]), bool(location[axis]))
            across = points.reshape([-1 if a == axis else 1 for a in range(len(shape))])
            grids[axis] = np.ascontiguousarray(np.broadcast_to(across, shape))
        return grids[axis]

    # Values that are not finite are reported by the caller, with the place.
    with np.errstate(all="ignore"):
        value = Evaluator(leaf)(expr)
    if np.ndim(value) == 0:
        return float(value)
    return value[..., lo[-1] - wide[0] : hi[-1] - wide[0]]
