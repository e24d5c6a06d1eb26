"""The frame of a compressed stream: what is in it, how long it is, and a checksum over all of it.

A frame is a fixed head (magic, version, number of axes, codec, number type, bound, largest error, payload length), the
shape, an xxh3-64 checksum of everything else, and the payload of the codec. The reader says what it expects; a frame
that differs in number type, shape or length is refused before a byte of the payload is looked at.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xxhash

from hpcsim.errors import DiskError

MAGIC = b"HPCZ"
VERSION = 1
MAX_AXES = 8
MAX_NBYTES = 1 << 30
KINDS = "fiub"
_HEAD = struct.Struct("<4sBB16s4sddQ")


class Frame(NamedTuple):
    """What the head of a stream says.

    Attributes
    ----------
    codec : str
        Name of the codec that made the payload.
    dtype : dtype
        Number type, little-endian.
    shape : tuple of int
        Shape of the array.
    bound : float
        Largest absolute error that was allowed; 0 for a lossless codec.
    error : float
        Largest absolute error that was found by decoding; 0 for a lossless codec.
    payload : memoryview
        Bytes of the codec.
    """

    codec: str
    dtype: np.dtype
    shape: tuple[int, ...]
    bound: float
    error: float
    payload: memoryview


def wrap(codec: str, array: np.ndarray, payload: bytes | memoryview, bound: float = 0.0, error: float = 0.0) -> bytes:
    """A payload in its frame.

    Parameters
    ----------
    codec : str
        Name in `CODECS`, at most 16 ASCII characters.
    array : ndarray
        The array that was encoded; its number type and shape go into the head.
    payload : bytes
        What the codec made.
    bound, error : float
        As in `Frame`.

    Examples
    --------
    >>> frame = read_frame(wrap("none", np.zeros(2), bytes(16)))
    >>> frame.codec, frame.shape, len(frame.payload)
    ('none', (2,), 16)
    """
    kind = array.dtype.newbyteorder("<").str
    head = _HEAD.pack(
        MAGIC, VERSION, array.ndim, codec.encode("ascii"), kind.encode("ascii"), bound, error, len(payload)
    ) + struct.pack(f"<{array.ndim}Q", *array.shape)
    return b"".join((head, _checksum(head, payload), payload))


def read_frame(data: bytes | memoryview) -> Frame:
    """The parts of a stream.

    Raises
    ------
    DiskError
        If it is no stream of this package, has another length than it says, or its checksum is wrong.
    """
    view = memoryview(data).cast("B")
    if len(view) < _HEAD.size:
        raise DiskError(f"a compressed stream has at least {_HEAD.size} bytes, this one has {len(view)}")
    magic, version, ndim, codec, kind, bound, error, length = _HEAD.unpack_from(view)
    if magic != MAGIC:
        raise DiskError("this is no compressed stream of hpcsim (its first bytes are others)")
    if version != VERSION:
        raise DiskError(f"the compressed stream has version {version}; this version of hpcsim reads {VERSION}")
    start = _HEAD.size + 8 * ndim + 8
    if ndim > MAX_AXES or len(view) != start + length:
        raise DiskError(f"the compressed stream is damaged: it has {len(view)} bytes, its head says {start + length}")
    if bytes(view[start - 8 : start]) != _checksum(view[: start - 8], view[start:]):
        raise DiskError("the compressed stream is damaged: its checksum is wrong")
    shape = struct.unpack_from(f"<{ndim}Q", view, _HEAD.size)
    dtype = _dtype(kind)
    if math.prod(shape) * dtype.itemsize > MAX_NBYTES or not (math.isfinite(bound) and math.isfinite(error)):
        raise DiskError("the compressed stream is damaged: its head has impossible numbers")
    name = codec.rstrip(b"\0").decode("ascii", errors="replace")
    return Frame(name, dtype, shape, bound, error, view[start:])


def expect(data: bytes | memoryview, dtype: np.dtype | str, shape: Sequence[int]) -> Frame:
    """The parts of a stream that must hold an array of this number type and shape.

    Raises
    ------
    DiskError
        As `read_frame`, and if the number type or the shape is another.
    """
    frame = read_frame(data)
    wanted = np.dtype(dtype).newbyteorder("<")
    if frame.dtype != wanted or frame.shape != tuple(shape):
        raise DiskError(
            f"the compressed stream holds {frame.dtype.name} {frame.shape}, expected {wanted.name} {tuple(shape)}"
        )
    return frame


def _dtype(kind: bytes) -> np.dtype:
    """Number type of a head; only plain numbers of fixed size."""
    text = kind.rstrip(b"\0")
    if not (len(text) == 3 and text[:1] in b"<|" and chr(text[1]) in KINDS and text[2:] in (b"1", b"2", b"4", b"8")):
        raise DiskError("the compressed stream is damaged: its number type is unknown")
    try:
        return np.dtype(text.decode("ascii"))
    except TypeError as error:
        raise DiskError("the compressed stream is damaged: its number type is unknown") from error


def _checksum(head: bytes | memoryview, payload: bytes | memoryview) -> bytes:
    """xxh3-64 over both parts."""
    digest = xxhash.xxh3_64(head)
    digest.update(payload)
    return digest.digest()
