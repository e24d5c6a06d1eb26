"""Byte shuffle and Zstandard, the lossless codec for most fields."""

from __future__ import annotations

import numpy as np
from numcodecs.zstd import compress

from hpcsim.output.compress.codec import Codec
from hpcsim.output.compress.entropy import shuffled, unshuffled, unzstd

LEVEL = 3


class Zstd(Codec):
    """Byte shuffle and Zstandard; lossless, small and fast."""

    name = "zstd"

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        packed: bytes = compress(shuffled(array), LEVEL)
        return packed

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return unshuffled(unzstd(payload, nbytes), dtype).reshape(shape)


ZSTD = Zstd()
