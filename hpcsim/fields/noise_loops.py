"""Normal numbers for many sites at once, for the compiler; imported only when they must be compiled.

The operations are those of `hpcsim.fields.random.normal`, site by site and in the same order, so the bits are the same.
They are arranged in short loops without branches, which the compiler turns into vector code: the centre of the
distribution is evaluated for all sites of a batch, the tails for those 15 % that need them.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from hpcsim.fields.quantile import (
    CENTRE,
    CENTRE_SHIFT,
    FAR,
    LN2_HIGH,
    LN2_LOW,
    LOG,
    MIDDLE,
    MIDDLE_SHIFT,
    OUTER,
    ROOT_HALF,
    TAIL,
)
from hpcsim.fields.random import MULTIPLIERS, ROUNDS

_U = np.uint64
_LOW, _HALF = _U(0xFFFFFFFF), _U(32)
_FIRST, _SECOND = MULTIPLIERS
_compiled = numba.njit(nogil=True, error_model="numpy")


@_compiled
def _horner(coefficients: Any, x: Any) -> Any:
    value = coefficients[0]
    for power in range(1, len(coefficients)):
        value = value * x + coefficients[power]
    return value


@_compiled
def _logarithm(x: Any) -> Any:
    """`hpcsim.fields.quantile.logarithm` of one number, with mantissa and exponent taken from its bits."""
    bits = np.float64(x).view(np.int64)
    mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FE0000000000000).view(np.float64)
    small = mantissa < ROOT_HALF
    f = (2.0 * mantissa if small else mantissa) - 1.0
    k = np.float64((bits >> 52) - 1022) - (1.0 if small else 0.0)
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    correction = s * (half + z * _horner(LOG, z))
    return k * LN2_HIGH - ((half - (correction + k * LN2_LOW)) - f)


@_compiled
def _draw_centre(sites: Any, count: int, step: Any, stream: Any, keys: Any, chance: Any, drawn: Any) -> None:
    """Probability of every site, and its quantile as if it were in the centre."""
    for i in range(count):
        site = sites[i]
        c0, c1, c2, c3 = site & _LOW, site >> _HALF, step, stream
        for turn in range(ROUNDS):
            p0, p1 = c0 * _FIRST, c2 * _SECOND
            c0, c1 = (p1 >> _HALF) ^ c1 ^ keys[2 * turn], p1 & _LOW
            c2, c3 = (p0 >> _HALF) ^ c3 ^ keys[2 * turn + 1], p0 & _LOW
        top = (c0 << _U(20)) | (c1 >> _U(12))
        p = (np.float64(top) + 0.5) * 2.0**-52
        q = p - 0.5
        y = CENTRE_SHIFT - q * q
        chance[i] = p
        drawn[i] = q * (_horner(CENTRE[0], y) / _horner(CENTRE[1], y))


@_compiled
def _draw_tails(count: int, chance: Any, outer: Any, root: Any, size: Any, drawn: Any) -> None:
    """Replace the quantiles of sites that lie in a tail."""
    found = 0
    for i in range(count):
        outer[found] = i
        found += abs(chance[i] - 0.5) > OUTER
    for j in range(found):
        p = chance[outer[j]]
        root[j] = p if p < 0.5 else 1.0 - p
    for j in range(found):
        r = np.sqrt(-_logarithm(root[j]))
        root[j] = r
        size[j] = _horner(MIDDLE[0], r - MIDDLE_SHIFT) / _horner(MIDDLE[1], r - MIDDLE_SHIFT)
    for j in range(found):
        if root[j] > FAR:
            size[j] = _horner(TAIL[0], root[j] - FAR) / _horner(TAIL[1], root[j] - FAR)
    for j in range(found):
        i = outer[j]
        drawn[i] = -size[j] if chance[i] < 0.5 else size[j]


@_compiled
def _row(place: int, counts: Any) -> Any:
    """Indices of a place of a window, counted in row-major order."""
    rest, last = place // counts[3], place % counts[3]
    rest, third = rest // counts[2], rest % counts[2]
    return rest // counts[1], rest % counts[1], third, last


@_compiled
def _number(begin: int, count: int, counts: Any, numbers: Any, sites: Any) -> None:
    """Site numbers of a run of places: the sum of one number per axis."""
    second, third, last = counts[0], counts[0] + counts[1], counts[0] + counts[1] + counts[2]
    done = 0
    while done < count:
        i, j, k, m = _row(begin + done, counts)
        run = min(counts[3] - m, count - done)
        base = numbers[i] + numbers[second + j] + numbers[third + k]
        for n in range(run):
            sites[_U(done + n)] = base + numbers[_U(last + m + n)]
        done += run


@_compiled
def _store(begin: int, count: int, counts: Any, strides: Any, first: int, drawn: Any, flat: Any) -> None:
    """Put the numbers of a run of places into the register."""
    done = 0
    while done < count:
        i, j, k, m = _row(begin + done, counts)
        run = min(counts[3] - m, count - done)
        start = first + i * strides[0] + j * strides[1] + k * strides[2] + m
        for n in range(run):
            flat[_U(start + n)] = drawn[_U(done + n)]
        done += run


@_compiled
def _fill_range(
    flat: Any, first: int, counts: Any, strides: Any, numbers: Any, keys: Any, step: Any, stream: Any, begin: int,
    end: int, sites: Any, outer: Any, work: Any,
) -> None:  # fmt: skip
    while begin < end:
        count = min(sites.shape[0], end - begin)
        _number(begin, count, counts, numbers, sites)
        _draw_centre(sites, count, step, stream, keys, work[0], work[1])
        _draw_tails(count, work[0], outer, work[2], work[3], work[1])
        _store(begin, count, counts, strides, first, work[1], flat)
        begin += count


def fill_serial(
    flat: Any, first: int, counts: Any, strides: Any, numbers: Any, keys: Any, counter: Any, sites: Any,
    outer: Any, work: Any,
) -> None:  # fmt: skip
    """Fill a window of a register; the working arrays have one row per thread."""
    total = counts[0] * counts[1] * counts[2] * counts[3]
    _fill_range(
        flat, first, counts, strides, numbers, keys, counter[0], counter[1], 0, total, sites[0], outer[0], work[0]
    )  # fmt: skip


def fill_parallel(
    flat: Any, first: int, counts: Any, strides: Any, numbers: Any, keys: Any, counter: Any, sites: Any,
    outer: Any, work: Any,
) -> None:  # fmt: skip
    """The same with a part of the window for every thread."""
    total = counts[0] * counts[1] * counts[2] * counts[3]
    parts = sites.shape[0]
    for part in numba.prange(parts):
        begin, end = total * part // parts, total * (part + 1) // parts
        _fill_range(
            flat, first, counts, strides, numbers, keys, counter[0], counter[1], begin, end, sites[part], outer[part],
            work[part],
        )  # fmt: skip
