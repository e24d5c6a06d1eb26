"""Strategy ``classes`` of the pool: size classes, small ones cut from slabs, large ones each a mapping of its own.

Neighbouring classes are a factor of 2**(1/4) = 1.19 apart (64 bytes apart at the lower end, where alignment rules), so
no lease takes more than that factor of what it asked for. Large blocks are mapped to the page; one that was returned
serves a later request that needs at least 1/1.19 of it. Before anything new is mapped, unused blocks go back to the
system so far that the pool holds at most 1.22 times the largest demand there was: its high water follows the demand,
however the sizes change. Once that high water is 1.195 times the demand it is enough for every mix of sizes and rises
no more.
"""

from __future__ import annotations

from bisect import bisect_left

from hpcsim.fields.chunks import PAGE, Bytes, power_of_two, round_up
from hpcsim.fields.ledger import ALIGNMENT, Block, Ledger, NoRoom

SPACING = 2.0**0.25
SMALL_BYTES = 1 << 15
"""Largest class that is cut from slabs."""

# What is held, relative to the largest demand: enough for blocks that are 1.19 times too large, and the limit.
_ENOUGH = 1.195
_MOST = 1.22
_MOST_SLAB = 1 << 20
_BLOCKS_PER_SLAB = 8
_SLABS_PER_CLASS = 16
_LARGEST = 1 << 50


