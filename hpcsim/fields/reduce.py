"""Sums that do not depend on order: exact in integers, rounded once.

A float64 is an integer times a power of two, so a fixed row of integer limbs that spans all exponents holds any sum
of floats without error. Integer addition is associative: every split over sites, threads and ranks gives the same
limbs, hence the same bits after the one rounding at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.fields.backends import compiled_kernels

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

# limb k counts units of 2**(32 k - 1074); 64 limbs reach the largest float64, the rest is room for 2**63 terms
LIMB_BITS = 32
LIMBS = 68
LIMB_MASK = (1 << LIMB_BITS) - 1
UNIT = 1 << 1074

# after the limbs: how many +inf, -inf and nan were added
PLUS, MINUS, NAN = LIMBS, LIMBS + 1, LIMBS + 2
WORDS = LIMBS + 3
# the compiled sum takes this many rows of limbs in turn: the store of one value need not reach the load of the next
LANES = 2

# bits as integers of the same size -> (fraction bits, exponent mask, place of the smallest subnormal in units)
FORMATS = {"float64": ("int64", 52, 0x7FF, 0), "float32": ("int32", 23, 0xFF, 925)}

_CHUNK = 1 << 15


def carry(words: NDArray[np.int64]) -> None:
    """Bring limbs 0 to LIMBS-2 into [0, 2**32) in place, the sign ending in the last; the value stays."""
    digits = words.tolist()
    for k in range(LIMBS - 1):
        digits[k + 1] += digits[k] >> LIMB_BITS
        digits[k] &= LIMB_MASK
    words[:] = digits


def _chunks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The values as 1-D pieces of bounded size, so no whole field is copied."""
    flags: Any = ["external_loop", "buffered", "zerosize_ok"]
    yield from np.nditer(values, flags=flags, op_flags=[["readonly"]], order="K", buffersize=_CHUNK)


def add_reference(values: NDArray[Any], words: NDArray[np.int64]) -> None:
    """Add float32 or float64 values of any shape to the words, in NumPy; the limbs come out carried."""
    integer, fraction_bits, ones, place = FORMATS[values.dtype.name]
    for piece in _chunks(values):
        bits = piece.view(integer).astype(np.int64)
        fraction = bits & ((1 << fraction_bits) - 1)
        exponent = (bits >> fraction_bits) & ones
        special = exponent == ones
        if special.any():
            words[NAN] += np.count_nonzero(special & (fraction != 0))
            words[PLUS] += np.count_nonzero(special & (fraction == 0) & (bits > 0))
            words[MINUS] += np.count_nonzero(special & (fraction == 0) & (bits < 0))
            bits, fraction, exponent = bits[~special], fraction[~special], exponent[~special]
        normal = (exponent != 0).astype(np.int64)
        position = exponent - normal + place
        _add_digits(fraction | (normal << fraction_bits), np.where(bits < 0, -1.0, 1.0), position, words)
        carry(words)


def _add_digits(
    mantissa: NDArray[np.int64], sign: NDArray[np.float64], position: NDArray[np.int64], words: NDArray[np.int64]
) -> None:
    """Add sign * mantissa * 2**position; sums of at most 2**15 32-bit digits are exact in float64."""
    limb, shift = position >> 5, position & 31
    rest = mantissa >> (LIMB_BITS - shift)
    digits = ((mantissa << shift) & LIMB_MASK, rest & LIMB_MASK, rest >> LIMB_BITS)
    for k, digit in enumerate(digits):
        words[:LIMBS] += np.bincount(limb + k, weights=sign * digit, minlength=LIMBS).astype(np.int64)


def rounded(words: NDArray[np.int64]) -> float:
    """The float64 nearest to the held sum, ties to even; an infinity beyond the range, nan as IEEE sums give it."""
    if words[NAN] or (words[PLUS] and words[MINUS]):
        return float("nan")
    if words[PLUS] or words[MINUS]:
        return float("inf") if words[PLUS] else float("-inf")
    total = 0
    for digit in reversed(words[:LIMBS].tolist()):
        total = (total << LIMB_BITS) + digit
    try:
        return total / UNIT  # division of Python integers rounds correctly
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")


class ExactSum:
    """Running sum without rounding.

    Parameters
    ----------
    backend : {"auto", "numba", "numpy"}
        Compiled kernel or NumPy reference; the held integers are the same.
    threads : int
        Threads of the compiled kernel.

    Examples
    --------
    >>> ExactSum(backend="numpy").add(np.array([1e16, 1.0, -1e16])).total()
    1.0
    """

    def __init__(self, backend: str = "auto", threads: int = 1) -> None:
        self.words: NDArray[np.int64] = np.zeros(WORDS, np.int64)
        self._kernels = compiled_kernels(backend)
        self._threads = threads

    def add(self, values: Any) -> ExactSum:
        """Add all values of an array of any shape and strides; returns itself.

        Raises
        ------
        TypeError
            If the values are neither float32 nor float64.
        """
        array = np.asarray(values)
        if array.dtype.newbyteorder("=").name not in FORMATS:
            raise TypeError(f"an exact sum takes {' or '.join(sorted(FORMATS))} values, not {array.dtype}")
        if not (array.dtype.isnative and array.flags.aligned):
            array = array.astype(array.dtype.newbyteorder("="))
        if self._kernels is None:
            add_reference(array, self.words)
        else:
            self._kernels.add_to_limbs(array, self.words, self._threads)
        return self

    def merge(self, other: ExactSum) -> ExactSum:
        """Add the sum held by another; returns itself."""
        self.words += other.words
        carry(self.words)
        return self

    def total(self, context: Context | None = None) -> float:
        """The sum, over all ranks of the context where one is given, rounded once; collective then."""
        return totals(context, [self])[0]


def totals(context: Context | None, sums: Sequence[ExactSum]) -> list[float]:
    """Totals of several sums over all ranks in one message; collective.

    Parameters
    ----------
    context : Context or None
        The ranks; None for this process alone.
    sums : sequence of ExactSum
        As many on every rank, in the same order.
    """
    words = np.concatenate([held.words for held in sums]) if sums else np.zeros(0, np.int64)
    if context is not None:
        words = np.asarray(context.sum_int(words))
    return [rounded(part) for part in words.reshape(len(sums), WORDS)]


def exact_sum(context: Context | None, arrays: Iterable[Any], *, backend: str = "auto", threads: int = 1) -> float:
    """Sum of all values of all arrays of all ranks, rounded once: the same bits for every split; collective.

    Parameters
    ----------
    context : Context or None
        The ranks; None for this process alone.
    arrays : iterable of ndarray
        The parts of this rank, float32 or float64, any shape and strides. May be empty.
    backend : {"auto", "numba", "numpy"}
        Compiled kernel or NumPy reference.
    threads : int
        Threads of the compiled kernel.

    Examples
    --------
    >>> exact_sum(None, [np.full(10, 0.1)], backend="numpy") == 1.0
    True
    """
    held = ExactSum(backend, threads)
    for array in arrays:
        held.add(array)
    return held.total(context)
