"""Tridiagonal systems along the first axis, one for every mode of the other axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.native.function import native
from hpcsim.solvers.fft.workers import Workers

Real = NDArray[np.float64]

SCRATCH_BYTES = 1 << 18
"""Memory of the factors of the columns that are solved side by side; it stays in the second cache of a core."""

_FORMS = ("float64[1]",) * 5 + ("int64",) * 3 + ("float64[1]",) * 3


class Elimination:
    """Solves ``lower[i]*u[i-1] + (centre[i] + shift[c])*u[i] + upper[i]*u[i+1] = f[i, c]`` for all columns c.

    No pivots are sought, so the matrices must be diagonally dominant.

    Parameters
    ----------
    lower, centre, upper : ndarray
        Diagonals, one entry per row.
    shift : ndarray
        One entry per column.
    workers : Workers
        Threads that share the columns.

    Examples
    --------
    >>> ones, values = np.ones(3), np.array([[1.0], [0.0], [0.0]])
    >>> Elimination(ones, -3.0 * ones, ones, np.array([1.0]), Workers(1)).solve(values)
    >>> values[:, 0].round(12).tolist()
    [-0.75, -0.5, -0.25]
    """

    def __init__(self, lower: Real, centre: Real, upper: Real, shift: Real, workers: Workers) -> None:
        self._diagonals = lower, centre, upper
        self._shift = np.ascontiguousarray(shift)
        self._workers = workers
        rows, columns = len(centre), len(shift)
        share = max(1, SCRATCH_BYTES // (8 * rows))
        self._width = min(max(8, share // 8 * 8), max(columns, 1))
        step = max(self._width, -(-columns // (4 * workers.threads)))
        self._parts = [(first, min(first + step, columns)) for first in range(0, columns, step)]
        self._solve = native("hpcsim.solvers.fft.loops.columns:solve_columns", _FORMS)

    def solve(self, values: NDArray[Any]) -> None:
        """Replace the right sides by the solutions: float64, shape (rows, columns), C order."""
        flat, width = values.reshape(-1), self._width
        rows = len(values)

        def task(part: tuple[int, int]) -> None:
            work = np.empty((rows + 2) * width)
            kept, ratio, value = work[: rows * width], work[-2 * width : -width], work[-width:]
            self._solve(flat, *self._diagonals, self._shift, *part, width, kept, ratio, value)

        self._workers.run(task, self._parts)


class SingularSystem:
    """The same for one column of which every row of the matrix adds up to zero.

    The right side is first freed of what no solution can reach; the solution has zero mean.

    Parameters
    ----------
    lower, centre, upper : ndarray
        Diagonals.

    Examples
    --------
    >>> low, mid, high = np.array([0.0, 1.0, 1.0]), np.array([-1.0, -2.0, -1.0]), np.array([1.0, 1.0, 0.0])
    >>> SingularSystem(low, mid, high).solve(np.array([2.0, 0.0, 1.0])).round(12).tolist()
    [-0.666..., 0.333..., 0.333...]
    """

    def __init__(self, lower: Real, centre: Real, upper: Real) -> None:
        # A left null vector of a tridiagonal matrix: its flows in both directions balance at every pair of rows.
        ratios = upper[:-1] / lower[1:]
        self._weights = np.concatenate(([1.0], np.cumprod(ratios)))
        self._weights /= self._weights.sum()
        low, mid, high = (np.ascontiguousarray(part[1:]) for part in (lower, centre, upper))
        self._rest = Elimination(low, mid, high, np.zeros(1), Workers(1)) if len(centre) > 1 else None

    def solve(self, values: Real) -> Real:
        """The solution for one right side."""
        found = np.zeros(len(values))
        if self._rest is not None:
            # The first unknown is set to zero, which makes its row follow from the others.
            side = np.ascontiguousarray(values[1:, None] - self._weights @ values)
            self._rest.solve(side)
            found[1:] = side[:, 0]
        found -= self._weights @ found
        return found


def dominant(lower: Real, centre: Real, upper: Real, least: float, most: float) -> bool:
    """Whether every matrix with a shift from `least` to `most` is diagonally dominant with neighbours of one sign.

    The neighbours must have the sign opposite to the diagonal. Such a matrix is singular only if every row adds up to
    zero.

    Examples
    --------
    >>> one = np.ones(2)
    >>> dominant(one, -2 * one, one, -1.0, 0.0), dominant(one, -2 * one, one, -1.0, 0.5)
    (True, False)
    """
    sides = np.abs(lower) + np.abs(upper)
    room = 1e-12 * (np.abs(centre) + sides + max(abs(least), abs(most)))
    if bool(np.all(np.minimum(lower, upper) >= 0.0)):
        return bool(np.all(centre + most <= room - sides))
    if bool(np.all(np.maximum(lower, upper) <= 0.0)):
        return bool(np.all(centre + least >= sides - room))
    return False
