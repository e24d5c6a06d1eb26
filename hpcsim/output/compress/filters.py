"""Codecs of the HDF5 filters that hdf5plugin brings: zfp, SZ3 and Blosc2."""

from __future__ import annotations

import math
import struct

import numpy as np

from hpcsim.output.compress.codec import Codec, Unsuitable, max_error
from hpcsim.output.compress.hdf5_filter import read_chunk, write_chunk
from hpcsim.output.compress.isolated import Isolated

_BOUND = struct.Struct("<d")
_FEWEST_VALUES = 64


class FilterCodec(Codec):
    """An HDF5 filter applied to one chunk in memory.

    The decoders of these libraries are not made for damaged input, SZ3 reads outside of its memory then: streams that
    come from elsewhere are decoded in a process of their own.
    """

    threads = False
    most_axes = 4

    def __init__(self) -> None:
        self._isolated = Isolated()

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        values = self._chunk(array)
        try:
            return _BOUND.pack(bound) + write_chunk(self.name, bound, values)
        except (OSError, ValueError) as error:
            raise Unsuitable(f"the filter {self.name} refuses the array") from error

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        bound, chunk = self._split(payload)
        return self._isolated.decode(self.name, bound, chunk, dtype, self._shape(shape)).reshape(shape)

    def reread(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        bound, chunk = self._split(payload)
        return read_chunk(self.name, bound, bytes(chunk), dtype, self._shape(shape)).reshape(shape)

    def _chunk(self, array: np.ndarray) -> np.ndarray:
        """The array with axes of one value left out, as the filters want it."""
        shape = self._shape(array.shape)
        if array.size < _FEWEST_VALUES or len(shape) > self.most_axes:
            raise Unsuitable(f"{self.name} takes {_FEWEST_VALUES} values or more on 1 to {self.most_axes} axes")
        if not self.lossless and array.itemsize < 4:
            raise Unsuitable(f"{self.name} takes float32 and float64 only")
        return array.reshape(shape)

    @staticmethod
    def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n for n in shape if n > 1) or (math.prod(shape),)

    @staticmethod
    def _split(payload: memoryview) -> tuple[float, memoryview]:
        (bound,) = _BOUND.unpack_from(payload)
        if not 0.0 <= bound < math.inf:
            raise ValueError("its bound is no number")
        return bound, payload[_BOUND.size :]


class Zfp(FilterCodec):
    """zfp in its fixed-accuracy mode; lossy, for float fields of 1 to 4 axes (Lindstrom 2014)."""

    name = "zfp"
    lossless = False

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        # The error of zfp is mostly some times smaller than its tolerance, which is a power of two.
        for tolerance in (4.0 * bound, 2.0 * bound):
            payload = super().pack(array, tolerance)
            if max_error(array, self.reread(memoryview(payload), array.dtype, array.shape)) <= bound:
                return payload
        return super().pack(array, bound)


class Sz3(FilterCodec):
    """SZ3 with an absolute error bound; lossy, for float fields of 1 to 4 axes (Liang et al. 2022)."""

    name = "sz3"
    lossless = False


class Blosc2(FilterCodec):
    """Bit shuffle and Zstandard by Blosc2, through its HDF5 filter; lossless."""

    name = "blosc2"
    most_axes = 8


BLOSC2 = Blosc2()
ZFP = Zfp()
SZ3 = Sz3()
