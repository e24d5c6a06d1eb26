"""Which sites go from which rank to which, when every rank has some boxes and wants others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hpcsim.lattice.box import Box, intersect, volume

Boxes = Sequence[Sequence[Box]]
"""Boxes of every rank."""


class Piece(NamedTuple):
    """A box of sites that moves.

    Attributes
    ----------
    source, target : int
        Rank that has it and rank that wants it.
    have, want : int
        Place of the box that holds it in the list of the source, and in that of the target.
    box : Box
        The sites.
    """

    source: int
    target: int
    have: int
    want: int
    box: Box


class Pieces:
    """The pieces of one redistribution.

    Parameters
    ----------
    have, want : sequence of sequence of Box
        Boxes of every rank. They may overlap: a wanted site comes from the rank itself if it has it, else from the
        lowest rank that has it.

    Examples
    --------
    >>> pieces = Pieces([[((0,), (3,))], [((3,), (6,))]], [[((2,), (4,))], []])
    >>> [(piece.source, piece.box) for piece in pieces.wanted_by(0)]
    [(0, ((2,), (3,))), (1, ((3,), (4,)))]
    """

    def __init__(self, have: Boxes, want: Boxes) -> None:
        self._have, self._want = have, want
        self._flat_have, self._flat_want = _Flat(have), _Flat(want)

    def wanted_by(self, rank: int) -> list[Piece]:
        """Pieces that a rank gets, its own among them, in the order of its boxes and then of the ranks."""
        return [piece for want in range(len(self._want[rank])) for piece in self._sources(rank, want)]

    def sent_by(self, rank: int) -> list[Piece]:
        """Pieces that a rank gives to others, by target and then in the order of `wanted_by`."""
        touched = {place for box in self._have[rank] for place in self._flat_want.hits(box)}
        wanted = (self._sources(target, want) for target, want in sorted(touched) if target != rank)
        return [piece for found in wanted for piece in found if piece.source == rank]

    def _sources(self, target: int, want: int) -> list[Piece]:
        """Where each site of one wanted box comes from."""
        box = self._want[target][want]
        holders = self._flat_have.hits(box)
        holders.sort(key=lambda holder: (holder[0] != target, holder))
        found = [(rank, have, intersect(box, self._have[rank][have])) for rank, have in holders]
        if _overlap([part for *_, part in found]):
            found = _once(found)
        return [Piece(rank, target, have, want, part) for rank, have, part in found]


class _Flat:
    """Boxes of all ranks in one table, to look for overlaps at once."""

    def __init__(self, boxes: Boxes) -> None:
        self._places = [(rank, i) for rank, own in enumerate(boxes) for i in range(len(own))]
        every = [box for own in boxes for box in own]
        self._corners = np.array(every, np.int64) if every else np.zeros((0, 2, 1), np.int64)

    def hits(self, box: Box) -> list[tuple[int, int]]:
        """Rank and place of every box that shares a site with the given one."""
        lo = np.maximum(self._corners[:, 0], box[0])
        hi = np.minimum(self._corners[:, 1], box[1])
        return [self._places[i] for i in np.flatnonzero((lo < hi).all(axis=1)).tolist()]


def _overlap(boxes: list[Box]) -> bool:
    """Whether any two of some boxes share a site."""
    if len(boxes) < 2:
        return False
    corners = np.array(boxes, np.int64)
    for i in range(1, len(boxes)):
        common = np.minimum(corners[:i, 1], corners[i, 1]) > np.maximum(corners[:i, 0], corners[i, 0])
        if bool(common.all(axis=1).any()):
            return True
    return False


def _once(found: list[tuple[int, int, Box]]) -> list[tuple[int, int, Box]]:
    """The same sites with every site once: the first holder keeps it."""
    kept: list[tuple[int, int, Box]] = []
    for rank, have, box in found:
        rest = [box]
        for *_, taken in kept:
            rest = [part for whole in rest for part in subtract(whole, taken)]
        kept += [(rank, have, part) for part in rest]
    return kept


def subtract(box: Box, taken: Box) -> list[Box]:
    """Disjoint boxes that cover the sites of one box outside another.

    Examples
    --------
    >>> subtract(((0, 0), (4, 4)), ((1, 0), (9, 3)))
    [((0, 0), (1, 4)), ((1, 3), (4, 4))]
    """
    common = intersect(box, taken)
    if volume(common) == 0:
        return [box]
    parts: list[Box] = []
    lo, hi = list(box[0]), list(box[1])
    for axis, (first, last) in enumerate(zip(*common, strict=True)):
        if lo[axis] < first:
            parts.append((tuple(lo), (*hi[:axis], first, *hi[axis + 1 :])))
        if last < hi[axis]:
            parts.append(((*lo[:axis], last, *lo[axis + 1 :]), tuple(hi)))
        lo[axis], hi[axis] = first, last
    return parts
