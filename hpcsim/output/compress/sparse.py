"""Fields that are one value nearly everywhere: the runs of all other values, bit for bit."""

from __future__ import annotations

import struct

import numpy as np

from hpcsim.output.compress.codec import Codec, Unsuitable
from hpcsim.output.compress.entropy import expand, shuffled, squeeze, unshuffled

SAMPLE = 1 << 16
_HEAD = struct.Struct("<QQB")


def bit_patterns(values: np.ndarray) -> np.ndarray:
    """The values as unsigned integers of the same size, with one axis; a view."""
    return values.reshape(-1).view(np.dtype(f"<u{values.itemsize}"))


def most_frequent(bits: np.ndarray) -> tuple[np.unsignedinteger, float]:
    """The most frequent pattern of a regular sample, and its share there.

    Examples
    --------
    >>> most_frequent(np.array([7, 0, 7, 7], np.uint8))
    (7, 0.75)
    """
    patterns, counts = np.unique(bits[:: max(1, bits.size // SAMPLE)], return_counts=True)
    place = int(counts.argmax())
    return patterns[place], float(counts[place] / counts.sum())


class Sparse(Codec):
    """Runs of values that are not the most frequent one, with their places; lossless to the bit of -0.0 and NaN."""

    name = "sparse"

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        bits = bit_patterns(array)
        background, _ = most_frequent(bits)
        edges = np.flatnonzero(np.diff((bits != background).view(np.int8), prepend=0, append=0))
        starts, ends = edges[::2], edges[1::2]
        # What lies between the runs; places grow, so these are small numbers.
        gaps = (starts - np.concatenate(([0], ends[:-1]))[: starts.size]).astype("<u4")
        values = bits[bits != background]
        if 2 * gaps.nbytes + values.nbytes > 4 * array.nbytes:
            raise Unsuitable("too many runs")
        head = _HEAD.pack(starts.size, values.size, array.itemsize) + background.tobytes()
        lengths = (ends - starts).astype("<u4")
        return head + b"".join(squeeze(shuffled(part)) for part in (gaps, lengths, values))

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        runs, count, itemsize = _HEAD.unpack_from(payload)
        size = int(np.prod(shape, dtype=np.int64))
        if itemsize != dtype.itemsize or not runs <= count <= size:
            raise ValueError("it has impossible numbers")
        kind = np.dtype(f"<u{itemsize}")
        background = np.frombuffer(payload[_HEAD.size : _HEAD.size + itemsize], kind)[0]
        gaps, rest = expand(payload[_HEAD.size + itemsize :], 4 * runs)
        lengths, rest = expand(rest, 4 * runs)
        values, rest = expand(rest, itemsize * count)
        length = unshuffled(lengths, np.dtype("<u4")).astype(np.int64)
        ends = np.cumsum(unshuffled(gaps, np.dtype("<u4")).astype(np.int64) + length)
        if rest or int(length.sum()) != count or runs and int(ends[-1]) > size:
            raise ValueError("its runs do not fit")
        bits = np.full(size, background, kind)
        first = np.cumsum(length) - length
        bits[np.repeat(ends - length - first, length) + np.arange(count)] = unshuffled(values, kind)
        return bits.view(dtype).reshape(shape)


SPARSE = Sparse()
