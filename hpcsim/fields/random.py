"""Random numbers keyed by (seed, stream, site, step): the same on any rank, block, thread and order.

Philox4x32-10 is a function from a 128-bit counter and a 64-bit key to 128 random bits; no state is kept. The key is the
seed, the counter is (site, step, stream). Normals use only additions, multiplications, divisions and square roots,
which IEEE 754 fixes to the bit, and no function of the platform's mathematical library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.fields.quantile import normal_quantile

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

# sites per piece: the working arrays of one piece stay in the second-level cache
_PIECE = 1 << 13

Words = tuple[Any, Any, Any, Any]


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32 with 10 rounds.

    Parameters
    ----------
    counter : four uint64 arrays or scalars
        Words of the counter, each below 2**32, lowest first.
    key : two int
        Words of the key, each below 2**32, lowest first.

    Returns
    -------
    four uint64 arrays
        Random words below 2**32.

    Examples
    --------
    >>> words = philox((np.uint64(0),) * 4, (0, 0))
    >>> [f"{int(word):08x}" for word in words]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    for k0, k1 in round_keys(key):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0), p1 & _LOW
        c2, c3 = (p0 >> _HALF) ^ c3 ^ np.uint64(k1), p0 & _LOW
    return c0, c1, c2, c3


def round_keys(key: tuple[int, int]) -> list[tuple[int, int]]:
    """Two words of the key for each round of `philox`."""
    (low, high), (a, b) = key, _WEYL
    return [((low + turn * a) & 0xFFFFFFFF, (high + turn * b) & 0xFFFFFFFF) for turn in range(ROUNDS)]


def key_words(seed: int) -> tuple[int, int]:
    """A seed below 2**64 as the key of `philox`."""
    return seed & 0xFFFFFFFF, seed >> 32


def stream_id(name: str, component: int = 0) -> int:
    """Stream of a field's component, fixed by its name alone: not by the order of declaration or the process.

    Examples
    --------
    >>> stream_id("noise") == stream_id("noise", 0) != stream_id("noise", 1)
    True
    """
    return int.from_bytes(hashlib.blake2s(f"{name}[{component}]".encode(), digest_size=4).digest(), "little")


def uniform(seed: int, stream: int, sites: NDArray[np.uint64], step: int) -> NDArray[np.float64]:
    """Uniform numbers in the open interval (0, 1), multiples of 2**-53, symmetric about 1/2.

    Parameters
    ----------
    seed : int
        Seed of the run, 0 <= seed < 2**64.
    stream : int
        Which sequence of the run, 0 <= stream < 2**32; see `stream_id`.
    sites : ndarray of uint64
        Global numbers of the sites, any shape; see `sites.site_numbers`.
    step : int
        Step of the run, 0 <= step < 2**32.

    Returns
    -------
    ndarray of float64
        Shape of `sites`.

    Raises
    ------
    ValueError
        If seed, stream or step is out of range.
    TypeError
        If `sites` is not uint64.

    Examples
    --------
    >>> sites = np.arange(4, dtype=np.uint64)
    >>> bool((uniform(1, 0, sites, 7)[2:] == uniform(1, 0, sites[2:], 7)).all())
    True
    """
    return _by_pieces(seed, stream, sites, step, lambda u: u)


def normal(seed: int, stream: int, sites: NDArray[np.uint64], step: int) -> NDArray[np.float64]:
    """Normal numbers of mean 0 and variance 1; parameters and errors as for `uniform`."""
    return _by_pieces(seed, stream, sites, step, normal_quantile)


def _by_pieces(
    seed: int,
    stream: int,
    sites: NDArray[np.uint64],
    step: int,
    law: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """A law applied to one uniform number per site."""
    for what, given, bits in (("seed", seed, 64), ("stream", stream, 32), ("step", step, 32)):
        if not 0 <= given < 1 << bits:
            raise ValueError(f"{what} = {given} is outside 0 <= {what} < 2**{bits}")
    sites = np.asarray(sites)
    if sites.dtype != np.uint64:
        raise TypeError(f"sites must be uint64, not {sites.dtype}")
    flat = sites.reshape(-1)
    drawn = np.empty(flat.size, np.float64)
    key = key_words(seed)
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        w0, w1, _, _ = philox((piece & _LOW, piece >> _HALF, np.uint64(step), np.uint64(stream)), key)
        top = (w0 << np.uint64(20)) | (w1 >> np.uint64(12))
        drawn[start : start + _PIECE] = law((top.astype(np.float64) + 0.5) * 2.0**-52)
    return drawn.reshape(sites.shape)
