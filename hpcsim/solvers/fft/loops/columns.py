"""Tridiagonal systems along the first axis, side by side in neighbouring columns."""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.core.compiler import Compiler


class Distinct(Compiler):
    """Tells the optimiser that no two arrays of a call overlap, else it would compare their ranges at every row."""

    def __init__(self, *args, **options):  # type: ignore[no-untyped-def]
        super().__init__(*args, **options)
        self.state.flags.noalias = True


@njit(nogil=True, error_model="numpy", pipeline_class=Distinct)
def solve_columns(flat, lower, centre, upper, shift, first, last, width, kept, ratio, value):  # type: ignore[no-untyped-def]
    """Solve ``lower[i]*u[i-1] + (centre[i] + shift[c])*u[i] + upper[i]*u[i+1] = flat[i*columns + c]`` in place.

    Elimination without pivoting (Thomas), for columns c from `first` to `last`, `width` of them at a time so that they
    stay in the cache. `kept` holds ``rows*width`` numbers, `ratio` and `value` the last row of each: ``width`` numbers.
    """
    pitch, one = np.uint64(shift.shape[0]), np.uint64(1)
    rows, span = np.uint64(lower.shape[0]), np.uint64(width)
    for start in range(first, last, width):
        lanes = np.uint64(min(width, last - start))
        place = np.uint64(start)
        for j in range(lanes):
            ratio[j] = 0.0
            value[j] = 0.0
        for i in range(rows):
            here = i * pitch + place
            row = i * span
            low, mid, high = lower[i], centre[i], upper[i]
            for j in range(lanes):
                pivot = 1.0 / (mid + shift[place + j] - low * ratio[j])
                ratio[j] = high * pivot
                kept[row + j] = high * pivot
                value[j] = (flat[here + j] - low * value[j]) * pivot
                flat[here + j] = value[j]
        for k in range(one, rows):
            here = (rows - one - k) * pitch + place
            row = (rows - one - k) * span
            for j in range(lanes):
                value[j] = flat[here + j] - kept[row + j] * value[j]
                flat[here + j] = value[j]
