"""Virtual ranks: every rank's arrays held in one process, for exact tests of ghost regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcsim.lattice.box import Box, extent, grow
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Layout
from hpcsim.lattice.location import Location, owned_extent
from hpcsim.lattice.neighbors import GhostRegion
from hpcsim.lattice.storage import Storage

UNSET = -1


def unit_domain(shape, periodic) -> Domain:
    ndim = len(shape)
    return Domain(tuple(shape), (0.0,) * ndim, (1.0,) * ndim, tuple(periodic))


def axis_indices(box: Box) -> list[np.ndarray]:
    """Open mesh of the global indices of a box."""
    return list(np.ix_(*[np.arange(a, b) for a, b in zip(*box, strict=True)]))


def global_ids(domain: Domain, location: Location, box: Box) -> np.ndarray:
    """Id of every site of a box, of its periodic image outside; UNSET beyond a bounded end."""
    sizes = owned_extent(domain, location)
    ids = np.zeros(extent(box), dtype=np.int64)
    outside = np.zeros(extent(box), dtype=bool)
    for index, size, closed in zip(axis_indices(box), sizes, domain.periodic, strict=True):
        outside |= (index < 0) | (index >= size) if not closed else np.zeros_like(index, dtype=bool)
        ids = ids * size + np.mod(index, size)
    return np.where(outside, UNSET, ids)


@dataclass
class VirtualRanks:
    """Arrays of one component for all ranks of a layout, in the shape that `Storage` gives."""

    layout: Layout
    location: Location
    ghost: int

    def __post_init__(self) -> None:
        self.storages = [
            Storage.build(self.layout, rank, self.ghost, any(self.location), 8) for rank in range(self.layout.ranks)
        ]
        self.arrays = [
            np.full(storage.length(1), UNSET, dtype=np.int64).reshape(-1, *storage.pitch) for storage in self.storages
        ]
        domain = self.layout.domain
        whole = ((0,) * domain.ndim, owned_extent(domain, self.location))
        # Ids of the whole domain with a frame of ghosts, of which every box below is a part.
        self.ids = global_ids(domain, self.location, grow(whole, self.ghost))
        for block in self.layout.blocks:
            box = self.layout.owned_box(block, self.location)
            self.view(block.id, box)[...] = self.ids[self.slices(box, (0,) * domain.ndim)]

    def slices(self, box: Box, origin: tuple[int, ...]) -> tuple[slice, ...]:
        """Slices of a box in an array whose interior begins at an origin."""
        return tuple(slice(a - o + self.ghost, b - o + self.ghost) for a, b, o in zip(*box, origin, strict=True))

    def view(self, block_id: int, box: Box) -> np.ndarray:
        """Writable view of a box in the frame of a block."""
        rank = self.layout.owners[block_id]
        slot = self.storages[rank].slot(block_id)
        view = self.arrays[rank][(slot, *self.slices(box, self.layout.blocks[block_id].lo))]
        assert view.shape == extent(box), f"{box} does not fit block {block_id}"
        return view

    def apply(self, regions: list[GhostRegion]) -> None:
        """Copy every region from its source; a source site that its block does not own is an error."""
        for region in regions:
            moved = tuple(tuple(i + s for i, s in zip(end, region.shift, strict=True)) for end in region.box)
            lo, hi = self.layout.owned_box(self.layout.blocks[region.source_id], self.location)
            assert all(a <= b for a, b in zip(lo, moved[0], strict=True)), region
            assert all(a >= b for a, b in zip(hi, moved[1], strict=True)), region
            ghosts = self.view(region.block_id, region.box)
            assert (ghosts == UNSET).all(), f"{region} overlaps another region or the interior"
            ghosts[...] = self.view(region.source_id, (moved[0], moved[1]))

    def expected(self, block_id: int, box: Box, width: int, corners: bool) -> np.ndarray:
        """What a box widened by its ghosts must hold after the exchange."""
        lo, hi = self.layout.owned_box(self.layout.blocks[block_id], self.location)
        ids = self.ids[self.slices(box, (0,) * len(lo))]
        sides = np.zeros(ids.shape, dtype=np.int64)
        reach = np.zeros(ids.shape, dtype=np.int64)
        for index, a, b in zip(axis_indices(box), lo, hi, strict=True):
            depth = np.maximum(a - index, index - (b - 1)).clip(0)
            sides = sides + (depth > 0)
            reach = np.maximum(reach, depth)
        filled = (reach <= width) & ((sides <= 1) | corners)
        return np.where(filled, ids, UNSET)
