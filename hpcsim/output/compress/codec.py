"""The base of all codecs: framing, the check of the error bound by decoding, and the way back to a lossless codec."""

from __future__ import annotations

import math
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hpcsim.errors import ConfigError, DiskError
from hpcsim.output.compress import CODECS
from hpcsim.output.compress.stream import KINDS, MAX_NBYTES, expect, wrap

# What the decoders of the libraries raise on input that is not theirs.
_REFUSALS = (
    ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip


class Unsuitable(Exception):
    """Raised by `Codec.pack` for an array that the codec cannot hold; another codec then takes its place."""


class Encoded(NamedTuple):
    """A stream and how it came about.

    Attributes
    ----------
    data : bytes
        The stream.
    codec : str
        Codec that made it.
    error : float
        Largest absolute error, measured by decoding.
    note : str
        Why it is not the codec that was asked for; empty if it is.
    """

    data: bytes
    codec: str
    error: float
    note: str = ""


class Codec(ABC):
    """A way to turn an array into fewer bytes and back.

    A new codec has a `name`, and the methods `pack` and `unpack`; see docs/add-a-codec.md. All else is here: the
    stream tells what is in it, damage is found, an error bound is checked by decoding, and what a codec cannot do goes
    to a lossless one.

    Attributes
    ----------
    name : str
        Name in `CODECS`.
    lossless : bool
        Whether every bit comes back; if not, `encode` needs a bound.
    threads : bool
        Whether it may be used beside the main thread; not if HDF5 is under it.
    """

    name: str = ""
    lossless: bool = True
    threads: bool = True

    @abstractmethod
    def pack(self, array: np.ndarray, bound: float) -> bytes:
        """Payload of an array that is not empty.

        Parameters
        ----------
        array : ndarray
            C-contiguous, little-endian; all values are finite floats if the codec is lossy.
        bound : float
            Largest absolute error allowed; 0 for a lossless codec.

        Raises
        ------
        Unsuitable
            If the codec cannot hold this array, with the reason.
        """

    @abstractmethod
    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """The array of a payload; a payload that makes no sense raises ``ValueError``."""

    def reread(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """The array of a payload that this process has just made, for the check of the bound."""
        return self.unpack(payload, dtype, shape)

    def encode(self, array: np.ndarray, bound: float | None = None) -> bytes:
        """The stream of an array.

        Parameters
        ----------
        array : ndarray
            Floats, integers or flags; any shape and strides, at most 1 GiB.
        bound : float, optional
            Largest absolute error allowed. Lossless codecs need none and keep any.

        Returns
        -------
        bytes
            Never longer than the array by more than a head of some 100 bytes. If the bound cannot be kept (values
            that are not finite, noise below the resolution of the codec, integers) a lossless codec has made it.

        Raises
        ------
        ConfigError
            If the number type is not supported, the array is too large, or a lossy codec has no bound.
        """
        return self.encode_fully(array, bound).data

    def encode_fully(self, array: np.ndarray, bound: float | None = None, ratio: float | None = None) -> Encoded:
        """As `encode`, with a target size as the other choice, and with what came of it.

        Parameters
        ----------
        array, bound
            As for `encode`.
        ratio : float, optional
            Instead of a bound: the smallest error is looked for with which the stream has at most this share of the
            bytes of the array. Lossless codecs ignore it.
        """
        values = _prepared(array)
        if values.size == 0 or self.lossless:
            return self._without_loss(values)
        if (bound is None) == (ratio is None):
            raise ConfigError(f"the codec '{self.name}' needs an error bound or a ratio, and not both")
        for name, value in (("bound", bound), ("ratio", ratio)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"the {name} of a codec is a number above 0, got {value}")
        try:
            return self._with_loss(values, bound, ratio)
        except Unsuitable as reason:
            return default_lossless().encode_fully(values)._replace(note=str(reason))

    def _without_loss(self, values: np.ndarray) -> Encoded:
        """The stream of a lossless codec, or of the plain bytes where that is shorter."""
        note = ""
        try:
            payload: bytes | memoryview = self.pack(values, 0.0) if values.size else b""
        except Unsuitable as reason:
            if self is not default_lossless():
                return default_lossless().encode_fully(values)._replace(note=str(reason))
            payload, note = raw_bytes(values), str(reason)
        if len(payload) >= values.nbytes:
            name = "none"
            note = note or ("" if self.name == name else "no smaller" if values.size else "empty")
            return Encoded(wrap(name, values, raw_bytes(values)), name, 0.0, note)
        return Encoded(wrap(self.name, values, payload), self.name, 0.0, note)

    def _with_loss(self, values: np.ndarray, bound: float | None, ratio: float | None) -> Encoded:
        """The stream of a lossy codec whose error was measured."""
        if values.dtype.kind != "f":
            raise Unsuitable("integers are kept exact")
        if not np.isfinite(values).all():
            raise Unsuitable("values that are not finite")
        if bound is None:
            assert ratio is not None
            exact = default_lossless().encode_fully(values)
            if len(exact.data) <= ratio * values.nbytes:
                return exact._replace(note="lossless reaches the ratio")
            from hpcsim.output.compress.ratio import fit_ratio

            payload, bound = fit_ratio(self, values, ratio)
        else:
            payload = self.pack(values, bound)
        error = max_error(values, self.reread(memoryview(payload), values.dtype, values.shape))
        if not error <= bound:
            raise Unsuitable("the bound would be broken")
        if 2 * len(payload) > values.nbytes:
            exact = default_lossless().encode_fully(values)
            if len(exact.data) <= len(payload):
                return exact._replace(note="lossless is smaller")
        return Encoded(wrap(self.name, values, payload, bound, error), self.name, error)

    def decode(self, data: bytes | memoryview, dtype: np.dtype | str, shape: Sequence[int]) -> np.ndarray:
        """The array of a stream that `encode` made; memory is taken for this number type and shape only.

        Raises
        ------
        DiskError
            If the stream is damaged, or is not of this number type and shape.
        """
        return decode(data, dtype, shape)


def decode(data: bytes | memoryview, dtype: np.dtype | str, shape: Sequence[int]) -> np.ndarray:
    """The array of a stream of any codec.

    Parameters
    ----------
    data : bytes
        The stream.
    dtype, shape
        What it must hold.

    Returns
    -------
    ndarray
        C-contiguous, of the number type asked for.

    Raises
    ------
    DiskError
        If the stream is damaged, holds another number type or shape, or needs a library that is not installed.

    Examples
    --------
    >>> from hpcsim.output.compress import CODECS
    >>> data = CODECS.get("dictionary").encode(np.array([1.0, 2.0, 2.0, 1.0] * 50))
    >>> len(data) < 200, decode(data, "float64", (200,))[:4].tolist()
    (True, [1.0, 2.0, 2.0, 1.0])
    """
    frame = expect(data, dtype, shape)
    if frame.codec not in CODECS:
        name = f"'{frame.codec}'" if frame.codec.isidentifier() else "of no name"
        raise DiskError(f"the compressed stream was made by a codec {name} that is not known here; load its plug-in")
    try:
        codec = get_codec(frame.codec)
        if math.prod(frame.shape) == 0:
            return np.empty(frame.shape, dtype)
        values = codec.unpack(frame.payload, frame.dtype, frame.shape)
    except ConfigError as error:
        raise DiskError(f"the compressed stream cannot be read: {error}") from error
    except ModuleNotFoundError as error:
        raise DiskError(f"the compressed stream of the codec '{frame.codec}' needs {missing(error)}") from error
    except _REFUSALS as error:
        raise DiskError(f"the compressed stream of the codec '{frame.codec}' is damaged: {error}") from error
    if values.dtype != frame.dtype or values.shape != frame.shape:
        raise DiskError(f"the compressed stream of the codec '{frame.codec}' is damaged: it has another shape inside")
    return np.ascontiguousarray(values, dtype)


def get_codec(name: str) -> Any:
    """The codec of a name, with what to install if its library is missing.

    Raises
    ------
    ConfigError
        If there is no such codec, or it needs a library that is not installed.
    """
    try:
        return CODECS.get(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"the codec '{name}' needs {missing(error)}") from error


def missing(error: ModuleNotFoundError) -> str:
    """Which library is missing, and how to get it."""
    package = {"pywt": "PyWavelets"}.get(error.name or "", error.name)
    return f"{package}, which is not installed; install it with: pip install {package}"


def default_lossless() -> Codec:
    """The lossless codec for everything: zstd, or deflate where numcodecs is not installed."""
    try:
        found: Codec = CODECS.get("zstd")
    except ModuleNotFoundError:
        found = CODECS.get("deflate")
    return found


def raw_bytes(values: np.ndarray) -> memoryview:
    """The bytes of a contiguous array."""
    return values.reshape(-1).view(np.uint8).data


def max_error(a: np.ndarray, b: np.ndarray) -> float:
    """Largest absolute difference, NaN if there is one.

    Examples
    --------
    >>> max_error(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    0.5
    """
    if not a.size:
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _prepared(array: np.ndarray) -> np.ndarray:
    """The array as codecs take it."""
    values = np.asarray(array)
    if values.dtype.kind not in KINDS or values.dtype.itemsize > 8:
        raise ConfigError(f"arrays of type {values.dtype} cannot be compressed; use floats, integers or flags")
    if values.nbytes > MAX_NBYTES or values.ndim > 8:
        raise ConfigError(f"an array of {values.nbytes} bytes and {values.ndim} axes is too large; cut it into pieces")
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(values.shape)
