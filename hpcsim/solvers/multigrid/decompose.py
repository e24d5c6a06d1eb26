"""Which ranks hold what of every level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hpcsim.lattice.box import Box, extent, volume
from hpcsim.solvers.grid import Axis
from hpcsim.solvers.multigrid.level import Level, linked_sides
from hpcsim.solvers.multigrid.transfer import Transfer

SHARED_SIZE = 2**16
"""Levels with at most this many unknowns are held whole by every rank: to send them costs more than to compute them."""


LEAST_GHOST = 2
"""A residual one row beyond the own sites reads this far."""

FUSED_EXTENT = 48
"""From this extent on, the stages of a pass reach over linked sides instead of waiting for ghosts."""


def whole(axes: Sequence[Axis]) -> Box:
    """The box of all unknowns."""
    return (0,) * len(axes), tuple(axis.count for axis in axes)


def coarse_boxes(down: Sequence[Transfer], boxes: Sequence[Box]) -> tuple[Box, ...]:
    """Boxes of the coarser level: a coarse site lives where the fine site below its middle does.

    Examples
    --------
    >>> axis, half = Axis(8, 1.0, False, None), Axis(4, 2.0, False, None)
    >>> coarse_boxes([Transfer(axis, half)], [((0,), (5,)), ((5,), (8,))])
    (((0,), (3,)), ((3,), (4,)))
    """
    owners = [transfer.owner(np.arange(transfer.coarse.count)) for transfer in down]
    found = []
    for lo, hi in boxes:
        low = tuple(int(np.searchsorted(owner, a)) for owner, a in zip(owners, lo, strict=True))
        high = tuple(int(np.searchsorted(owner, b)) for owner, b in zip(owners, hi, strict=True))
        found.append((low, high))
    return tuple(found)


def can_split(axes: Sequence[Axis], boxes: Sequence[Box], ghost: int) -> bool:
    """Whether the boxes are thick enough: ghosts come from the next box, and no box is empty."""
    last = axes[-1]
    for box in boxes:
        if volume(box) == 0 or box[0][-1] != 0 or box[1][-1] != last.count:
            return False
        sides = linked_sides(axes, box)
        if any(any(pair) and n < ghost for pair, n in zip(sides, extent(box)[:-1], strict=True)):
            return False
    return True


def decompose(
    axes: Sequence[tuple[Axis, ...]], boxes: Sequence[Box], rank: int, ghost: int, shared_size: int = SHARED_SIZE
) -> list[Level]:
    """The levels of a rank.

    Parameters
    ----------
    axes : sequence of tuple of Axis
        Axes of every level, finest first.
    boxes : sequence of Box
        Boxes of all ranks on the finest level.
    rank : int
        This rank.
    ghost : int
        Width of linked ghosts.
    shared_size : int
        Levels this small are replicated, and all that are coarser.
    """
    small = math.prod(axis.count for axis in axes[0]) <= shared_size
    shared = len(boxes) == 1 or small or not can_split(axes[0], boxes, ghost)
    parts: Sequence[Box] = boxes
    levels: list[Level] = []
    for number, own in enumerate(axes):
        if number and not shared:
            shared = math.prod(axis.count for axis in own) <= shared_size or not can_split(own, parts, ghost)
            made_of_parts = shared
        else:
            made_of_parts = False
        box = whole(own) if shared else parts[rank]
        part = parts[rank] if made_of_parts else box
        following = axes[number + 1] if number + 1 < len(axes) else ()
        down = tuple(Transfer(a, b if b != a else a) for a, b in zip(own, following, strict=False)) if following else ()
        # On a small level that is whole here, copies of ghosts cost less than work done twice.
        narrow = shared and not made_of_parts and min(extent(box)[:-1]) < FUSED_EXTENT
        level = Level(own, box, part, linked_sides(own, box), LEAST_GHOST if narrow else ghost, down, shared)
        # How far sweeps reach over a seam decides what they do there, so it must not depend on the ranks.
        after_seam = bool(levels) and levels[-1].seam
        levels.append(replace(level, ghost=ghost) if level.seam or after_seam else level)
        if down and not shared:
            parts = coarse_boxes(down, parts)
    return levels
