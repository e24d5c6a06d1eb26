"""Strategy ``buddy`` of the pool: blocks of a power of two, split in halves and joined again.

A block that is returned joins its other half whenever that is unused too, so that memory of many small leases serves a
large one later. A lease may take twice what it asked for (Knowlton, "A fast storage allocator", CACM 8 (1965) 623).
"""

from __future__ import annotations

from hpcsim.fields.chunks import Bytes, power_of_two
from hpcsim.fields.ledger import ALIGNMENT, Block, Ledger

ARENA_BYTES = 1 << 24
"""What is asked of the system at once, if the budget has room for it; larger blocks have an arena of their own."""

_ORDERS = 63


class Buddy:
    """The strategy; see the module.

    Parameters
    ----------
    ledger : Ledger
        Account of the pool.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._arenas: dict[int, Bytes] = {}
        self._number = 0
        # Per power of two the unused blocks: arena and place in it, in the order of their return.
        self._unused: list[dict[tuple[int, int], None]] = [{} for _ in range(_ORDERS)]

    def size_class(self, nbytes: int) -> int:
        """Bytes of the class that serves a request."""
        return max(ALIGNMENT, power_of_two(nbytes))

    footprint = size_class

    @property
    def unused(self) -> int:
        """Bytes that are held but not in use and could go back to the system."""
        return sum(len(memory) for number, memory in self._arenas.items() if self._is_unused(number))

    def take(self, nbytes: int) -> Block:
        """A block of at least so many bytes, split from the smallest unused one."""
        order = _order(self.size_class(nbytes))
        found = next((o for o in range(order, _ORDERS) if self._unused[o]), None)
        if found is None:
            found = self._grow(order)
        (arena, place), _ = self._unused[found].popitem()
        while found > order:
            found -= 1
            self._unused[found][arena, place + (1 << found)] = None
        return Block(self._arenas[arena][place : place + (1 << order)], arena, place)

    def give(self, block: Block) -> None:
        """Take a block back and join it with its other half as far as that is unused."""
        arena, place, order = block.home, block.place, _order(len(block.memory))
        assert isinstance(arena, int)
        whole = _order(len(self._arenas[arena]))
        while order < whole and (arena, place ^ (1 << order)) in self._unused[order]:
            del self._unused[order][arena, place ^ (1 << order)]
            place &= ~(1 << order)
            order += 1
        self._unused[order][arena, place] = None

    def free(self, nbytes: int) -> None:
        """Give at least so many bytes of unused arenas back to the system, or all there are."""
        for number, memory in list(self._arenas.items()):
            if nbytes <= 0:
                return
            if self._is_unused(number):
                del self._unused[_order(len(memory))][number, 0], self._arenas[number]
                self._ledger.drop(len(memory))
                nbytes -= len(memory)

    def _is_unused(self, number: int) -> bool:
        """Whether no part of an arena is in use."""
        return (number, 0) in self._unused[_order(len(self._arenas[number]))]

    def _grow(self, order: int) -> int:
        """A new arena, smaller where the budget has no room for a usual one; its order."""
        size = max(1 << order, ARENA_BYTES)
        while size > 1 << order and self._ledger.excess(size) > 0:
            size //= 2
        if self._ledger.excess(size) > 0:
            self.free(self._ledger.excess(size))
        memory = self._ledger.map(size)
        self._arenas[self._number] = memory
        self._unused[_order(size)][self._number, 0] = None
        self._number += 1
        return _order(size)


def _order(size: int) -> int:
    """Exponent of a power of two."""
    return size.bit_length() - 1
