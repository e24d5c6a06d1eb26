"""Half-open boxes of global indices."""

from __future__ import annotations

import math
from typing import TypeAlias

Box: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""``(lo, hi)``: the sites with ``lo <= index < hi`` on every axis."""


def extent(box: Box) -> tuple[int, ...]:
    """Sites per axis, 0 where the box is empty.

    Examples
    --------
    >>> extent(((0, 2), (3, 2)))
    (3, 0)
    """
    return tuple(max(0, b - a) for a, b in zip(*box, strict=True))


def volume(box: Box) -> int:
    """Number of sites in a box; 0 if it is empty.

    Examples
    --------
    >>> volume(((0, 0), (3, 4)))
    12
    """
    return math.prod(extent(box))


def intersect(first: Box, second: Box) -> Box:
    """The common part of two boxes, which may be empty (see `volume`).

    Examples
    --------
    >>> intersect(((0, 0), (3, 4)), ((2, -1), (9, 2)))
    ((2, 0), (3, 2))
    """
    lo = tuple(max(a, b) for a, b in zip(first[0], second[0], strict=True))
    hi = tuple(min(a, b) for a, b in zip(first[1], second[1], strict=True))
    return lo, hi


def shift(box: Box, by: tuple[int, ...]) -> Box:
    """The box moved by a vector of indices.

    Examples
    --------
    >>> shift(((0, 0), (3, 4)), (1, -2))
    ((1, -2), (4, 2))
    """
    lo = tuple(a + s for a, s in zip(box[0], by, strict=True))
    hi = tuple(b + s for b, s in zip(box[1], by, strict=True))
    return lo, hi


def grow(box: Box, width: int) -> Box:
    """The box widened by `width` sites on every side.

    Examples
    --------
    >>> grow(((0, 0), (3, 4)), 2)
    ((-2, -2), (5, 6))
    """
    return tuple(a - width for a in box[0]), tuple(b + width for b in box[1])
