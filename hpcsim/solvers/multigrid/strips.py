"""How the planes of a pass are shared out: strips for threads, and what is left between them.

A strip runs all stages over its planes, stage j starting lag(j) planes inside an edge to another strip, for beyond it
the other strip works at the same time. What is left around each edge, 2*lag(j) planes of stage j, is done when all
strips have ended. The order of the updates is that of one strip, so the values do not depend on the number of strips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.cut import even_edges
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.stages import Stage

Range = tuple[int, int]
Across = tuple[list[Range], list[list[Range]]]

TILE_BYTES = 2**30
"""Room in the cache of a core for the rows of all planes that a pass has in hand."""

LEAST_SITES = 2**18 + 1
"""Fewer sites than this are not worth a second thread."""


@dataclass(frozen=True)
class Target:
    """Coarse planes that a pass makes, and the fine planes they are made from; all local indices.

    Attributes
    ----------
    rows : tuple of (int, int)
        Coarse range per outer axis.
    first, last : tuple of int64 array
        First and last fine index of every coarse local index, per outer axis.
    """

    rows: tuple[Range, ...]
    first: tuple[NDArray[np.int64], ...]
    last: tuple[NDArray[np.int64], ...]

    def sources(self, axis: int, rows: Range) -> Range:
        """Fine range that some coarse rows are made from."""
        if rows[0] >= rows[1]:
            return 0, 0
        return int(self.first[axis][rows[0] : rows[1]].min()), int(self.last[axis][rows[0] : rows[1]].max()) + 1

    def ready(self, axis: int, end: int) -> int:
        """One past the last coarse row whose sources all lie below a fine row."""
        lo, hi = self.rows[axis]
        return next((k for k in range(lo, hi) if self.last[axis][k] >= end), hi)

    def within(self, planes: Range) -> Range:
        """Coarse planes whose sources all lie in a range of fine planes."""
        lo, hi = self.rows[0]
        inside = [k for k in range(lo, hi) if self.first[0][k] >= planes[0] and self.last[0][k] < planes[1]]
        return (inside[0], inside[-1] + 1) if inside else (lo, lo)


@dataclass(frozen=True)
class Strips:
    """The table of a pass.

    Attributes
    ----------
    rows : int64 array
        One strip a row: coarse range per outer axis, then the range per stage and outer axis. First the strips that
        run side by side, each as so many tiles, then those around the edges between them.
    parts : int
        Strips that run side by side.
    tiles : int
        Tiles of each of them.
    """

    rows: NDArray[np.int64]
    parts: int
    tiles: int


def parts_of(level: Level, lag: int, threads: int) -> int:
    """Number of strips: enough planes for each that the edges do not meet."""
    planes, sites = level.own[0], level.sites * int(np.prod(level.own))
    if sites < LEAST_SITES:
        return 1
    return max(1, min(threads, planes // (2 * lag + 4)))


def tile_edges(level: Level, lag: int, bytes_per_site: int) -> list[int]:
    """Where axis 1 is cut, so that the planes a pass has in hand stay in the cache of a core.

    Stage j of a tile works lag(j) rows below stage 0, so tiles done one after the other leave nothing between them.
    """
    if level.outer < 2:
        return [0, 0]
    first, last = level.first[1], level.last[1]
    row = (lag + 3) * bytes_per_site * level.sites * int(np.prod(level.own[2:]))
    count = max(1, round((last - first) * row / TILE_BYTES))
    # A tile must be wider than what it hands to the next one.
    count = max(1, min(count, (last - first) // (2 * lag + 6)))
    return [first + edge for edge in even_edges(last - first, count)]


def strip_rows(
    level: Level,
    stages: Sequence[Stage],
    lags: Sequence[int],
    reach: Sequence[int],
    threads: int,
    target: Target | None,
) -> Strips:
    """The table of strips of a pass.

    Parameters
    ----------
    level : Level
        The level.
    stages : sequence of Stage
        The stages of the pass.
    lags, reach : sequence of int
        Planes behind the first stage, and ghost rows worked on, per stage.
    threads : int
        Most strips.
    target : Target or None
        What the last stage restricts to.
    """
    parts = parts_of(level, lags[-1], threads)
    edges = [level.first[0] + e for e in even_edges(level.own[0], parts)]
    cuts = tile_edges(level, lags[-1], _bytes_per_site(stages))
    tiles = [_tile(level, lags, reach, target, cuts, tile) for tile in range(len(cuts) - 1)]
    whole = _tile(level, lags, reach, target, [0, 0], 0)
    rows, done = [], []
    for part in range(parts):
        planes = []
        for lag, width in zip(lags, reach, strict=True):
            side = _side(level, 0, width)
            low = side[0] if part == 0 else edges[part] + lag
            high = side[1] if part == parts - 1 else edges[part + 1] - lag
            planes.append((low, high))
        coarse = (0, 0)
        if target is not None:
            coarse = target.rows[0] if parts == 1 else _share(target, planes[-1], part == 0, part == parts - 1)
            planes[-1] = _clip(_union(planes[-1], target.sources(0, coarse)), planes[-1], part, parts)
        done.append(coarse)
        rows += [_row(coarse, tile, planes) for tile in tiles]
    for edge in range(1, parts):
        planes = [(edges[edge] - lag, edges[edge] + lag) for lag in lags]
        coarse = (0, 0)
        if target is not None:
            coarse = (done[edge - 1][1], done[edge][0])
            planes[-1] = _union(planes[-1], target.sources(0, coarse))
        rows.append(_row(coarse, whole, planes))
    return Strips(np.array(rows, np.int64), parts, len(tiles))


def _bytes_per_site(stages: Sequence[Stage]) -> int:
    """Of a plane in hand: iterate and right side of the level, arrays in natural order beside them."""
    return 16 if any(stage.own_rows for stage in stages) else 8


def _tile(
    level: Level, lags: Sequence[int], reach: Sequence[int], target: Target | None, cuts: Sequence[int], tile: int
) -> Across:
    """Ranges on the axes other than the first: coarse rows, then fine rows per stage."""
    coarse = list(target.rows[1:]) if target is not None else [(0, 0)] * (level.outer - 1)
    fine = [[_side(level, axis, width) for axis in range(1, level.outer)] for width in reach]
    first, last = tile == 0, tile == len(cuts) - 2
    if level.outer > 1:
        for lag, ranges in zip(lags, fine, strict=True):
            low, high = ranges[0]
            ranges[0] = (low if first else cuts[tile] - lag, high if last else cuts[tile + 1] - lag)
    if target is not None:
        for axis in range(1, level.outer):
            own = fine[-1][axis - 1] if axis == 1 else (level.first[axis], level.last[axis])
            if axis == 1:
                ready = [target.ready(1, cuts[k] - lags[-1]) for k in (tile, tile + 1)] if len(cuts) > 2 else [0, 0]
                rows = coarse[0]
                coarse[0] = (rows[0] if first else ready[0], rows[1] if last else ready[1])
                if first and last:
                    own = (level.first[1], level.last[1])
            fine[-1][axis - 1] = _union(target.sources(axis, coarse[axis - 1]), own)
    return coarse, fine


def _side(level: Level, axis: int, width: int) -> Range:
    low, high = level.linked[axis]
    return level.first[axis] - width * low, level.last[axis] + width * high


def _union(a: Range, b: Range) -> Range:
    if a[0] >= a[1] or b[0] >= b[1]:
        return a if a[0] < a[1] else b
    return min(a[0], b[0]), max(a[1], b[1])


def _clip(wanted: Range, given: Range, part: int, parts: int) -> Range:
    """The sources of a strip, but nothing beyond an edge to another strip."""
    return (wanted[0] if part == 0 else given[0]), (wanted[1] if part == parts - 1 else given[1])


def _share(target: Target, planes: Range, first: bool, last: bool) -> Range:
    """Coarse planes of a strip: those whose sources it has; at the ends of the level all up to there."""
    low, high = target.within((-(2**40) if first else planes[0], 2**40 if last else planes[1]))
    return low, high


def _row(coarse: Range, across: Across, planes: Sequence[Range]) -> list[int]:
    rows, fine = across
    row = [value for pair in (coarse, *rows) for value in pair]
    for own, others in zip(planes, fine, strict=True):
        row += [value for pair in (own, *others) for value in pair]
    return row
