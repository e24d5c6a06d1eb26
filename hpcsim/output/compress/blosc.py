"""Blosc, which shuffles and compresses in blocks that fit the cache."""

from __future__ import annotations

import struct

import numpy as np
from numcodecs import blosc

from hpcsim.output.compress.codec import Codec

_HEAD = struct.Struct("<BBBBIII")


class Blosc(Codec):
    """Byte shuffle and LZ4 by Blosc; lossless, the fastest."""

    name = "blosc"
    _settings = (b"lz4", 5, blosc.SHUFFLE)

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        # Threads of its own would take the cores of other ranks.
        blosc.use_threads = False
        packed: bytes = blosc.compress(array.reshape(-1), *self._settings)
        return packed

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        blosc.use_threads = False
        values = np.empty(shape, dtype)
        if len(payload) < _HEAD.size:
            raise ValueError("it ends within the head")
        # The library trusts the lengths in its head.
        nbytes, block, packed = _HEAD.unpack_from(payload)[4:]
        if (nbytes, packed) != (values.nbytes, len(payload)) or not 0 < block <= nbytes:
            raise ValueError("the lengths in its head are wrong")
        blosc.decompress(payload, values.reshape(-1))
        return values


class BitShuffle(Blosc):
    """Bit shuffle and Zstandard by Blosc; lossless, smallest for integers and for fields with few different values."""

    name = "bitshuffle"
    _settings = (b"zstd", 5, blosc.BITSHUFFLE)


BLOSC = Blosc()
BITSHUFFLE = BitShuffle()
