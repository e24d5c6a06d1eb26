"""Index arithmetic of the arrays that hold the local blocks of a rank; the pitch is the same on all ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from hpcsim.errors import LayoutError, unknown_name
from hpcsim.lattice.layout import Block, Layout

LINE_BYTES = 64
MOST_PADDING = 1 / 10
PAGE_BYTES = 4096
WIDE_GHOST = 4
LONG_ROW_BYTES = 1024


@dataclass(frozen=True)
class Storage:
    """Where a site lies in a flat register ``[slot, component, *pitch]``; make one with `Storage.build`.

    Attributes
    ----------
    blocks : tuple of Block
        Blocks of the rank; the position of a block is its slot.
    ghost : int
        Layers of ghosts on each side.
    pitch : tuple of int
        Sites per axis that are set aside for a block, ghosts and padding included.
    itemsize : int
        Bytes of a value for which rows are aligned.

    Examples
    --------
    >>> from hpcsim.lattice.domain import Domain
    >>> from hpcsim.lattice.layout import make_layout
    >>> layout = make_layout(Domain((8, 8), (0, 0), (1, 1), (True, True)), 2)
    >>> storage = Storage.build(layout, 1, ghost=1, staggered_any=False, itemsize=8)
    >>> storage.pitch, storage.strides, storage.site_offset(layout.local(1)[0], (4, 0))
    ((6, 10), (10, 1), 11)
    """

    blocks: tuple[Block, ...] = field(repr=False)
    ghost: int
    pitch: tuple[int, ...]
    itemsize: int

    @classmethod
    def build(cls, layout: Layout, rank: int, ghost: int, staggered_any: bool, itemsize: int) -> Storage:
        """The storage of a rank.

        Parameters
        ----------
        layout : Layout
            The blocks.
        rank : int
            Whose blocks.
        ghost : int
            Layers of ghosts, at most the extent of the narrowest block.
        staggered_any : bool
            Whether any field is staggered along any axis: leaves room for the last plane of a bounded end.
        itemsize : int
            Bytes of the smallest value type of the run: 1, 2, 4, 8, 16, 32 or 64.

        Raises
        ------
        LayoutError
            If the ghost width does not suit the blocks, the item size does not divide 64, or there is no such rank.
        """
        if not 0 <= ghost <= min(layout.narrowest):
            raise LayoutError(f"ghost width {ghost}, but the narrowest block has {layout.narrowest} cells")
        if itemsize < 1 or LINE_BYTES % itemsize:
            raise LayoutError(f"values of {itemsize} bytes cannot be aligned to {LINE_BYTES} bytes")
        extra = 2 * ghost + (1 if staggered_any else 0)
        pitch = [n + extra for n in layout.widest]
        pitch[-1] = _row_pitch(pitch[-1], ghost, itemsize)
        return cls(layout.local(rank), ghost, tuple(pitch), itemsize)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Elements from one site to the next, per axis; the last is 1."""
        return tuple(math.prod(self.pitch[axis + 1 :]) for axis in range(len(self.pitch)))

    @cached_property
    def strides4(self) -> tuple[int, int, int, int]:
        """Strides with leading zeros up to four axes, as region tables use them."""
        padded = (0,) * (4 - len(self.strides)) + self.strides
        return padded[0], padded[1], padded[2], padded[3]

    @cached_property
    def sites(self) -> int:
        """Elements of one component of one block."""
        return math.prod(self.pitch)

    @cached_property
    def first_site(self) -> int:
        """Element of the first interior site of a block."""
        return self.ghost * sum(self.strides)

    @property
    def lead_bytes(self) -> int:
        """Bytes that a register must start past a 64-byte boundary, so that interior rows start on one."""
        return -self.ghost * self.itemsize % LINE_BYTES

    @cached_property
    def _slots(self) -> dict[int, int]:
        """Local position by block id."""
        return {block.id: slot for slot, block in enumerate(self.blocks)}

    def slot(self, block_id: int) -> int:
        """Local position of a block.

        Raises
        ------
        LayoutError
            If the block is not on this rank.
        """
        try:
            return self._slots[block_id]
        except KeyError:
            raise LayoutError(unknown_name("local block", str(block_id), map(str, self._slots))) from None

    def site_offset(self, block: Block, index: tuple[int, ...]) -> int:
        """Element of a site inside its block.

        Parameters
        ----------
        block : Block
            The block.
        index : tuple of int
            Global index in the frame of the block; ghosts included.

        Returns
        -------
        int
            Offset from the first element of the component.
        """
        return sum((i - lo + self.ghost) * stride for i, lo, stride in zip(index, block.lo, self.strides, strict=True))

    def offset(self, slot: int, component: int, components: int) -> int:
        """First element of a component of a block, in a register with so many components."""
        return (slot * components + component) * self.sites

    def length(self, components: int) -> int:
        """Elements of a register with so many components."""
        return len(self.blocks) * components * self.sites


def _row_pitch(sites: int, ghost: int, itemsize: int) -> int:
    """Elements from one row to the next, so that interior rows start on cache lines where that is worth its memory."""
    line = LINE_BYTES // itemsize
    # A wide stencil reads so many rows at once that they must start on even lines: lines are fetched in pairs.
    wide = ghost >= WIDE_GHOST and sites * itemsize >= LONG_ROW_BYTES
    for unit in (2 * line, line) if wide else (line,):
        aligned = -(-sites // unit) * unit
        # Short rows stay packed: padding would cost more memory traffic than aligned rows save.
        if aligned - sites <= MOST_PADDING * sites:
            # Rows a whole number of pages apart would all compete for the same cache sets.
            return aligned + (unit if aligned * itemsize % PAGE_BYTES == 0 else 0)
    return sites
