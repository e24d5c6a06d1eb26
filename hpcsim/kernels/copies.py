"""Ghost copies carried out by the launch that reads them, box by box.

A separate pass over the faces of many small blocks fetches most of their memory once more than the update itself. Done
just before a box is updated, the same copies cost little: what they touch is about to be read anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.kernels.backend import Boxes
from hpcsim.kernels.tiles import BlockBox, box_table, cut_boxes
from hpcsim.lattice.storage import Storage

SLAB_BYTES = 1 << 17
"""Size of the piece of one register that a box with copies should stay near, well inside a core's cache."""


@dataclass(frozen=True)
class Copies:
    """Copies that precede each box of a launch.

    Attributes
    ----------
    starts : ndarray of int64, shape (boxes + 1,)
        Rows of box n are ``starts[n]`` to ``starts[n + 1]``.
    rows : ndarray of int64, shape (n, 3 + d)
        Position of the register in the nest, source offset, target offset, extents.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int64]


def no_copies(boxes: int, ndim: int) -> Copies:
    """Nothing to copy before any of so many boxes."""
    return Copies(np.zeros(boxes + 1, np.int64), np.zeros((0, 3 + ndim), np.int64))


class Region(NamedTuple):
    """Ghost sites of one block that one row of a region table fills, in array indices of the block."""

    position: int
    source: int
    target: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]


class GhostReads:
    """Which ghosts the boxes of a nest read, and which rows of the region tables fill them.

    Parameters
    ----------
    storage : Storage
        Index arithmetic of the rank.
    tables : mapping of int to (int, ndarray)
        Position of a register in the nest to its number of components and its region table: the rows that fill its
        ghosts from blocks of this rank, faces only.
    reach : mapping of int to sequence of int
        Position to the largest offset read on each axis.
    """

    def __init__(
        self,
        storage: Storage,
        tables: Mapping[int, tuple[int, NDArray[np.int64]]],
        reach: Mapping[int, Sequence[int]],
    ) -> None:
        self._storage = storage
        self._reach = reach
        self._regions: dict[int, list[Region]] = {}
        for position, (components, table) in tables.items():
            for slot, region in table_regions(storage, components, table, position):
                self._regions.setdefault(slot, []).append(region)

    def launch(self, boxes: Sequence[BlockBox], threads: int) -> tuple[Boxes, Copies]:
        """Launch table of some boxes, cut into pieces that stay in cache, with the copies before each."""
        ndim, strides = len(self._storage.pitch), self._storage.strides
        planes = max(1, SLAB_BYTES // (strides[0] * self._storage.itemsize))
        thinnest = max((reach[0] for reach in self._reach.values()), default=0)
        pieces = cut_boxes(boxes, threads, max(planes, thinnest))
        starts = [0]
        rows: list[list[int]] = []
        for box in pieces:
            for region in self._regions.get(box.slot, ()):
                rows += self._rows(box, region)
            starts.append(len(rows))
        table = np.array(rows, np.int64).reshape(-1, 3 + ndim)
        return box_table(pieces, ndim), Copies(np.array(starts, np.int64), table)

    def _rows(self, box: BlockBox, region: Region) -> Iterator[list[int]]:
        """The part of a region that a star-shaped read around the box meets."""
        strides, reach = self._storage.strides, self._reach[region.position]
        for axis, width in enumerate(reach):
            for first, last in ((box.lo[axis] - width, box.lo[axis]), (box.hi[axis], box.hi[axis] + width)):
                lo = [max(a, b) for a, b in zip(region.lo, _with(box.lo, axis, first), strict=True)]
                hi = [min(a, b) for a, b in zip(region.hi, _with(box.hi, axis, last), strict=True)]
                if all(a < b for a, b in zip(lo, hi, strict=True)):
                    skip = sum((a - b) * s for a, b, s in zip(lo, region.lo, strides, strict=True))
                    extents = [b - a for a, b in zip(lo, hi, strict=True)]
                    yield [region.position, region.source + skip, region.target + skip, *extents]


def table_regions(
    storage: Storage, components: int, table: NDArray[np.int64], position: int = 0
) -> Iterator[tuple[int, Region]]:
    """Slot and ghost sites of each row of a region table whose destinations are field offsets."""
    ndim = len(storage.pitch)
    for source, target, *padded in table.tolist():
        place, site = divmod(target, storage.sites)
        lo = []
        for stride in storage.strides:
            index, site = divmod(site, stride)
            lo.append(index)
        hi = tuple(a + n for a, n in zip(lo, padded[4 - ndim :], strict=True))
        yield place // components, Region(position, source, target, tuple(lo), hi)


def waiting_widths(
    boxes: Sequence[BlockBox],
    storage: Storage,
    tables: Mapping[int, tuple[int, NDArray[np.int64]]],
    reach: Sequence[int],
) -> list[tuple[list[int], list[int]]]:
    """Per box, the layers at the lower and the upper end of each axis that read ghosts which messages bring.

    Parameters
    ----------
    boxes : sequence of BlockBox
        Owned sites, one box per block.
    storage : Storage
        Index arithmetic of the rank.
    tables : mapping of int to (int, ndarray)
        Any key to the components of a register and the rows that fill its ghosts from messages.
    reach : sequence of int
        Largest offset read on each axis.
    """
    found = {box.slot: ([0] * len(reach), [0] * len(reach)) for box in boxes}
    owned = {box.slot: box for box in boxes}
    for components, table in tables.values():
        for slot, region in table_regions(storage, components, table):
            if slot not in owned:
                continue
            for axis, width in enumerate(reach):
                if region.hi[axis] <= owned[slot].lo[axis]:
                    found[slot][0][axis] = width
                if region.lo[axis] >= owned[slot].hi[axis]:
                    found[slot][1][axis] = width
    return [found[box.slot] for box in boxes]


def _with(values: Sequence[int], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])
