"""The codecs that are always there: the plain bytes, and the deflate of the standard library."""

from __future__ import annotations

import zlib

import numpy as np

from hpcsim.output.compress.codec import Codec, raw_bytes
from hpcsim.output.compress.entropy import inflate, shuffled, unshuffled

DEFLATE_LEVEL = 4


class Plain(Codec):
    """The bytes as they are, with a checksum."""

    name = "none"

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        return bytes(raw_bytes(array))

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        return np.frombuffer(payload, dtype).reshape(shape).copy()


class Deflate(Codec):
    """Byte shuffle and deflate; lossless, needs no library, and ParaView reads it in VTKHDF files."""

    name = "deflate"

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        return zlib.compress(shuffled(array).data, DEFLATE_LEVEL)

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return unshuffled(np.frombuffer(inflate(payload, nbytes), np.uint8), dtype).reshape(shape)


NONE = Plain()
DEFLATE = Deflate()
