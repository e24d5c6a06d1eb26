"""Space-filling curves: the order in which the blocks of a grid are strung, so that runs of it are compact."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpcsim.registry import Registry

Coords: TypeAlias = NDArray[np.uint64]
KeyMaker: TypeAlias = Callable[[Coords, int], list[NDArray[np.uint64]]]

CURVES = Registry(
    "curve",
    {
        "hilbert": "hpcsim.lattice.curve:hilbert_keys",
        "morton": "hpcsim.lattice.curve:morton_keys",
    },
)


def curve_order(grid: tuple[int, ...], curve: str) -> NDArray[np.int64]:
    """Coordinates of all blocks of a grid in the order of a curve.

    A grid that is no power-of-two cube takes the curve of the smallest cube around it and skips the places outside.
    Axes with one block are left out of the curve.

    Parameters
    ----------
    grid : tuple of int
        Blocks per axis.
    curve : str
        A name of `CURVES`.

    Returns
    -------
    ndarray of int64, shape (blocks, ndim)
        Row i is the place of the i-th block of the curve.

    Raises
    ------
    ConfigError
        If the curve is unknown.

    Examples
    --------
    >>> curve_order((2, 2), "hilbert").tolist()
    [[0, 0], [0, 1], [1, 1], [1, 0]]
    """
    make_keys: KeyMaker = CURVES.get(curve)
    places = np.indices(grid, dtype=np.int64).reshape(len(grid), -1)
    wide = [axis for axis, count in enumerate(grid) if count > 1]
    if not wide:
        return np.ascontiguousarray(places.T)
    bits = (max(grid) - 1).bit_length()
    keys = make_keys(places[wide].astype(np.uint64), bits)
    return np.ascontiguousarray(places[:, np.lexsort(keys[::-1])].T)


def morton_keys(coords: Coords, bits: int) -> list[NDArray[np.uint64]]:
    """Morton (Z) order: the bits of the coordinates interleaved, first axis most significant.

    Parameters
    ----------
    coords : ndarray of uint64, shape (ndim, n)
        Places in a cube of side ``2**bits``.
    bits : int
        Bits per coordinate.

    Returns
    -------
    list of ndarray of uint64, shape (n,)
        The key as words, most significant first.

    Examples
    --------
    >>> morton_keys(np.array([[0, 0, 1, 1], [0, 1, 0, 1]], dtype=np.uint64), 1)[0].tolist()
    [0, 1, 2, 3]
    """
    ndim = len(coords)
    levels_per_word = 64 // ndim
    words = []
    # A word holds whole levels, so that words compare like the digits of one long number.
    for top in range(bits, 0, -levels_per_word):
        word = np.zeros(coords.shape[1], dtype=np.uint64)
        for level in range(top - 1, max(top - levels_per_word, 0) - 1, -1):
            for axis in range(ndim):
                word = (word << np.uint64(1)) | ((coords[axis] >> np.uint64(level)) & np.uint64(1))
        words.append(word)
    return words


def hilbert_keys(coords: Coords, bits: int) -> list[NDArray[np.uint64]]:
    """Hilbert order: consecutive places of a power-of-two cube share a face.

    The coordinates are rotated and reflected level by level into the transposed form of J. Skilling, "Programming
    the Hilbert curve", AIP Conf. Proc. 707 (2004) 381, whose interleaved bits are the position along the curve.

    Parameters
    ----------
    coords : ndarray of uint64, shape (ndim, n)
        Places in a cube of side ``2**bits``.
    bits : int
        Bits per coordinate.

    Returns
    -------
    list of ndarray of uint64, shape (n,)
        The key as words, most significant first.

    Examples
    --------
    >>> hilbert_keys(np.array([[0, 0, 1, 1], [0, 1, 0, 1]], dtype=np.uint64), 1)[0].tolist()
    [0, 1, 3, 2]
    """
    x = coords.copy()
    ndim = len(x)
    zero = np.uint64(0)
    # Undo the excess work of each level: reflect where the bit is set, swap with the first axis where it is not.
    for level in range(bits - 1, 0, -1):
        bit = np.uint64(1 << level)
        low = np.uint64((1 << level) - 1)
        for axis in range(ndim):
            is_set = (x[axis] & bit) != 0
            swap = np.where(is_set, zero, (x[0] ^ x[axis]) & low)
            x[0] ^= np.where(is_set, low, swap)
            x[axis] ^= swap
    # Gray code across the axes.
    for axis in range(1, ndim):
        x[axis] ^= x[axis - 1]
    flip = np.zeros(x.shape[1], dtype=np.uint64)
    for level in range(bits - 1, 0, -1):
        flip ^= np.where((x[-1] & np.uint64(1 << level)) != 0, np.uint64((1 << level) - 1), zero)
    x ^= flip
    return morton_keys(x, bits)
