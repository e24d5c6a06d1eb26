"""Boxes of sites at walls, and the rows of region tables made from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box, extent
from hpcsim.lattice.layout import Block, Layout
from hpcsim.lattice.location import Location
from hpcsim.lattice.storage import Storage


@dataclass(frozen=True)
class Slab:
    """The sites of one component of one block next to one wall, cut into layers.

    Attributes
    ----------
    block : Block
        The block.
    location : Location
        Location of the component.
    owned, box : Box
        What the block owns; and that range with the rim along the other axes that a layer extends over.
    axis, side : int
        The wall.
    """

    block: Block
    location: Location
    owned: Box
    box: Box
    axis: int
    side: int

    def ghost_layer(self, depth: int) -> Box:
        """Sites of the ghost layer of a depth, from 1."""
        return self.inner_layer(-depth)

    def inner_layer(self, number: int) -> Box:
        """Sites of the inner layer of a number, from 0."""
        (lo, hi), a = self.owned, self.axis
        index = lo[a] + number if self.side == 0 else hi[a] - 1 - number
        return self.at(index)

    def at(self, index: int) -> Box:
        """The sites with a given index along the axis of the wall."""
        (lo, hi), a = self.box, self.axis
        return (*lo[:a], index, *lo[a + 1 :]), (*hi[:a], index + 1, *hi[a + 1 :])


def at_wall(layout: Layout, block: Block, axis: int, side: int) -> bool:
    """Whether an end of the block is an end of the domain with a wall."""
    end = block.hi[axis] == layout.domain.shape[axis] if side else block.lo[axis] == 0
    return end and not layout.domain.periodic[axis]


def inside_rim(layout: Layout, block: Block, owned: Box, ghost: int) -> Box:
    """The owned range and those of its ghosts that lie in the domain."""
    lo, hi = owned
    axes = range(layout.domain.ndim)
    low = tuple(lo[a] - (0 if at_wall(layout, block, a, 0) else ghost) for a in axes)
    high = tuple(hi[a] + (0 if at_wall(layout, block, a, 1) else ghost) for a in axes)
    return low, high


def ghost_slab(
    layout: Layout, block: Block, location: Location, axis: int, side: int, ghost: int, corners: bool
) -> Slab:
    """What is filled at a wall: the axes already filled with all their ghosts, later ones with those in the domain."""
    owned = layout.owned_box(block, location)
    if not corners:
        return Slab(block, location, owned, owned, axis, side)
    low, high = inside_rim(layout, block, owned, ghost)
    lo = tuple(n - ghost if b < axis else low[b] for b, n in enumerate(owned[0]))
    hi = tuple(n + ghost if b < axis else high[b] for b, n in enumerate(owned[1]))
    return Slab(block, location, owned, (lo, hi), axis, side)


def plane_box(layout: Layout, block: Block, location: Location, axis: int, side: int, ghost: int) -> Box | None:
    """Sites of a block, ghosts in the domain included, that lie on the plane of a wall; None if there are none.

    The ghosts belong to it because the exchange brought them before their owner set the plane.
    """
    owned = layout.owned_box(block, location)
    index = side * layout.domain.shape[axis]
    rim = inside_rim(layout, block, owned, ghost)
    if not rim[0][axis] <= index < rim[1][axis]:
        return None
    return Slab(block, location, owned, rim, axis, side).at(index)


class Rows:
    """Collects rows of one region table for a register of given components.

    Parameters
    ----------
    storage : Storage
        Index arithmetic of the rank.
    components : int
        Components of the register.
    """

    def __init__(self, storage: Storage, components: int) -> None:
        self._storage = storage
        self._components = components
        self._rows: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, block: Block, component: int, box: Box) -> int:
        """Offset of the first site of a box in the flat register."""
        storage = self._storage
        start = storage.offset(storage.slot(block.id), component, self._components)
        return start + storage.site_offset(block, box[0])

    def append(self, source: int, destination: int, box: Box) -> None:
        """One row for the extents of a box."""
        sizes = extent(box)
        self._rows.append((source, destination, *(1,) * (4 - len(sizes)), *sizes))

    def table(self) -> NDArray[np.int64]:
        """The rows as an array of shape (n, 6)."""
        return np.array(self._rows, dtype=np.int64).reshape(-1, 6)
