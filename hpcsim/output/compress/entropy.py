"""The last stage of every own codec: bytes of equal rank put together, then zstd (or zlib where zstd is missing)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np

_RAW, _ZLIB, _ZSTD = range(3)
_ZLIB_LEVEL, _ZSTD_LEVEL = 4, 3
_HEAD = struct.Struct("<BQ")


@cache
def _zstd() -> tuple[Callable[..., bytes], Callable[..., object]] | None:
    """Compressor and decompressor of numcodecs, None if it is not installed."""
    try:
        from numcodecs import zstd
    except ImportError:
        return None
    return zstd.compress, zstd.decompress


def squeeze(data: np.ndarray) -> bytes:
    """A block of bytes, compressed, with its method and compressed length in front.

    Parameters
    ----------
    data : ndarray
        Any array; its bytes in C order are taken.
    """
    raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    zstd = _zstd()
    packed = zstd[0](raw, _ZSTD_LEVEL) if zstd and len(raw) else zlib.compress(raw, _ZLIB_LEVEL)
    method = _ZSTD if zstd and len(raw) else _ZLIB
    if len(packed) >= len(raw):
        method, packed = _RAW, bytes(raw)
    return _HEAD.pack(method, len(packed)) + packed


def expand(payload: memoryview, nbytes: int) -> tuple[np.ndarray, memoryview]:
    """The bytes of the block at the start of a payload, and what follows it.

    Parameters
    ----------
    payload : memoryview
        Begins with a block of `squeeze`.
    nbytes : int
        Bytes the block must have; no more memory is taken.

    Raises
    ------
    ValueError
        If the block is damaged or has another length.
    """
    if len(payload) < _HEAD.size:
        raise ValueError("it ends within a block")
    method, length = _HEAD.unpack_from(payload)
    block, rest = payload[_HEAD.size : _HEAD.size + length], payload[_HEAD.size + length :]
    if len(block) != length:
        raise ValueError("it ends within a block")
    if method == _RAW:
        data = np.frombuffer(block, np.uint8)
    elif method == _ZLIB:
        data = np.frombuffer(inflate(block, nbytes), np.uint8)
    elif method == _ZSTD:
        data = unzstd(block, nbytes)
    else:
        raise ValueError(f"a block has the unknown method {method}")
    if data.nbytes != nbytes:
        raise ValueError(f"a block has {data.nbytes} bytes, expected {nbytes}")
    return data, rest


def inflate(block: memoryview, nbytes: int) -> bytes:
    """Deflated bytes with a known length; a longer stream is refused after ``nbytes`` bytes."""
    stream = zlib.decompressobj()
    data = stream.decompress(block, max(1, nbytes))
    if not stream.eof:
        # The end mark may still be unread.
        data += stream.decompress(stream.unconsumed_tail, 1)
    if len(data) != nbytes or not stream.eof or stream.unused_data:
        raise ValueError("its deflated length is wrong")
    return data


def unzstd(block: memoryview, nbytes: int) -> np.ndarray:
    """Zstandard into a buffer of known length."""
    zstd = _zstd()
    if zstd is None:
        raise ModuleNotFoundError("numcodecs is not installed", name="numcodecs")
    data = np.empty(nbytes, np.uint8)
    zstd[1](block, data)
    return data


def shuffled(values: np.ndarray) -> np.ndarray:
    """Bytes of a contiguous array with the first bytes of all values first, then the second ones, and so on.

    Examples
    --------
    >>> shuffled(np.array([1, 2], "<u2")).tolist()
    [1, 2, 0, 0]
    """
    if values.itemsize == 1:
        return values.reshape(-1).view(np.uint8)
    return np.ascontiguousarray(values.reshape(-1).view(np.uint8).reshape(-1, values.itemsize).T).reshape(-1)


def unshuffled(data: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values that `shuffled` has turned into bytes, with one axis."""
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(data.reshape(size, -1).T).reshape(-1).view(dtype)
