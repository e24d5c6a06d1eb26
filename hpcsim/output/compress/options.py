"""What a user asks for: a codec, an error bound or a ratio; and which of these go together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.output.compress import CODECS
from hpcsim.output.compress.choose import choose
from hpcsim.output.compress.codec import get_codec

AUTO = "auto"
# Snapshot formats that compress, and what they can write; None stands for every codec.
FORMATS: dict[str, frozenset[str] | None] = {"packed": None, "vtkhdf": frozenset({"none", "deflate", AUTO})}


@dataclass(frozen=True)
class Compression:
    """How a field is compressed.

    Parameters
    ----------
    codec : str
        Name in `CODECS`, or ``auto``: each piece of the field gets the codec that fits it.
    error : float, optional
        Largest absolute error allowed.
    ratio : float, optional
        Share of the bytes that a lossy codec may use, instead of an error.

    Examples
    --------
    >>> Compression("wavelet", error=1e-3).encode(np.linspace(0.0, 1.0, 4096)).codec
    'wavelet'
    """

    codec: str = "none"
    error: float | None = None
    ratio: float | None = None

    def encode(self, array: np.ndarray) -> Packed:
        """The stream of a piece, with the reason for its codec.

        Raises
        ------
        ConfigError
            If the codec does not exist, or its library is not installed.
        """
        if self.codec != AUTO:
            made = get_codec(self.codec).encode_fully(array, self.error, self.ratio)
            return Packed(made.data, made.codec, made.error, made.note or "asked for")
        name, reason = choose(array, self.error)
        made = get_codec(name).encode_fully(array, self.error)
        return Packed(made.data, made.codec, made.error, made.note or reason)


class Packed(NamedTuple):
    """A compressed piece.

    Attributes
    ----------
    data : bytes
        The stream.
    codec : str
        Codec that made it.
    error : float
        Largest absolute error, measured by decoding.
    reason : str
        Why this codec.
    """

    data: bytes
    codec: str
    error: float
    reason: str


def field_compression(
    format: str, codec: str, error: float | Mapping[str, float] | None, ratio: float | None, field: str
) -> Compression:
    """The compression of one field.

    Parameters
    ----------
    format, codec, error, ratio
        As in the section ``[output]``: a table of errors leaves the fields that are not in it exact.
    field : str
        Name of the field.

    Examples
    --------
    >>> field_compression("packed", "wavelet", {"u": 1e-3}, None, "v")
    Compression(codec='auto', error=None, ratio=None)
    """
    if format == "vtkhdf":
        return Compression("deflate" if codec == AUTO else codec)
    if isinstance(error, Mapping):
        return Compression(codec, error[field]) if field in error else Compression(AUTO)
    return Compression(codec, error, ratio)


def compression_faults(
    format: str,
    codec: str,
    error: float | Mapping[str, float] | None = None,
    ratio: float | None = None,
    fields: Collection[str] = (),
) -> Iterator[tuple[str, str]]:
    """What is wrong with a choice, as pairs of the key in ``[output]`` and a sentence with what would be right.

    Parameters
    ----------
    format : str
        Snapshot format.
    codec : str
        Name in `CODECS`, or ``auto``.
    error : float or mapping, optional
        Largest absolute error, for all fields or field by field.
    ratio : float, optional
        Share of the bytes.
    fields : collection of str
        Names that a table of errors may have.

    Examples
    --------
    >>> list(compression_faults("vtkhdf", "zstd"))[0][1]
    "the format 'vtkhdf' is for viewers, which know deflate only; set compression = 'deflate', or format = 'packed'"
    """
    if codec != AUTO and codec not in CODECS:
        yield "compression", unknown_name("codec", codec, [AUTO, *CODECS])
        return
    lossless = False
    if codec != AUTO:
        try:
            lossless = bool(get_codec(codec).lossless)
        except ConfigError as missing:
            yield "compression", str(missing)
            return
    format_faults = list(_format_faults(format, codec, error))
    yield from format_faults
    if format_faults:
        return
    for name, value in (("error", error), ("ratio", ratio)):
        if value is not None and lossless:
            yield name, f"the codec '{codec}' is lossless; remove this key, or set compression = 'wavelet' or 'auto'"
        elif isinstance(value, float) and not (math.isfinite(value) and value > 0.0):
            yield name, f"a number above 0 is needed, got {value}"
    for name in error if isinstance(error, Mapping) else ():
        if name not in fields:
            yield f"error.{name}", unknown_name("field", name, fields)
    if error is not None and ratio is not None:
        yield "ratio", "error and ratio exclude each other; give one"
    elif codec == AUTO and ratio is not None:
        yield "ratio", "'auto' keeps an error, not a ratio; set compression = 'wavelet', or give error"
    elif codec != AUTO and not lossless and error is None and ratio is None:
        yield "error", f"the codec '{codec}' is lossy: give error, the largest absolute error allowed, or ratio"


def _format_faults(format: str, codec: str, error: object) -> Iterator[tuple[str, str]]:
    """Codecs that a snapshot format cannot write."""
    known = FORMATS.get(format, frozenset({"none"}))
    if known is None:
        return
    if codec in known:
        if codec == AUTO and error is not None:
            yield "error", f"the format '{format}' keeps every bit; remove this key, or set format = 'packed'"
    elif format == "vtkhdf":
        text = "the format 'vtkhdf' is for viewers, which know deflate only; set compression = 'deflate'"
        yield "compression", f"{text}, or format = 'packed'"
    else:
        yield "compression", f"the format '{format}' does not compress; set format = 'packed', or compression = 'none'"
