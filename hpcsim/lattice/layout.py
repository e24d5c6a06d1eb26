"""The layout: blocks of a domain in curve order, and the rank that owns each. Immutable, the same on all ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import LayoutError, Problem
from hpcsim.lattice.box import Box
from hpcsim.lattice.check import whole_number
from hpcsim.lattice.curve import curve_order
from hpcsim.lattice.cut import (
    MAX_BLOCKS,
    Shape,
    check_block_shape,
    check_ghost,
    default_grid,
    even_edges,
    stepped_edges,
    workable_block_shape,
)
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.lattice.partition import check_owners, make_owners


class Block(NamedTuple):
    """A box of cells, the unit of storage, ownership and migration.

    Attributes
    ----------
    id : int
        Position along the curve.
    coords : tuple of int
        Place in the grid of blocks.
    lo, hi : tuple of int
        Cells ``lo <= index < hi`` in global indices.
    level : int
        Refinement level.
    """

    id: int
    coords: tuple[int, ...]
    lo: tuple[int, ...]
    hi: tuple[int, ...]
    level: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells per axis."""
        return tuple(b - a for a, b in zip(self.lo, self.hi, strict=True))


@dataclass(frozen=True)
class Layout:
    """Blocks of a one-level lattice and their owners; make one with `make_layout`.

    Attributes
    ----------
    domain : Domain
        What is cut.
    edges : tuple of tuple of int
        Per axis the global index where each block begins, and the number of cells.
    blocks : tuple of Block
        In curve order: ``blocks[i].id == i``.
    owners : tuple of int
        Rank that owns each block.
    ranks : int
        Number of ranks.
    ghost : int
        Ghost width the layout was checked for: no block is narrower.
    curve : str
        Name of the curve.
    """

    domain: Domain
    edges: tuple[tuple[int, ...], ...]
    blocks: tuple[Block, ...] = field(repr=False)
    owners: tuple[int, ...] = field(repr=False)
    ranks: int
    ghost: int
    curve: str

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Blocks per axis."""
        return tuple(len(edges) - 1 for edges in self.edges)

    @cached_property
    def widest(self) -> tuple[int, ...]:
        """Cells of the largest block, axis by axis."""
        return tuple(max(b - a for a, b in zip(edges, edges[1:], strict=False)) for edges in self.edges)

    @cached_property
    def narrowest(self) -> tuple[int, ...]:
        """Cells of the smallest block, axis by axis."""
        return tuple(min(b - a for a, b in zip(edges, edges[1:], strict=False)) for edges in self.edges)

    def local(self, rank: int) -> tuple[Block, ...]:
        """Blocks of a rank, in curve order.

        Raises
        ------
        LayoutError
            If there is no such rank.
        """
        if not 0 <= rank < self.ranks:
            raise LayoutError(f"rank {rank} does not exist; this layout has ranks 0 to {self.ranks - 1}")
        return self._by_rank[rank]

    def block_at(self, coords: tuple[int, ...]) -> Block:
        """The block at a place of the grid.

        Raises
        ------
        LayoutError
            If the place is outside the grid; nothing is wrapped here.
        """
        place = 0
        for c, count in zip(coords, self.grid, strict=True):
            if not 0 <= c < count:
                raise LayoutError(f"no block at {coords}; the grid of blocks is {self.grid}")
            place = place * count + c
        return self.blocks[self._ids[place]]

    def owned_box(self, block: Block, location: Location) -> Box:
        """Sites of a component that the block owns.

        Parameters
        ----------
        block : Block
            A block of this layout.
        location : Location
            Location of the component.

        Returns
        -------
        Box
            The cells of the block, and one plane more at a bounded upper end of a staggered axis.
        """
        domain = self.domain
        hi = tuple(
            b + (1 if staggered and not closed and b == n else 0)
            for b, staggered, closed, n in zip(block.hi, location, domain.periodic, domain.shape, strict=True)
        )
        return block.lo, hi

    @cached_property
    def _ids(self) -> tuple[int, ...]:
        """Block id by place in the grid, row-major."""
        places = np.array([block.coords for block in self.blocks], dtype=np.int64).T
        ids = np.empty(len(self.blocks), dtype=np.int64)
        ids[np.ravel_multi_index(tuple(places), self.grid)] = np.arange(len(self.blocks))
        return tuple(ids.tolist())

    @cached_property
    def _by_rank(self) -> tuple[tuple[Block, ...], ...]:
        """Blocks of every rank."""
        lists: list[list[Block]] = [[] for _ in range(self.ranks)]
        for block, owner in zip(self.blocks, self.owners, strict=True):
            lists[owner].append(block)
        return tuple(tuple(blocks) for blocks in lists)


def make_layout(
    domain: Domain,
    ranks: int,
    *,
    ghost: int = 1,
    block_shape: Sequence[int] | None = None,
    curve: str = "hilbert",
    partition: str = "curve",
    owners: Sequence[int] | None = None,
    costs: Sequence[float] | None = None,
) -> Layout:
    """Cut a domain into blocks and give every block an owner.

    Parameters
    ----------
    domain : Domain
        The lattice.
    ranks : int
        Number of ranks.
    ghost : int, default 1
        Ghost width; no block is narrower.
    block_shape : sequence of int, optional
        Cells per axis of a block, the last block of an axis taking the rest. By default the fewest blocks per rank
        that balance well (normally one), of nearly equal extents and least surface.
    curve : str, default "hilbert"
        Name in `CURVES`: the order of the blocks.
    partition : str, default "curve"
        Name in `PARTITIONS`: how blocks are dealt to ranks.
    owners : sequence of int, optional
        Owner of each block in curve order, instead of a partition.
    costs : sequence of float, optional
        Cost of each block in curve order, for partitions that weigh.

    Returns
    -------
    Layout
        The same on every rank that calls with the same arguments.

    Raises
    ------
    LayoutError
        If the numbers cannot work; the message has a block size or a number of ranks that would.
    ConfigError
        If the curve or the partition is unknown.

    Examples
    --------
    >>> domain = Domain((8, 8), (0, 0), (1, 1), (True, True))
    >>> layout = make_layout(domain, 4)
    >>> layout.grid, layout.owners, layout.local(3)[0].lo
    ((2, 2), (0, 1, 2, 3), (4, 0))
    """
    ranks = whole_number(ranks, "ranks", 1, MAX_BLOCKS)
    ghost = whole_number(ghost, "ghost", 0, max(domain.shape))
    check_ghost(domain.shape, ghost)
    if block_shape is None:
        wanted = ranks if owners is None else whole_number(len(owners), "owners", 1, MAX_BLOCKS)
        grid = default_grid(domain.shape, wanted, ghost, exact=owners is not None or partition == "cartesian")
        edges = tuple(even_edges(n, count) for n, count in zip(domain.shape, grid, strict=True))
    else:
        sizes = check_block_shape(domain.shape, block_shape, ghost)
        edges = tuple(stepped_edges(n, size) for n, size in zip(domain.shape, sizes, strict=True))
        grid = tuple(len(e) - 1 for e in edges)
    _check_ranks(domain.shape, ranks, ghost, grid, block_shape)
    places = curve_order(grid, curve)
    blocks = _make_blocks(places, edges)
    if owners is None:
        owned = make_owners(places, grid, ranks, partition, costs)
    else:
        owned = check_owners(owners, len(blocks), ranks)
    return Layout(domain, edges, blocks, owned, ranks, ghost, curve)


def _make_blocks(places: NDArray[np.int64], edges: tuple[tuple[int, ...], ...]) -> tuple[Block, ...]:
    """Blocks at the places of a grid, numbered in the order given."""
    cuts = [np.array(e, dtype=np.int64) for e in edges]
    lows = np.stack([cut[place] for cut, place in zip(cuts, places.T, strict=True)], axis=1).tolist()
    highs = np.stack([cut[place + 1] for cut, place in zip(cuts, places.T, strict=True)], axis=1).tolist()
    rows = zip(places.tolist(), lows, highs, strict=True)
    return tuple(Block(i, tuple(c), tuple(lo), tuple(hi)) for i, (c, lo, hi) in enumerate(rows))


def _check_ranks(shape: Shape, ranks: int, ghost: int, grid: Shape, block_shape: Sequence[int] | None) -> None:
    """Refuse more ranks than blocks, with the block shape that would serve them."""
    count = math.prod(grid)
    if ranks <= count:
        return
    cut = "the owners given make" if block_shape is None else f"block_shape {tuple(block_shape)} cuts it into"
    text = f"{ranks} ranks, but of shape {shape} {cut} {count} blocks; use at most {count} ranks"
    better = workable_block_shape(shape, ranks, ghost)
    if better is not None:
        blocks = math.prod(-(-n // size) for n, size in zip(shape, better, strict=True))
        text += f", or block_shape {better}, which gives {blocks} blocks"
    raise LayoutError([Problem("ranks", text)])
