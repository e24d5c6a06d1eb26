"""Compiled forms of the reductions and random numbers of this room, called with arrays of any shape and strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.fields.random import key_words, round_keys
from hpcsim.fields.reduce import FORMATS, LANES, WORDS
from hpcsim.native.function import native

_LOOPS = "hpcsim.fields.loops"
_LOOPS_OF_NOISE = "hpcsim.fields.noise_loops"

# Sites whose normal numbers are drawn together; the working arrays stay in the first-level cache.
_BATCH = 1024


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


@cache
def _parallel_filler() -> Any:
    """Normal numbers by several threads."""
    import numba

    from hpcsim.fields.noise_loops import fill_parallel

    return numba.njit(cache=True, nogil=True, parallel=True)(fill_parallel)


class Scratch(NamedTuple):
    """Working arrays of `normal_filler`, one row per thread."""

    sites: NDArray[np.uint64]
    outer: NDArray[np.int64]
    work: NDArray[np.float64]

    @classmethod
    def make(cls, threads: int) -> Scratch:
        """Arrays for so many threads."""
        shape = threads, _BATCH
        return cls(np.empty(shape, np.uint64), np.empty(shape, np.int64), np.empty((threads, 4, _BATCH)))


def normal_filler(
    flat: NDArray[Any],
    first: int,
    strides: Sequence[int],
    numbers: Sequence[NDArray[np.uint64]],
    seed: int,
    stream: int,
    scratch: Scratch,
) -> Callable[[int], None]:
    """A function that puts the normal numbers of a step, as `random.normal` gives them, into a window of a register.

    Parameters
    ----------
    flat : ndarray of float64 or float32
        Register, 1-D.
    first : int
        Element of the first site of the window.
    strides : sequence of int
        Elements from one site to the next, per axis; the last is 1.
    numbers : sequence of ndarray of uint64
        Per axis one entry for each index: the number of a site is the sum of its entries.
    seed, stream : int
        Key of the numbers.
    scratch : Scratch
        Working arrays; one thread for each of their rows.
    """
    missing = 4 - len(strides)
    counts = np.array([1] * missing + [len(part) for part in numbers], np.int64)
    steps = np.array([0] * missing + list(strides), np.int64)
    places = np.concatenate([np.zeros(missing, np.uint64), *numbers])
    keys = np.array(round_keys(key_words(seed)), np.uint64).reshape(-1)
    # Step and stream, read at every call.
    counter = np.array([0, stream], np.uint64)
    arguments = (flat, first, counts, steps, places, keys, counter, *scratch)
    if len(scratch.sites) > 1:
        run = partial(_parallel_filler(), *arguments)
    else:
        tables = ("int64[1]", "int64[1]", "uint64[1]", "uint64[1]", "uint64[1]")
        forms = (f"{flat.dtype.name}[1]", "int64", *tables, "uint64[2]", "int64[2]", "float64[3]")
        linked: Any = native(f"{_LOOPS_OF_NOISE}:fill_serial", forms)
        run = linked.bind(*arguments)

    def fill(step: int, alive: tuple[Any, ...] = arguments) -> None:
        counter[0] = step
        run()

    return fill


def compile_normals(dtype: str, threads: int) -> None:
    """Compile the loop of `normal_filler`, or load it from the cache."""
    nothing = np.empty(0, np.uint64)
    normal_filler(np.empty(0, dtype), 0, (1,), (nothing,), 0, 0, Scratch.make(threads))(0)
