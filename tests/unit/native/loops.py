"""Jitted functions for the tests of the native room; imported only when they must be compiled."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True)
def scale(values, factor):
    for i in range(values.shape[0]):
        values[i] *= factor


@numba.njit(nogil=True)
def total(values, out):
    out[0] = 0.0
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[0] += values[i, j]


@numba.njit(nogil=True)
def allocate(values):
    values[:] = np.ones(values.shape[0]) + values[0]
