"""Loops of this room for the compiler; imported only when they must be compiled.

All work on integers: no rounding, hence the same bits as the NumPy reference for every number of threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from hpcsim.fields.digest import GOLDEN, mix_a, mix_b
from hpcsim.fields.reduce import LANES, LIMB_MASK, LIMBS, MINUS, NAN, PLUS, WORDS

# a limb below 2**32 stays below 2**63 under this many additions of at most 2**53
_RUN = 512 * LANES

_ONE = np.uint64(1)
_LANE_MASK = np.uint64(LANES - 1)
_LANE_WORDS = np.uint64(WORDS)


@numba.njit(nogil=True)
def carry(words: Any, first: int) -> None:
    """Move what a limb holds beyond 32 bits to the next one, from word `first` on."""
    for k in range(first, first + LIMBS - 1):
        words[k + 1] += words[k] >> 32
        words[k] &= LIMB_MASK


@numba.njit(nogil=True)
def _add_special(fraction: Any, sign: Any, words: Any) -> None:
    if fraction != 0:
        words[NAN] += 1
    elif sign == 0:
        words[PLUS] += 1
    else:
        words[MINUS] += 1


@numba.njit(nogil=True)
def _add_run(row: Any, fraction_bits: int, ones: int, place: int, words: Any) -> None:
    """Add at most _RUN values of one row to the lanes of words."""
    fraction_mask = (np.int64(1) << fraction_bits) - 1
    for j in range(row.shape[0]):
        bits = np.int64(row[j])
        sign = bits >> 63
        exponent = (bits >> fraction_bits) & ones
        fraction = bits & fraction_mask
        if exponent == ones:
            _add_special(fraction, sign, words)
            continue
        normal = np.int64(exponent != 0)
        mantissa = fraction | (normal << fraction_bits)
        position = exponent - normal + place
        shift = position & 31
        limb = np.uint64(position >> 5) + (np.uint64(j) & _LANE_MASK) * _LANE_WORDS
        low = (mantissa << shift) & LIMB_MASK
        rest = mantissa >> (32 - shift)
        words[limb] += (low ^ sign) - sign
        words[limb + _ONE] += (rest ^ sign) - sign


@numba.njit(nogil=True)
def _add_range(
    bits: Any, first: int, last: int, fraction_bits: int, ones: int, place: int, words: Any, lanes: Any
) -> None:
    """Add the values first <= i < last, counted in row-major order, to words, by way of lanes that hold zeros."""
    _, n1, n2, n3 = bits.shape
    pending = 0
    i = first
    while i < last:
        row, column = i // n3, i % n3
        stop = min(n3, column + last - i, column + _RUN - pending)
        line = bits[row // (n1 * n2), (row // n2) % n1, row % n2, column:stop]
        _add_run(line, fraction_bits, ones, place, lanes)
        # a short row fills lane 0 first, so pending counts as if all went there
        pending += LANES * ((stop - column + LANES - 1) // LANES)
        i += stop - column
        if pending >= _RUN:
            for lane in range(LANES):
                carry(lanes, lane * WORDS)
            pending = 0
    for lane in range(LANES):
        carry(lanes, lane * WORDS)
        for k in range(WORDS):
            words[k] += lanes[lane * WORDS + k]
    carry(words, 0)


def add_serial(bits: Any, fraction_bits: int, ones: int, place: int, words: Any, lanes: Any) -> None:
    """Add all values to the first row of words."""
    _add_range(bits, 0, bits.size, fraction_bits, ones, place, words[0], lanes[0])


def add_parallel(bits: Any, fraction_bits: int, ones: int, place: int, words: Any, lanes: Any) -> None:
    """Add all values, each thread to a row of words of its own."""
    parts = words.shape[0]
    for part in numba.prange(parts):
        first, last = bits.size * part // parts, bits.size * (part + 1) // parts
        _add_range(bits, first, last, fraction_bits, ones, place, words[part], lanes[part])


_mix_a = numba.njit(mix_a)
_mix_b = numba.njit(mix_b)


def digest(bits: Any, origin: Any, strides: Any, key: Any, out: Any) -> None:
    """Sums of the two halves of the mixes over sites: high word, upper and lower half of the low word."""
    high, upper, lower = np.uint64(0), np.uint64(0), np.uint64(0)
    n0, n1, n2, n3 = bits.shape
    golden, half = np.uint64(GOLDEN), np.uint64(32)
    for row in range(n0 * n1 * n2):
        i, j, k = row // (n1 * n2), (row // n2) % n1, row % n2
        start = origin + np.uint64(i) * strides[0] + np.uint64(j) * strides[1] + np.uint64(k) * strides[2]
        for m in range(n3):
            place = _mix_a((start + np.uint64(m) * strides[3]) * golden + key)
            first = _mix_b(np.uint64(bits[i, j, k, m]) ^ place)
            second = _mix_a(place + ((first << half) | (first >> half)))
            high += first
            upper += second >> half
            lower += second & np.uint64(0xFFFFFFFF)
    out[0], out[1], out[2] = high, upper, lower


def finite(flat: Any, counts: Any, strides: Any, exponent: Any, out: Any) -> None:
    """Set ``out[0]`` to 1 if no value has an exponent of all ones, else to 0; rows are contiguous."""
    # The bitwise test vectorises without reordering any floating-point arithmetic.
    out[0] = 1
    for i in range(counts[0]):
        for j in range(counts[1]):
            for k in range(counts[2]):
                row = np.uint64(i) * strides[0] + np.uint64(j) * strides[1] + np.uint64(k) * strides[2]
                worst = exponent ^ exponent
                for m in range(counts[3]):
                    worst = max(worst, flat[row + np.uint64(m)] & exponent)
                if worst == exponent:
                    out[0] = 0
                    return
