"""Ghost regions: for every ghost site the block that owns it, found by block coordinates."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from hpcsim.errors import LayoutError
from hpcsim.lattice.box import Box
from hpcsim.lattice.layout import Block, Layout
from hpcsim.lattice.location import Location


class GhostRegion(NamedTuple):
    """Ghost sites of one block that one other block (or an image of itself) owns.

    Attributes
    ----------
    block_id, source_id : int
        The block whose ghosts these are, and the block that owns the sites.
    direction : tuple of int
        Per axis -1, 0 or 1: on which side of the block the ghosts lie.
    box : Box
        The sites in the frame of the receiving block; on a periodic axis indices run below 0 and past the end.
    shift : tuple of int
        To be added to an index of `box` to give the global index in the source.
    """

    block_id: int
    source_id: int
    direction: tuple[int, ...]
    box: Box
    shift: tuple[int, ...]


class _Link(NamedTuple):
    """One axis of a region: step from the receiver to the source, both grid coordinates, range and shift."""

    step: int
    receiver: int
    source: int
    lo: int
    hi: int
    shift: int


def ghost_regions(
    layout: Layout, block: Block, location: Location, width: int, corners: bool = True
) -> list[GhostRegion]:
    """Regions a block receives.

    Parameters
    ----------
    layout : Layout
        The blocks.
    block : Block
        The receiving block.
    location : Location
        Location of the component.
    width : int
        Layers of ghosts, at most the extent of the narrowest block.
    corners : bool, default True
        Also regions across edges and corners; else only across faces.

    Returns
    -------
    list of GhostRegion
        Without overlap, sorted by (block_id, direction, source_id). Sites outside a bounded domain are in none.

    Raises
    ------
    LayoutError
        If a block is narrower than the width.

    Examples
    --------
    >>> from hpcsim.lattice.domain import Domain
    >>> from hpcsim.lattice.layout import make_layout
    >>> layout = make_layout(Domain((8,), (0,), (1,), (True,)), 2)
    >>> ghost_regions(layout, layout.blocks[0], (0,), 1)[0]
    GhostRegion(block_id=0, source_id=1, direction=(-1,), box=((-1,), (0,)), shift=(8,))
    """
    _check(layout, location, width)
    axes = [
        [_link(layout, axis, receiver, step, location, width) for step in (-1, 0, 1)]
        for axis, receiver in enumerate(block.coords)
    ]
    return _regions(layout, axes, width, corners)


def sent_regions(
    layout: Layout, block: Block, location: Location, width: int, corners: bool = True
) -> list[GhostRegion]:
    """Regions of other blocks (and images of itself) that a block must supply.

    Parameters, order and refusals as for `ghost_regions`: over a whole layout both give the same set.

    Returns
    -------
    list of GhostRegion
        Those with ``source_id == block.id``, sorted by (block_id, direction, source_id).

    Examples
    --------
    >>> from hpcsim.lattice.domain import Domain
    >>> from hpcsim.lattice.layout import make_layout
    >>> layout = make_layout(Domain((8,), (0,), (1,), (False,)), 2)
    >>> [(r.block_id, r.direction) for r in sent_regions(layout, layout.blocks[0], (0,), 1)]
    [(1, (-1,))]
    """
    _check(layout, location, width)
    axes: list[list[_Link | None]] = []
    for axis, source in enumerate(block.coords):
        links: list[_Link | None] = []
        for step in (-1, 0, 1):
            receiver = _neighbor(layout, axis, source, -step)
            links.append(None if receiver is None else _link(layout, axis, receiver, step, location, width))
        axes.append(links)
    return sorted(_regions(layout, axes, width, corners))


def _check(layout: Layout, location: Location, width: int) -> None:
    """Refuse a width that would reach past the nearest neighbour."""
    ndim = layout.domain.ndim
    if len(location) != ndim:
        raise LayoutError(f"location {location} has {len(location)} entries for {ndim} axes")
    if not 0 <= width <= min(layout.narrowest):
        raise LayoutError(
            f"ghost width {width} asked for, but the narrowest block has {layout.narrowest} cells; "
            f"allowed: 0 to {min(layout.narrowest)}"
        )


def _neighbor(layout: Layout, axis: int, place: int, step: int) -> int | None:
    """Grid coordinate one step along an axis, wrapped if the axis is periodic; None outside a bounded one."""
    count = len(layout.edges[axis]) - 1
    if 0 <= place + step < count:
        return place + step
    return (place + step) % count if layout.domain.periodic[axis] else None


def _link(layout: Layout, axis: int, receiver: int, step: int, location: Location, width: int) -> _Link | None:
    """The ghosts of a receiver on one side along one axis, or its own range for step 0."""
    source = _neighbor(layout, axis, receiver, step)
    if source is None:
        return None
    edges = layout.edges[axis]
    periodic = layout.domain.periodic[axis]
    lo, hi = edges[receiver], edges[receiver + 1]
    # The block at a bounded upper end also owns the last plane of a staggered component.
    if location[axis] and not periodic and hi == edges[-1]:
        hi += 1
    if step < 0:
        lo, hi = lo - width, lo
    elif step > 0:
        lo, hi = hi, hi + width
    wrapped = step if source != receiver + step else 0
    return _Link(step, receiver, source, lo, hi, -wrapped * edges[-1])


def _regions(layout: Layout, axes: list[list[_Link | None]], width: int, corners: bool) -> list[GhostRegion]:
    """All combinations of the links of the axes, in the order of their directions."""
    if width == 0:
        return []
    regions = []
    for links in product(*([link for link in links if link is not None] for links in axes)):
        direction, receiver, source, lo, hi, shift = zip(*links, strict=True)
        sides = len(direction) - direction.count(0)
        if sides == 1 or (sides > 1 and corners):
            ids = layout.block_at(receiver).id, layout.block_at(source).id
            regions.append(GhostRegion(*ids, direction, (lo, hi), shift))
    return regions
