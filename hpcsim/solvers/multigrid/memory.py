"""Arrays for the loops: on large pages, at cache lines, apart from each other in the caches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE_BYTES = 64
PAGE_BYTES = 4096
_SKEW_LINES = 9


def zeros(length: int, dtype: DTypeLike, place: int = 0) -> NDArray[Any]:
    """A flat array of zeros.

    The memory is touched here: NumPy asks for large pages only where it does not get zeroed ones from the system, and
    without them a walk along several planes waits for address translation.

    Parameters
    ----------
    length : int
        Elements.
    dtype : dtype-like
        Their type.
    place : int
        Arrays that are read together get different numbers: they then begin at different places of a memory page, for
        a store and a load at the same place of two pages wait for each other.

    Examples
    --------
    >>> zeros(8, "float32", 3).ctypes.data % 64
    0
    """
    size = length * np.dtype(dtype).itemsize
    memory = np.empty(size + 2 * PAGE_BYTES, np.uint8)
    start = -memory.ctypes.data % PAGE_BYTES + place * _SKEW_LINES * LINE_BYTES % PAGE_BYTES
    array = memory[start : start + size].view(dtype)
    array.fill(0)
    return array
