"""Which pieces of a checkpoint meet which blocks of a rank, found for whole portions of the table at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.layout import Layout
from hpcsim.output.checkpoint.pieces import PIECE
from hpcsim.output.checkpoint.scan import by_place


class Share(NamedTuple):
    """The pieces that a rank needs.

    Attributes
    ----------
    rows : ndarray of PIECE
        In the order in which they are read.
    first : ndarray of int64
        ``blocks[first[i]:first[i + 1]]`` are the blocks that piece i meets.
    blocks : ndarray of int64
        Positions in ``layout.local(rank)``.
    """

    rows: NDArray[np.void]
    first: NDArray[np.int64]
    blocks: NDArray[np.int64]


def share_of(portions: Iterable[NDArray[np.void]], layout: Layout, rank: int) -> Share:
    """The share of a rank.

    Parameters
    ----------
    portions : iterable of ndarray of PIECE
        The table, a part at a time.
    layout : Layout
        Blocks and owners.
    rank : int
        Whose share.
    """
    places = _places(layout, rank)
    found = [_meeting(portion, layout, places) for portion in portions]
    rows = np.concatenate([np.empty(0, PIECE), *(part for part, _, _ in found)])
    counts = np.concatenate([np.empty(0, np.int64), *(count for _, count, _ in found)])
    blocks = np.concatenate([np.empty(0, np.int64), *(block for _, _, block in found)])
    order = by_place(rows)
    first = np.concatenate([[0], np.cumsum(counts[order])])
    # Entry k of the new list of blocks is entry k minus the start of its piece, from the start that piece had before.
    before = np.cumsum(counts) - counts
    taken = np.arange(len(blocks)) + np.repeat(before[order] - first[:-1], counts[order])
    return Share(rows[order], first, blocks[taken])


def _places(layout: Layout, rank: int) -> NDArray[np.int64]:
    """For every place of the grid of blocks the position among the rank's blocks, or -1."""
    places = np.full(layout.grid, -1, np.int64)
    local = layout.local(rank)
    if local:
        places[tuple(np.array([block.coords for block in local]).T)] = np.arange(len(local))
    return places


def _meeting(
    rows: NDArray[np.void], layout: Layout, places: NDArray[np.int64]
) -> tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.int64]]:
    """Pieces that meet blocks of the rank, how many each meets, and which."""
    ndim = layout.domain.ndim
    mine = np.argwhere(places >= 0)
    if not len(mine) or not len(rows):
        return rows[:0], np.empty(0, np.int64), np.empty(0, np.int64)
    first, count = np.empty((ndim, len(rows)), np.int64), np.empty((ndim, len(rows)), np.int64)
    for axis in range(ndim):
        # The plane past the last cell of a bounded axis belongs to the last block.
        cuts = np.array(layout.edges[axis][1:-1], np.int64)
        low, high = rows["lo"][:, axis], rows["lo"][:, axis] + rows["shape"][:, axis] - 1
        first[axis] = np.maximum(np.searchsorted(cuts, low, side="right"), mine[:, axis].min())
        count[axis] = np.minimum(np.searchsorted(cuts, high, side="right"), mine[:, axis].max()) + 1 - first[axis]
    total = np.prod(np.maximum(count, 0), axis=0)
    piece = np.repeat(np.arange(len(rows)), total)
    rest = np.arange(len(piece)) - np.repeat(np.cumsum(total) - total, total)
    coords = np.empty((ndim, len(piece)), np.int64)
    for axis in reversed(range(ndim)):
        rest, inner = np.divmod(rest, count[axis][piece])
        coords[axis] = first[axis][piece] + inner
    block = places[tuple(coords)]
    met = block >= 0
    hits = np.bincount(piece[met], minlength=len(rows))
    return rows[hits > 0], hits[hits > 0], block[met]
