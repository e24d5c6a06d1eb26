"""The codec that fits an array: constant, label, sparse and smooth fields are told apart by looking at the values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpcsim.output.compress.codec import default_lossless
from hpcsim.output.compress.sparse import SAMPLE, bit_patterns, most_frequent

# More different values than this are no labels; less of the background than this is not sparse.
MOST_LABELS = 256
SPARSE_SHARE = 0.7
# A field is smooth if its finest details have less of its variance than this.
SMOOTH_SHARE = 0.01
_MOST_SAMPLED = 1 << 18
_WORTH = 0.6


class Choice(NamedTuple):
    """A codec and why.

    Attributes
    ----------
    name : str
        Name in `CODECS`.
    reason : str
        What the array looks like, in a word or a few.
    """

    name: str
    reason: str


def choose(array: np.ndarray, bound: float | None = None) -> Choice:
    """The codec for an array.

    Parameters
    ----------
    array : ndarray
        Floats, integers or flags.
    bound : float, optional
        Largest absolute error allowed; without one only lossless codecs are chosen.

    Returns
    -------
    Choice
        ``dictionary`` for constants and at most 256 different values, ``sparse`` if 70 % of the values are the same,
        ``wavelet`` for smooth floats if there is a bound, else the lossless codec for everything.

    Examples
    --------
    >>> choose(np.zeros(100))
    Choice(name='dictionary', reason='constant')
    >>> choose(np.random.default_rng(0).normal(size=(32, 32)), bound=1e-3)
    Choice(name='zstd', reason='noise')
    """
    values = np.ascontiguousarray(array)
    lossless = default_lossless().name
    if not values.size:
        return Choice(lossless, "empty")
    bits = bit_patterns(values)
    sampled = np.unique(bits[:: max(1, bits.size // SAMPLE)]).size
    if sampled <= MOST_LABELS:
        count = np.unique(bits).size
        if count == 1:
            return Choice("dictionary", "constant")
        # A table longer than the values themselves would be no gain.
        if count <= min(MOST_LABELS, bits.size // 4):
            return Choice("dictionary", "few values")
    if most_frequent(bits)[1] >= SPARSE_SHARE:
        return Choice("sparse", "mostly one value")
    if values.dtype.kind != "f":
        return Choice(lossless, "integers")
    if not np.isfinite(values).all():
        return Choice(lossless, "not finite")
    if bound is None:
        return Choice(lossless, "no error allowed")
    return _smooth_or_not(values, bound, lossless)


def _smooth_or_not(values: np.ndarray, bound: float, lossless: str) -> Choice:
    """Wavelets if the field is smooth, or its roughness is below the bound, and the bound leaves something to gain."""
    try:
        from hpcsim.output.compress.wavelet import ROUNDING, STEP, finest_details
    except ModuleNotFoundError:
        return Choice(lossless, "PyWavelets is not installed")
    part = middle(values)
    details = finest_details(part)
    if not details.size:
        return Choice(lossless, "short axes")
    with np.errstate(over="ignore", invalid="ignore"):
        rough, variance = float(np.mean(details**2)), float(np.var(part.astype(np.float64)))
        needed = float(np.mean(np.log2(1.0 + np.abs(details) / (STEP * bound))))
    # An overflow counts as noise.
    if not np.isfinite(rough) or rough > max(SMOOTH_SHARE * variance, bound**2):
        return Choice(lossless, "noise")
    if bound < ROUNDING * float(np.abs(part).max()) or not needed <= _WORTH * 8 * values.itemsize:
        return Choice(lossless, "the bound leaves nothing to gain")
    return Choice("wavelet", "smooth")


def middle(values: np.ndarray) -> np.ndarray:
    """A box from the middle of an array with at most 2^18 values, as near to a cube as the array allows."""
    shape = list(values.shape)
    while int(np.prod(shape, dtype=np.int64)) > _MOST_SAMPLED:
        longest = shape.index(max(shape))
        shape[longest] = (shape[longest] + 1) // 2
    cut = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(values.shape, shape, strict=True))
    return values[cut]
