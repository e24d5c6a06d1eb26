"""Smooth fields by wavelets: a transform in all axes, rounded coefficients, and corrections where the bound needs them.

The transform is the biorthogonal 9/7 one (Cohen, Daubechies and Feauveau 1992) with mirrored ends, as in JPEG 2000: as
many coefficients as values, and no jump at the ends of a box that is cut out of a larger field. Coefficients are
rounded to multiples of 1.5 bounds. A site whose error is then above the bound gets a correction, a multiple of the
bound (Li, Lindstrom and Clyne 2023, "Lossy scientific data compression with SPERR"), so that the bound is kept at every
site and not only in the mean.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence

import numpy as np
import pywt

from hpcsim.output.compress.codec import Codec, Unsuitable
from hpcsim.output.compress.entropy import expand, shuffled, squeeze, unshuffled

FAMILY, MODE = "bior4.4", "periodization"
# Sites that the filters reach to either side; in the periodic mode low coefficients sit on even, high on odd sites.
REACH = 4
# A shorter axis is not halved.
SHORTEST = 8
MOST_LEVELS = 6
STEP = 1.5
# Share of the bound that rounding in the transform may take.
MARGIN = 1e-3
# A smaller bound, relative to the values, is near the rounding of the transform.
ROUNDING = 1e-11
_LARGEST = 2.0**53
_HEAD = struct.Struct("<dQBB")
_WIDTHS = (1, 2, 4, 8)


def plan(shape: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Shape before each level of the transform, and the axes that the level halves.

    Examples
    --------
    >>> plan((33, 4))
    [((33, 4), (0,)), ((17, 4), (0,)), ((9, 4), (0,))]
    """
    levels: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    current = tuple(shape)
    while len(levels) < MOST_LEVELS:
        axes = tuple(axis for axis, n in enumerate(current) if n >= SHORTEST)
        if not axes:
            break
        levels.append((current, axes))
        current = halved(current, axes)
    return levels


