"""Memory from the operating system: private mappings whose pages are placed by whoever touches them first.

Large mappings begin on a big-page boundary and ask for big pages (`madvise(2)`, MADV_HUGEPAGE): the first touch and
sweeps over such memory then take a fraction of the page faults. Nothing here touches the memory it maps.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

PAGE = mmap.PAGESIZE
BIG_PAGE = 2 << 20
# Mappings that hold at least two whole big pages, so that the last page, touched in part, weighs little.
BIG_BYTES = 2 * BIG_PAGE

Bytes = NDArray[np.uint8]


def round_up(nbytes: int, unit: int) -> int:
    """The next multiple of a unit.

    Examples
    --------
    >>> round_up(4097, 4096), round_up(4096, 4096)
    (8192, 4096)
    """
    return -(-nbytes // unit) * unit


def power_of_two(nbytes: int) -> int:
    """The next power of two.

    Examples
    --------
    >>> power_of_two(4097), power_of_two(4096), power_of_two(0)
    (8192, 4096, 1)
    """
    return 1 << max(nbytes - 1, 0).bit_length()


def map_bytes(nbytes: int) -> Bytes:
    """Fresh private memory.

    Parameters
    ----------
    nbytes : int
        Size, at least 1.

    Returns
    -------
    ndarray of uint8, shape ``(nbytes,)``
        Zero, not touched, page-aligned; it goes back to the system with the last array that looks into it.

    Raises
    ------
    MemoryError
        If the system refuses.
    """
    big = nbytes >= BIG_BYTES
    spare = BIG_PAGE - PAGE if big else 0
    try:
        mapping = mmap.mmap(-1, round_up(nbytes, PAGE) + spare, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"the system refuses {nbytes} bytes: {error.strerror}") from None
    whole = np.frombuffer(mapping, np.uint8)
    first = -whole.ctypes.data % BIG_PAGE if big else 0
    if big and hasattr(mmap, "MADV_HUGEPAGE"):
        # Whole big pages only: one that ends past the mapping's use would be paid for in full.
        mapping.madvise(mmap.MADV_HUGEPAGE, first, nbytes // BIG_PAGE * BIG_PAGE)
    return whole[first : first + nbytes]
