"""Coarser grids, and interpolation from them by products of linear interpolation along the axes.

Trottenberg, Oosterlee, Schueller, Multigrid (2001), sections 2.3 and 2.8.4.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.grid import Axis, Star
from hpcsim.solvers.preconditioners.boxes import Cuts
from hpcsim.solvers.rows import Rows


def coarser(axis: Axis) -> Axis | None:
    """The axis with cells of twice the length; None if the number of cells is odd or too small.

    Examples
    --------
    >>> coarser(Axis(8, 0.5, False, None)).count, coarser(Axis(7, 0.5, False, None))
    (4, None)
    """
    cells = axis.cells
    if cells % 2 or cells < 4:
        return None
    return replace(axis, count=axis.count - cells // 2, spacing=2.0 * axis.spacing)


def coarser_edges(axis: Axis, edges: tuple[int, ...]) -> tuple[int, ...]:
    """Where the coarse axis is cut, so that a coarse unknown lies with the fine unknown at or next above its place.

    Examples
    --------
    >>> coarser_edges(Axis(8, 0.5, False, None), (0, 3, 8))
    (0, 2, 4)
    """
    count = axis.count - axis.cells // 2
    # The first coarse site whose fine partner is not before the cut.
    inner = [(axis.first + edge + 1) // 2 - axis.first for edge in edges[1:-1]]
    return (0, *(min(max(edge, 0), count) for edge in inner), count)


def interpolation(axis: Axis, coarse: Axis) -> Any:
    """Linear interpolation along an axis as a sparse matrix, shape (count, coarse count).

    Beyond the ends the coarse values are continued by the homogeneous boundary conditions.

    Examples
    --------
    >>> from hpcsim.solvers.grid import End
    >>> axis = Axis.of_cells(4, 1.0, (End(1, 0), End(1, 0)), vertex=True)
    >>> interpolation(axis, coarser(axis)).toarray().ravel().tolist()
    [0.5, 1.0, 0.5]
    """
    from scipy.sparse import coo_matrix

    sites = np.arange(axis.count, dtype=np.int64) + axis.first
    half = sites // 2
    if axis.vertex:
        # A site between two coarse ones is their mean; one that coincides with a coarse one counts it twice.
        parts = [(half, np.full(axis.count, 0.5)), ((sites + 1) // 2, np.full(axis.count, 0.5))]
    else:
        parts = [(half, np.full(axis.count, 0.75)), (half + 2 * (sites % 2) - 1, np.full(axis.count, 0.25))]
    rows = np.tile(np.arange(axis.count), 2)
    columns = np.concatenate([column for column, _ in parts]) - axis.first
    weights = np.concatenate([weight for _, weight in parts])
    columns, weights = _continued(coarse, columns, weights)
    return coo_matrix((weights, (rows, columns)), shape=(axis.count, coarse.count)).tocsr()


def _continued(
    coarse: Axis, columns: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Replace columns outside the coarse axis by inner ones."""
    if coarse.ends is None:
        return columns % coarse.count, weights
    for end, outside, inner in ((0, columns < 0, 0), (1, columns >= coarse.count, coarse.count - 1)):
        # A wall site of a vertex axis that is no unknown has the value 0.
        factor = 0.0 if coarse.vertex else coarse.ends[end].mirror(coarse.spacing)
        columns = np.where(outside, inner, columns)
        weights = np.where(outside, factor * weights, weights)
    return columns, weights


def product_rows(factors: list[Any], fine: Cuts, coarse: Cuts, rank: int) -> Any:
    """Rows of one rank of the product of an interpolation per axis, columns numbered as the coarse packed vectors.

    Parameters
    ----------
    factors : list of scipy.sparse.csr_matrix
        Interpolation along each axis.
    fine, coarse : Cuts
        Boxes of both grids.
    rank : int
        Whose rows.

    Returns
    -------
    scipy.sparse.csr_matrix, shape (local fine unknowns, coarse unknowns)
    """
    from scipy.sparse import csr_matrix, kron

    local = [factor[index] for factor, index in zip(factors, fine.indices(rank), strict=True)]
    result = local[0]
    for factor in local[1:]:
        result = kron(result, factor, format="csr")
    result = csr_matrix(result)
    index = np.unravel_index(result.indices.astype(np.int64), coarse.shape)
    matrix = csr_matrix((result.data, coarse.numbers(*index), result.indptr), shape=result.shape)
    matrix.sort_indices()
    return matrix


def star_rows(star: Star, cuts: Cuts, rank: int) -> Rows:
    """Rows of one rank of a star operator with constant weights, boundary conditions eliminated.

    Parameters
    ----------
    star : Star
        The operator.
    cuts : Cuts
        Boxes of the ranks.
    rank : int
        Whose rows.

    Examples
    --------
    >>> from hpcsim.solvers.grid import End, laplacian
    >>> star = laplacian((Axis(3, 1.0, False, (End(1, 0), End(0, 1))),))
    >>> star_rows(star, Cuts(((0, 3),)), 0).to_scipy().toarray().tolist()
    [[-3.0, 1.0, 0.0], [1.0, -2.0, 1.0], [0.0, 1.0, -1.0]]
    """
    mesh = np.ix_(*cuts.indices(rank))
    own = cuts.numbers(*mesh)
    sides = [_sides(star, a, mesh[a]) for a in range(len(star.axes))]
    centre = star.centre + sum(side.own for side in sides) + np.zeros(own.shape)
    # Lower neighbours first, from the first axis on: the columns of most rows then rise as they stand.
    terms = [(cuts.numbers(*mesh[:a], side.below, *mesh[a + 1 :]), side.lower) for a, side in enumerate(sides)]
    terms.append((own, centre))
    upper = [(cuts.numbers(*mesh[:a], side.above, *mesh[a + 1 :]), side.upper) for a, side in enumerate(sides)]
    terms += reversed(upper)
    columns = np.stack([column.ravel() for column, _ in terms], axis=1)
    weights = np.stack([np.broadcast_to(weight, own.shape).ravel() for _, weight in terms], axis=1)
    there = weights != 0.0
    there[:, len(sides)] = True
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return Rows.of(starts, columns[there], weights[there], int(cuts.first[rank]), math.prod(cuts.shape))


class _Sides(NamedTuple):
    """The neighbours of sites along an axis: their indices and weights, and what falls to the site itself."""

    below: NDArray[np.int64]
    above: NDArray[np.int64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    own: NDArray[np.float64]


def _sides(star: Star, place: int, index: NDArray[np.int64]) -> _Sides:
    """Neighbours along one axis, the end conditions eliminated."""
    axis = star.axes[place]
    lower, upper = (np.full(index.shape, sides[place]) for sides in (star.lower, star.upper))
    own = np.zeros(index.shape)
    if axis.ends is None:
        return _Sides((index - 1) % axis.count, (index + 1) % axis.count, lower, upper, own)
    pairs = ((axis.ends[0], index == 0, lower, upper), (axis.ends[1], index == axis.count - 1, upper, lower))
    for end, at, missing, opposite in pairs:
        if not axis.vertex:
            own[at] += missing[at] * end.mirror(axis.spacing)
        elif not end.fixed:
            own[at] += missing[at] * end.wall(axis.spacing)
            opposite[at] += missing[at]
        missing[at] = 0.0
    return _Sides(np.maximum(index - 1, 0), np.minimum(index + 1, axis.count - 1), lower, upper, own)
