"""Fields with few different values, labels above all: a table of the values, and for each site its row."""

from __future__ import annotations

import struct

import numpy as np

from hpcsim.output.compress.codec import Codec, Unsuitable
from hpcsim.output.compress.entropy import expand, shuffled, squeeze, unshuffled
from hpcsim.output.compress.sparse import bit_patterns

MOST_VALUES = 1 << 16
_HEAD = struct.Struct("<IB")


def index_bits(count: int) -> int:
    """Bits of a row number: 1, 2, 4, 8 or 16; none for a single row.

    Examples
    --------
    >>> index_bits(1), index_bits(2), index_bits(16), index_bits(17)
    (0, 1, 4, 8)
    """
    return next(bits for bits in (0, 1, 2, 4, 8, 16) if count <= 1 << bits)


def pack_bits(indices: np.ndarray, bits: int) -> np.ndarray:
    """Small numbers (uint8, or uint16 for 16 bits) side by side in bytes, the first one lowest."""
    if bits >= 8:
        return indices
    per = 8 // bits
    padded = np.zeros(-(-indices.size // per) * per, np.uint8)
    padded[: indices.size] = indices
    columns = padded.reshape(-1, per)
    packed = columns[:, 0].copy()
    for place in range(1, per):
        packed |= columns[:, place] << np.uint8(place * bits)
    return packed


def unpack_bits(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first ``count`` numbers of `pack_bits`.

    Examples
    --------
    >>> unpack_bits(pack_bits(np.array([3, 0, 1, 2, 1], np.uint8), 2), 2, 5).tolist()
    [3, 0, 1, 2, 1]
    """
    if bits >= 8:
        return packed[:count]
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    spread = (packed[:, np.newaxis] >> shifts) & np.uint8((1 << bits) - 1)
    return spread.reshape(-1)[:count]


class Dictionary(Codec):
    """A table of the different bit patterns and packed row numbers; lossless, for labels and constants."""

    name = "dictionary"

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        bits = bit_patterns(array)
        table = np.unique(bits)
        if table.size > MOST_VALUES:
            raise Unsuitable(f"more than {MOST_VALUES} different values")
        width = index_bits(table.size)
        head = _HEAD.pack(table.size, width) + squeeze(shuffled(table))
        if not width:
            return head
        indices = np.searchsorted(table, bits).astype(np.uint8 if width <= 8 else "<u2")
        return head + squeeze(shuffled(pack_bits(indices, width)))

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        count, width = _HEAD.unpack_from(payload)
        size = int(np.prod(shape, dtype=np.int64))
        if not 1 <= count <= min(MOST_VALUES, size) or width != index_bits(count):
            raise ValueError("its table has an impossible size")
        kind = np.dtype(f"<u{dtype.itemsize}")
        raw, rest = expand(payload[_HEAD.size :], count * dtype.itemsize)
        table = unshuffled(raw, kind)
        if not width:
            bits = np.full(size, table[0], kind)
        else:
            packed, rest = expand(rest, -(-size * width // 8))
            index = unpack_bits(unshuffled(packed, np.dtype("<u2")) if width == 16 else packed, width, size)
            # An index beyond the table is an error here.
            bits = table[index]
        if rest:
            raise ValueError("it is too long")
        return bits.view(dtype).reshape(shape)


DICTIONARY = Dictionary()
