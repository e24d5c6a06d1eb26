"""Boxes of a launch: which sites of which block, cut so that every thread gets an equal share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hpcsim.kernels.backend import Boxes


class BlockBox(NamedTuple):
    """Sites of one local block, in array indices of the block (ghosts included in the count).

    Attributes
    ----------
    slot : int
        Local position of the block.
    lo, hi : tuple of int
        Half-open range on each axis.
    """

    slot: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]

    @property
    def empty(self) -> bool:
        """Whether the box has no sites."""
        return any(a >= b for a, b in zip(self.lo, self.hi, strict=True))


def box_table(boxes: Iterable[BlockBox], ndim: int, threads: int = 1) -> Boxes:
    """Launch table of some boxes, shared out over threads.

    Boxes are cut along their first axis into as few pieces as make the number of pieces a multiple of the number of
    threads; pieces keep the order of the boxes, so each thread works on neighbouring memory.

    Parameters
    ----------
    boxes : iterable of BlockBox
        Empty ones are dropped.
    ndim : int
        Number of axes.
    threads : int
        Threads that will share the launch.

    Returns
    -------
    ndarray of int64, shape (n, 1 + 2 ndim)
        Rows ``slot, lo[0], hi[0], ...``.

    Examples
    --------
    >>> box_table([BlockBox(0, (1, 1), (5, 9))], 2, threads=2).tolist()
    [[0, 1, 3, 1, 9], [0, 3, 5, 1, 9]]
    """
    rows = []
    for box in cut_boxes(boxes, threads):
        rows.append([box.slot, *(end for pair in zip(box.lo, box.hi, strict=True) for end in pair)])
    return np.array(rows, dtype=np.int64).reshape(len(rows), 1 + 2 * ndim)


def cut_boxes(boxes: Iterable[BlockBox], threads: int, planes: int | None = None) -> list[BlockBox]:
    """Boxes cut along their first axis, in order.

    Parameters
    ----------
    boxes : iterable of BlockBox
        Empty ones are dropped.
    threads : int
        The number of pieces is made a multiple of it where the boxes are wide enough.
    planes : int, optional
        Planes a piece should have at least, and not many more than; by default as many as the threads leave it.

    Examples
    --------
    >>> [(box.lo, box.hi) for box in cut_boxes([BlockBox(0, (0,), (9,))], 1, planes=4)]
    [((0,), (4,)), ((4,), (9,))]
    """
    kept = [box for box in boxes if not box.empty]
    parts = threads // math.gcd(len(kept), threads) if kept else 1
    pieces = []
    for box in kept:
        lo, hi = box.lo[0], box.hi[0]
        count = parts
        if planes is not None:
            wanted = max(1, (hi - lo) // planes)
            count = wanted // parts * parts or min(parts, wanted)
        pieces += [BlockBox(box.slot, (a, *box.lo[1:]), (b, *box.hi[1:])) for a, b in cut(lo, hi, count)]
    return pieces


def cut(lo: int, hi: int, parts: int) -> list[tuple[int, int]]:
    """Nearly equal consecutive ranges; fewer than asked for when the range is shorter.

    Examples
    --------
    >>> cut(0, 7, 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    parts = min(parts, hi - lo)
    edges = [lo + (hi - lo) * i // parts for i in range(parts + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def interior_and_strips(
    box: BlockBox, reach: Sequence[int], upper: Sequence[int] | None = None
) -> tuple[BlockBox, list[BlockBox]]:
    """Split a box into the sites that read nothing outside it and the strips around them.

    Parameters
    ----------
    box : BlockBox
        Owned sites of a block.
    reach : sequence of int
        Width of the strip at the lower end of each axis: the largest offset read, 0 for no strip.
    upper : sequence of int, optional
        The same at the upper ends; by default as at the lower ones.

    Returns
    -------
    interior : BlockBox
        May be empty.
    strips : list of BlockBox
        Disjoint; together with the interior they make up the box.

    Examples
    --------
    >>> inner, strips = interior_and_strips(BlockBox(0, (1,), (9,)), (2,))
    >>> inner.lo, inner.hi, [(s.lo, s.hi) for s in strips]
    ((3,), (7,), [((1,), (3,)), ((7,), (9,))])
    """
    lo, hi = list(box.lo), list(box.hi)
    strips = []
    for axis, (below, above) in enumerate(zip(reach, reach if upper is None else upper, strict=True)):
        first = min(lo[axis] + below, hi[axis])
        last = max(hi[axis] - above, first)
        for a, b in ((lo[axis], first), (last, hi[axis])):
            if a < b:
                strips.append(BlockBox(box.slot, _with(lo, axis, a), _with(hi, axis, b)))
        lo[axis], hi[axis] = first, last
    return BlockBox(box.slot, tuple(lo), tuple(hi)), [s for s in strips if not s.empty]


def _with(values: Sequence[int], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])
