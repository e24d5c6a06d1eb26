"""Compiled forms of the reductions of this room, called with arrays of any shape and strides."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.fields.reduce import FORMATS, LANES, WORDS
from hpcsim.native.function import native

_LOOPS = "hpcsim.fields.loops"


@cache
def _parallel_adder() -> Any:
    """The sum over several threads; Numba brings the thread pool."""
    import numba

    from hpcsim.fields.loops import add_parallel

    return numba.njit(cache=True, nogil=True, parallel=True)(add_parallel)


def _four_axes(values: NDArray[Any]) -> NDArray[Any]:
    """The same values with leading axes of length 1 up to four."""
    return values[(np.newaxis,) * (4 - values.ndim)]


def add_to_limbs(values: NDArray[Any], words: NDArray[np.int64], threads: int) -> None:
    """Add float32 or float64 values of any shape and strides to the words; the limbs come out carried."""
    if values.ndim > 4:
        for part in values:
            add_to_limbs(part, words, threads)
        return
    integer, *constants = FORMATS[values.dtype.name]
    bits = _four_axes(values).view(integer)
    parts = max(1, min(threads, values.size))
    partial, lanes = np.zeros((parts, WORDS), np.int64), np.zeros((parts, LANES * WORDS), np.int64)
    if parts > 1:
        _parallel_adder()(bits, *constants, partial, lanes)
    else:
        native(f"{_LOOPS}:add_serial", (f"{integer}[4]~", "int64", "int64", "int64", "int64[2]", "int64[2]"))(
            bits, *constants, partial, lanes
        )
    words += partial.sum(axis=0)
    native(f"{_LOOPS}:carry", ("int64[1]", "int64"))(words, 0)


def digest_sum(values: NDArray[Any], origin: int, strides: list[int], key: int) -> int:
    """Sum of the 128-bit mixes over sites, each wrap of the high word at 2**64 left out.

    `origin` is the number of the first site, `strides` the steps of the number per axis.
    """
    integer = f"uint{8 * values.itemsize}"
    steps = np.array([0] * (4 - values.ndim) + strides, np.uint64)
    out = np.zeros(3, np.uint64)
    loop = native(f"{_LOOPS}:digest", (f"{integer}[4]~", "uint64", "uint64[1]", "uint64", "uint64[1]"))
    loop(_four_axes(values).view(integer), int(origin), steps, int(key), out)
    high, upper, lower = (int(word) for word in out)
    return (high << 64) + (upper << 32) + lower


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no value is NaN or infinite, in one pass that stops at the first row that has one."""
    size = values.itemsize
    if values.size == 0:
        return True
    if values.strides[-1] != size or min(values.strides) < 0:
        values = np.ascontiguousarray(values)
    # One contiguous array from the first value to the last: the compiler then knows that rows are contiguous.
    steps = [stride // size for stride in values.strides]
    span = 1 + sum((count - 1) * step for count, step in zip(values.shape, steps, strict=True))
    integer = f"uint{8 * size}"
    flat = np.lib.stride_tricks.as_strided(values, (span,), (size,)).view(integer)
    missing = 4 - values.ndim
    counts, strides = np.array([1] * missing + [*values.shape], np.uint64), np.array([0] * missing + steps, np.uint64)
    exponent = int(np.array(np.inf, values.dtype).view(integer)[()])
    out = np.zeros(1, np.int64)
    loop = native(f"{_LOOPS}:finite", (f"{integer}[1]", "uint64[1]", "uint64[1]", integer, "int64[1]"))
    loop(flat, counts, strides, exponent, out)
    return bool(out[0])
