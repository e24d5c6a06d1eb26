"""How the datasets of a chunked file map to blocks: which rank compresses a chunk, and which blocks have a part of it.

Everything here follows from the layout alone, so all ranks come to the same plan without a message.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hpcsim.lattice.layout import Block, Layout
from hpcsim.lattice.location import owned_extent
from hpcsim.output.boxes import wrapped_boxes
from hpcsim.output.vtkhdf import Piece

CHUNK_BYTES = 1 << 20


class Part(NamedTuple):
    """What a block has of a chunk.

    Attributes
    ----------
    block : Block
        The block.
    target : tuple of slice
        Where it goes in the chunk, x first.
    source : tuple of slice
        Where it is among the owned sites of the block, x first; the fourth axis is cut by an integer.
    """

    block: Block
    target: tuple[slice, ...]
    source: tuple[slice | int, ...]


def chunk_extent(layout: Layout, piece: Piece) -> tuple[int, ...]:
    """Sites of a chunk along x, y, z: about 1 MiB, and a divisor of the block where there is one.

    Parameters
    ----------
    layout : Layout
        Blocks; a chunk that lies in one of them needs no message.
    piece : Piece
        The dataset.
    """
    extent = [min(n, wide) for n, wide in zip(piece.extent, layout.widest, strict=False)]
    itemsize = np.dtype(piece.dtype).itemsize * len(piece.components)
    limit = max(1, CHUNK_BYTES // itemsize)
    while int(np.prod(extent, dtype=np.int64)) > limit:
        axis = extent.index(max(extent))
        extent[axis] = _part(extent[axis])
    return tuple(extent)


def _part(n: int) -> int:
    """About half of a number: the largest divisor below it and not under a third, else the half rounded up."""
    return next((size for size in range(n // 2, n // 3, -1) if n % size == 0), (n + 1) // 2)


class ChunkPlan:
    """The chunks of one dataset, numbered with z slowest.

    Parameters
    ----------
    layout : Layout
        Blocks and owners.
    piece : Piece
        The dataset.
    """

    def __init__(self, layout: Layout, piece: Piece) -> None:
        self.piece = piece
        self._layout = layout
        self.extent = chunk_extent(layout, piece)
        self.counts = tuple(-(-n // c) for n, c in zip(piece.extent, self.extent, strict=True))
        self._sites = owned_extent(layout.domain, piece.location)
        places = itertools.product(*(range(count) for count in reversed(self.counts)))
        self.owners = [self._owner(place[::-1]) for place in places]

    def box(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First index and end of a chunk in the dataset, x first."""
        place = np.unravel_index(number, self.counts[::-1])[::-1]
        lo = tuple(int(p) * c for p, c in zip(place, self.extent, strict=True))
        return lo, tuple(min(a + c, n) for a, c, n in zip(lo, self.extent, self.piece.extent, strict=True))

    def of_rank(self, rank: int) -> list[int]:
        """Chunks that a rank compresses, in rising order."""
        return [number for number, owner in enumerate(self.owners) if owner == rank]

    def touched(self, block: Block) -> set[int]:
        """Chunks of which a block has a part."""
        piece, layout = self.piece, self._layout
        lo, hi = layout.owned_box(block, piece.location)
        if piece.w is not None and not lo[3] <= piece.w < hi[3]:
            return set()
        axes = range(len(piece.extent))
        wraps = [self._sites[a] if piece.extent[a] > self._sites[a] else None for a in axes]
        found = set()
        for first, cut in wrapped_boxes([lo[a] for a in axes], [hi[a] - lo[a] for a in axes], wraps):
            ranges = []
            for start, part, size in zip(first, cut, self.extent, strict=True):
                ranges.append(range(start // size, (start + part.stop - part.start - 1) // size + 1))
            for place in itertools.product(*reversed(ranges)):
                found.add(int(np.ravel_multi_index(place, self.counts[::-1])))
        return found

    def parts(self, number: int) -> Iterator[Part]:
        """The parts of a chunk, the same order on all ranks."""
        lo, hi = self.box(number)
        axes = [list(self._runs(axis, a, b)) for axis, (a, b) in enumerate(zip(lo, hi, strict=True))]
        w = self.piece.w
        for combination in itertools.product(*axes):
            coords = [coord for coord, _, _ in combination]
            if w is not None:
                coords.append(self._coord(3, w))
            block = self._layout.block_at(tuple(coords))
            source: list[slice | int] = [
                slice(s - low, s - low + t.stop - t.start)
                for (_, t, s), low in zip(combination, block.lo, strict=False)
            ]
            if w is not None:
                source.append(w - block.lo[3])
            yield Part(block, tuple(target for _, target, _ in combination), tuple(source))

    def _runs(self, axis: int, lo: int, hi: int) -> Iterator[tuple[int, slice, int]]:
        """Consecutive sites of one block along an axis: its coordinate, place in the chunk, first site."""
        sites, edges = self._sites[axis], self._layout.edges[axis]
        start = lo
        while start < min(hi, sites):
            coord = self._coord(axis, start)
            last = coord == len(edges) - 2
            end = min(hi, sites) if last else min(hi, edges[coord + 1])
            yield coord, slice(start - lo, end - lo), start
            start = end
        if hi > sites:
            # The plane that closes a periodic axis is its first one.
            yield 0, slice(sites - lo, sites - lo + 1), 0

    def _coord(self, axis: int, site: int) -> int:
        """Coordinate of the block that owns a site."""
        edges = self._layout.edges[axis]
        return min(bisect_right(edges, site) - 1, len(edges) - 2)

    def _owner(self, place: Sequence[int]) -> int:
        """Rank of the block with the first site of a chunk."""
        first = [p * c for p, c in zip(place, self.extent, strict=True)]
        coords = [self._coord(axis, min(site, self._sites[axis] - 1)) for axis, site in enumerate(first)]
        if self.piece.w is not None:
            coords.append(self._coord(3, self.piece.w))
        return self._layout.owners[self._layout.block_at(tuple(coords)).id]
