"""Where the ghosts of a level come from: runs of rows that lie together in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box, grow, intersect, shift, volume
from hpcsim.solvers.multigrid.level import Level


def images(level: Level, box: Box, width: int) -> Iterator[tuple[Box, tuple[int, ...]]]:
    """The ghosts of a rank that lie on the sites of a box, with the vector from ghost to site; outer axes only.

    Parameters
    ----------
    level : Level
        The level, as the rank that has the ghosts sees it.
    box : Box
        Sites of some rank.
    width : int
        Width of the ghosts.
    """
    own: Box = (level.box[0][:-1], level.box[1][:-1])
    there: Box = (box[0][:-1], box[1][:-1])
    counts = [axis.count for axis in level.axes[:-1]]
    reach = [-(-width // n) if axis.ends is None else 0 for axis, n in zip(level.axes[:-1], counts, strict=True)]
    for turns in product(*(range(-r, r + 1) for r in reach)):
        vector = tuple(turn * n for turn, n in zip(turns, counts, strict=True))
        common = intersect(grow(own, width), shift(there, tuple(-v for v in vector)))
        for piece in without(common, own):
            yield piece, vector


def without(box: Box, hole: Box) -> Iterator[Box]:
    """A box without the sites of another, as boxes that do not overlap.

    Examples
    --------
    >>> list(without(((0, 0), (3, 3)), ((1, 0), (3, 3))))
    [((0, 0), (1, 3))]
    """
    common = intersect(box, hole)
    if volume(common) == 0:
        if volume(box):
            yield box
        return
    lo, hi = list(box[0]), list(box[1])
    for axis in range(len(lo)):
        if lo[axis] < common[0][axis]:
            yield tuple(lo), (*hi[:axis], common[0][axis], *hi[axis + 1 :])
        if hi[axis] > common[1][axis]:
            yield (*lo[:axis], common[1][axis], *lo[axis + 1 :]), tuple(hi)
        lo[axis], hi[axis] = common[0][axis], common[1][axis]


def rows_of(level: Level, base: int, box: Box) -> NDArray[np.int64]:
    """First elements of the runs of a box of rows (global indices), and the elements of a run.

    Returns
    -------
    int64 array
        Shape (runs, 2).
    """
    local = shift(box, tuple(-o for o in level.origin))
    *outer, last = zip(*local, strict=True)
    starts = np.full((1,), base + last[0] * level.steps[-1], np.int64)
    for axis, (lo, hi) in reversed(list(enumerate(outer))):
        starts = (np.arange(lo, hi)[:, None] * level.steps[axis] + starts).ravel()
    lengths = np.full(len(starts), (last[1] - last[0]) * level.steps[-1], np.int64)
    return np.stack([starts, lengths], axis=1)


def crosses_seam(vector: Sequence[int]) -> bool:
    """Whether colours change between a ghost and its site: odd periodic axes."""
    return sum(vector) % 2 == 1


def ghost_runs(level: Level, base: int, width: int) -> NDArray[np.int64]:
    """Copies that fill the ghosts of a level held by one rank.

    Returns
    -------
    int64 array
        Shape (runs, 4): source, target, elements, whether colours change.
    """
    found = [np.zeros((0, 4), np.int64)]
    for box, vector in images(level, level.box, width):
        target = rows_of(level, base, box)
        source = rows_of(level, base, shift(box, vector))
        seam = np.full(len(target), int(crosses_seam(vector)), np.int64)
        found.append(np.stack([source[:, 0], target[:, 0], target[:, 1], seam], axis=1))
    return np.concatenate(found)