def halved(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Shape of the coarse band after one level."""
    return tuple((n + 1) // 2 if axis in axes else n for axis, n in enumerate(shape))


def bands(ndim: int, axes: Sequence[int]) -> dict[str, tuple[slice, ...]]:
    """Bands of a level as PyWavelets names them, each with its sites in an array that holds all of them interleaved.

    Examples
    --------
    >>> list(bands(3, (0, 2)))
    ['aa', 'ad', 'da', 'dd']
    """
    found = {}
    for letters in itertools.product("ad", repeat=len(axes)):
        sites = [slice(None)] * ndim
        for axis, letter in zip(axes, letters, strict=True):
            sites[axis] = slice("ad".index(letter), None, 2)
        found["".join(letters)] = tuple(sites)
    return found


def mirrored(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """The array with its ends mirrored in some axes, far enough for the filters and to an even number of sites."""
    width = [(REACH, REACH + n % 2) if axis in axes else (0, 0) for axis, n in enumerate(values.shape)]
    return np.pad(values, width, mode="reflect")


def split(values: np.ndarray, axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """One level: the coarse band, and all other coefficients with one axis."""
    parts = pywt.dwtn(mirrored(values, axes), FAMILY, MODE, axes=axes)
    cut = []
    for name in bands(values.ndim, axes):
        inner = [slice(None)] * values.ndim
        for axis, letter in zip(axes, name, strict=True):
            count = (values.shape[axis] + (letter == "a")) // 2
            inner[axis] = slice(REACH // 2, REACH // 2 + count)
        cut.append(parts[name][tuple(inner)])
    return np.ascontiguousarray(cut[0]), np.concatenate([part.reshape(-1) for part in cut[1:]])


def merge(coarse: np.ndarray, details: np.ndarray, shape: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """The array of a shape that `split` has taken apart."""
    together = np.empty(shape)
    places = bands(len(shape), axes)
    first = 0
    for name, sites in places.items():
        part = together[sites]
        if "d" in name:
            part[...] = details[first : first + part.size].reshape(part.shape)
            first += part.size
        else:
            part[...] = coarse
    # A mirrored array has mirrored coefficients.
    together = mirrored(together, axes)
    values = pywt.idwtn({name: together[sites] for name, sites in places.items()}, FAMILY, MODE, axes=axes)
    inner = tuple(slice(REACH, REACH + n) if axis in axes else slice(None) for axis, n in enumerate(shape))
    return np.ascontiguousarray(values[inner])


def forward(values: np.ndarray) -> list[np.ndarray]:
    """Coefficients of a float64 array: the coarsest values, then the details of each level, coarse ones first."""
    groups = []
    for _, axes in plan(values.shape):
        values, details = split(values, axes)
        groups.append(details)
    return [values.reshape(-1), *reversed(groups)]


def inverse(groups: Sequence[np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """The array whose coefficients these are.

    Examples
    --------
    >>> values = np.random.default_rng(0).random((21, 9))
    >>> bool(np.abs(inverse(forward(values), values.shape) - values).max() < 1e-10)
    True
    """
    levels = plan(shape)
    values = groups[0].reshape(halved(*levels[-1]) if levels else shape)
    for (whole, axes), details in zip(reversed(levels), groups[1:], strict=True):
        values = merge(values, details, whole, axes)
    return values


def group_sizes(shape: Sequence[int]) -> list[int]:
    """Number of coefficients in each group of `forward`.

    Examples
    --------
    >>> group_sizes((33, 4))
    [20, 16, 32, 64]
    """
    levels = plan(shape)
    details = [math.prod(whole) - math.prod(halved(whole, axes)) for whole, axes in reversed(levels)]
    return [math.prod(halved(*levels[-1]) if levels else shape), *details]


class Wavelet(Codec):
    """Wavelets in all axes with an error bound at every site; lossy, for smooth fields of 1 to 4 axes."""

    name = "wavelet"
    lossless = False

    def pack(self, array: np.ndarray, bound: float) -> bytes:
        if not plan(array.shape):
            raise Unsuitable(f"no axis has {SHORTEST} values")
        values = array.astype(np.float64)
        if bound < ROUNDING * float(np.abs(values).max()):
            raise Unsuitable("the bound is near the rounding of the values")
        step = STEP * bound
        with np.errstate(over="ignore", invalid="ignore"):
            whole = [np.rint(group / step) for group in forward(values)]
        if not all(float(np.abs(group).max()) < _LARGEST for group in whole):
            raise Unsuitable("the values are too large for the bound")
        restored = inverse([group * step for group in whole], array.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.abs(restored.astype(array.dtype).astype(np.float64) - values).reshape(-1)
            # Written so that NaN is an outlier too.
            places = np.flatnonzero(~(error <= (1.0 - MARGIN) * bound))
            wanted = np.rint((values.reshape(-1)[places] - restored.reshape(-1)[places]) / bound)
        if not np.abs(wanted).max(initial=0.0) <= 127.0:
            raise Unsuitable("the bound would be broken")
        groups = b"".join(_pack_integers(group) for group in whole)
        head = _HEAD.pack(bound, places.size, len(whole), 0)
        gaps = np.diff(places, prepend=0).astype("<u4")
        return head + groups + squeeze(shuffled(gaps)) + squeeze(wanted.astype(np.int8))

    def unpack(self, payload: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        bound, outliers, count, _ = _HEAD.unpack_from(payload)
        sizes, size = group_sizes(shape), math.prod(shape)
        if count != len(sizes) or outliers > size or not 0.0 < bound < math.inf or dtype.kind != "f":
            raise ValueError("it has impossible numbers")
        payload = payload[_HEAD.size :]
        groups = []
        for length in sizes:
            group, payload = _unpack_integers(payload, length)
            groups.append(group)
        gaps, payload = expand(payload, 4 * outliers)
        steps, payload = expand(payload, outliers)
        places = np.cumsum(unshuffled(gaps, np.dtype("<u4")).astype(np.int64))
        if payload or outliers and int(places[-1]) >= size:
            raise ValueError("its corrections do not fit")
        with np.errstate(over="ignore", invalid="ignore"):
            values = inverse([group * (STEP * bound) for group in groups], shape).reshape(-1)
            values[places] += steps.view(np.int8) * bound
            return values.astype(dtype).reshape(shape)


def _pack_integers(group: np.ndarray) -> bytes:
    """Whole numbers in as few bytes each as they need, small ones of both signs with empty upper bytes."""
    largest = float(np.abs(group).max(initial=0.0))
    width = next(width for width in _WIDTHS if largest < 2.0 ** (8 * width - 1))
    signed = group.astype(f"<i{width}")
    folded = (signed << 1) ^ (signed >> (8 * width - 1))
    return bytes([width]) + squeeze(shuffled(folded))


def _unpack_integers(payload: memoryview, count: int) -> tuple[np.ndarray, memoryview]:
    """The numbers of `_pack_integers` as floats, and what follows them."""
    if not payload or payload[0] not in _WIDTHS:
        raise ValueError("a group of coefficients has an unknown width")
    width = payload[0]
    data, rest = expand(payload[1:], width * count)
    folded = unshuffled(data, np.dtype(f"<u{width}"))
    signed = (folded >> np.uint8(1)).view(f"<i{width}") ^ -(folded & np.uint8(1)).view(f"<i{width}")
    return signed.astype(np.float64), rest


def finest_details(values: np.ndarray) -> np.ndarray:
    """Coefficients of the highest band, with one axis; empty if every axis is too short.

    Examples
    --------
    >>> bool(np.abs(finest_details(np.linspace(0.0, 1.0, 64)))[2:-2].max() < 1e-9)
    True
    """
    levels = plan(values.shape)
    return split(values.astype(np.float64), levels[0][1])[1] if levels else np.empty(0)


WAVELET = Wavelet()