def class_sizes(largest: int) -> list[int]:
    """Sizes of the classes up to a size, each a multiple of 64 bytes and, above `SMALL_BYTES`, of a page.

    Examples
    --------
    >>> class_sizes(700)
    [64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704]
    """
    sizes = [ALIGNMENT]
    while sizes[-1] < largest:
        last = sizes[-1]
        unit = ALIGNMENT if last < SMALL_BYTES else PAGE
        size = last + max(unit, int(last * (SPACING - 1.0)) // unit * unit)
        # One class ends where slabs do.
        sizes.append(min(size, SMALL_BYTES) if last < SMALL_BYTES else size)
    return sizes


class Slab:
    """Memory cut into blocks of one class.

    Parameters
    ----------
    memory : ndarray of uint8
        The whole slab.
    asked : int
        Bytes that were asked for it.
    kind : int
        Number of the class.
    size : int
        Bytes of a block.
    """

    __slots__ = ("asked", "blocks", "index", "kind", "memory", "unused")

    def __init__(self, memory: Bytes, asked: int, kind: int, size: int) -> None:
        self.memory, self.asked, self.kind = memory, asked, kind
        self.blocks = len(memory) // size
        # Taken from the end: low addresses first.
        self.unused = list(range((self.blocks - 1) * size, -1, -size))
        self.index = 0


class SizeClasses:
    """The strategy; see the module.

    Parameters
    ----------
    ledger : Ledger
        Account of the pool.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._sizes = class_sizes(_LARGEST)
        self._small = self._sizes[: bisect_left(self._sizes, SMALL_BYTES) + 1]
        # Class by size in units of 64 bytes: one look instead of a search.
        self._kinds = [bisect_left(self._small, units * ALIGNMENT) for units in range(SMALL_BYTES // ALIGNMENT + 1)]
        self._open: list[list[Slab]] = [[] for _ in self._small]
        self._cut = [0] * len(self._small)
        # Unused large blocks by size; the number keeps equal sizes apart.
        self._unused: list[tuple[int, int, Bytes]] = []
        self._unused_bytes = 0
        self._number = 0
        # Bytes of blocks in use, what was asked of them to the page, the most that ever was, and the most ever held.
        self._taken = self._asked = self._most_asked = self._most_held = 0

    def size_class(self, nbytes: int) -> int:
        """Bytes of the class that serves a request."""
        return self._sizes[bisect_left(self._sizes, nbytes)]

    def footprint(self, nbytes: int) -> int:
        """Bytes that a request takes of the budget when it is served by new memory."""
        return round_up(nbytes, PAGE) if nbytes > SMALL_BYTES else self.size_class(nbytes)

    @property
    def unused(self) -> int:
        """Bytes that are held but not in use and could go back to the system."""
        return self._unused_bytes

    def take(self, nbytes: int) -> Block:
        """A block of at least so many bytes."""
        if nbytes > SMALL_BYTES:
            return Block(self._chunk(nbytes), None, nbytes)
        kind = self._kinds[-(-nbytes // ALIGNMENT)]
        slabs = self._open[kind]
        try:
            slab = slabs[-1] if slabs else self._new_slab(kind)
        except NoRoom:
            # The budget is nearly used up: pages for this one alone.
            return Block(self._chunk(nbytes), None, nbytes)
        place = slab.unused.pop()
        if not slab.unused:
            slabs.pop()
        return Block(slab.memory[place : place + self._small[kind]], slab, place)

    def give(self, block: Block) -> None:
        """Take a block back."""
        slab = block.home
        if not isinstance(slab, Slab):
            self._return_chunk(block.memory, block.place)
            return
        slabs = self._open[slab.kind]
        if not slab.unused:
            slab.index = len(slabs)
            slabs.append(slab)
        slab.unused.append(block.place)
        # One empty slab of a class stays cut: the next request will want it.
        if len(slab.unused) == slab.blocks and len(slabs) > 1:
            self._close(slab)

    def free(self, nbytes: int) -> None:
        """Give at least so many bytes of unused memory back to the system, or all there are."""
        if nbytes > self._unused_bytes:
            for slab in [slab for slabs in self._open for slab in slabs if len(slab.unused) == slab.blocks]:
                self._close(slab)
        while nbytes > 0 and self._unused:
            place = min(bisect_left(self._unused, (nbytes,)), len(self._unused) - 1)
            size, _, _ = self._unused.pop(place)
            self._unused_bytes -= size
            self._ledger.drop(size)
            nbytes -= size

    def _chunk(self, nbytes: int) -> Bytes:
        """A large block: an unused one that is not too large, or a new one."""
        asked = round_up(nbytes, PAGE)
        most = max(self._most_asked, self._asked + asked)
        place = bisect_left(self._unused, (asked,))
        if place < len(self._unused) and self._unused[place][0] <= max(asked, nbytes * SPACING):
            size, _, chunk = self._unused.pop(place)
            self._unused_bytes -= size
        else:
            size = asked
            self._make_room(size, most)
            chunk = self._ledger.map(size)
        self._asked, self._most_asked = self._asked + asked, most
        self._taken += size
        self._most_held = max(self._most_held, self._taken + self._unused_bytes)
        return chunk

    def _make_room(self, size: int, demand: int) -> None:
        """Give up unused blocks for a new one as far as the largest demand there was, and the budget, want it."""
        enough = self._most_held >= _ENOUGH * demand
        limit = self._most_held if enough else int(_MOST * demand)
        excess = max(self._taken + self._unused_bytes + size - limit, self._ledger.excess(size))
        if excess > 0:
            self.free(excess)

    def _return_chunk(self, chunk: Bytes, nbytes: int) -> None:
        """Keep a large block of which so many bytes were asked for."""
        size = len(chunk)
        self._number += 1
        entry = (size, self._number, chunk)
        self._unused.insert(bisect_left(self._unused, entry[:2]), entry)
        self._unused_bytes += size
        self._taken -= size
        self._asked -= round_up(nbytes, PAGE)

    def _new_slab(self, kind: int) -> Slab:
        """A slab of at least eight blocks; larger where the class has many, so that their number stays small."""
        size = self._small[kind]
        least = round_up(_BLOCKS_PER_SLAB * size, PAGE)
        share = power_of_two(self._cut[kind] // _SLABS_PER_CLASS)
        wanted = max(least, min(share, _MOST_SLAB))
        slab = Slab(self._chunk(wanted), wanted, kind, size)
        self._cut[kind] += wanted
        self._open[kind].append(slab)
        return slab

    def _close(self, slab: Slab) -> None:
        """Make an empty slab an unused large block."""
        slabs = self._open[slab.kind]
        last = slabs.pop()
        if last is not slab:
            slabs[slab.index] = last
            last.index = slab.index
        self._cut[slab.kind] -= slab.asked
        self._return_chunk(slab.memory, slab.asked)
