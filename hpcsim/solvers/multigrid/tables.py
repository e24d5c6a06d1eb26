"""The tables that the compiled loops read, filled from the levels of a rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.multigrid import fields
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.transfer import TAPS, Transfer
from hpcsim.solvers.multigrid.walls import folded, folds
from hpcsim.solvers.multigrid.weights import Constant

PLACES = fields.places()


_SPARE = 64
"""Elements before the first level and after the last one: the loops read a little beyond rows."""


def bases_of(levels: Sequence[Level]) -> list[int]:
    """Element of the pools where each level begins, and one past the last level."""
    places = [_SPARE]
    for level in levels:
        places.append(places[-1] + -(-level.room // fields.MARGIN) * fields.MARGIN + fields.MARGIN)
    return places


class Tables:
    """Integers, numbers and one row of places per level.

    Parameters
    ----------
    levels : sequence of Level
        Finest first.

    Attributes
    ----------
    rows : int64 array
        Shape (levels, `LEVEL_WIDTH`).
    bases : list of int
        Element of the pools where each level begins.
    length : int
        Elements of a pool.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = tuple(levels)
        self.rows = np.zeros((len(levels), fields.LEVEL_WIDTH), np.int64)
        self._integers: list[NDArray[np.int64]] = []
        self._numbers: list[NDArray[np.float64]] = []
        self._counts = [0, 0]
        *self.bases, end = bases_of(levels)
        self.length = end + _SPARE
        for number in range(len(levels)):
            self._geometry(number)
            if levels[number].down:
                self._transfers(number)
        self._fixed = len(self._numbers), self._counts[1]

    def forget_weights(self) -> None:
        """Drop what `constant_weights` has appended."""
        del self._numbers[self._fixed[0] :]
        self._counts[1] = self._fixed[1]

    def put(self, number: int, name: str, value: int, axis: int = 0) -> None:
        """Set a field of a level."""
        self.rows[number, PLACES[name] + axis] = value

    def integers(self, values: Any) -> int:
        """Append to the integer table; returns the place."""
        array = np.asarray(values, np.int64).ravel()
        self._integers.append(array)
        self._counts[0] += len(array)
        return self._counts[0] - len(array)

    def numbers(self, values: Any) -> int:
        """Append to the number table; returns the place."""
        array = np.asarray(values, np.float64).ravel()
        self._numbers.append(array)
        self._counts[1] += len(array)
        return self._counts[1] - len(array)

    @property
    def integer_table(self) -> NDArray[np.int64]:
        """All integers."""
        return np.concatenate([*self._integers, np.zeros(1, np.int64)])

    @property
    def number_table(self) -> NDArray[np.float64]:
        """All numbers."""
        return np.concatenate([*self._numbers, np.zeros(1)])

    def _geometry(self, number: int) -> None:
        level = self.levels[number]
        self.put(number, "SITES", level.sites)
        self.put(number, "BASE", self.bases[number])
        self.put(number, "PARITY", sum(level.origin) & 1)
        self.put(number, "WRAP", int(level.axes[-1].ends is None))
        self.put(number, "HALF", level.pitch)
        for axis in range(level.outer):
            self.put(number, "STEP", level.steps[axis], axis)
            self.put(number, "TOTAL", level.total[axis], axis)
            self.put(number, "FIRST", level.first[axis], axis)
            self.put(number, "LAST", level.last[axis], axis)

    def constant_weights(self, number: int, weights: Constant) -> None:
        """Weights along each axis with the ends folded in; anew at every call."""
        level = self.levels[number]
        for axis in range(level.outer):
            lower, upper, extra = folded(level.axes[axis], weights.lower[axis], weights.upper[axis])
            index = _global(level, axis)
            inside = np.clip(index, 0, level.axes[axis].count - 1)
            values = np.concatenate([lower[inside], upper[inside], extra[inside]])
            self.put(number, "WEIGHTS", self.numbers(values), axis)
        lower, upper, extra = folded(level.axes[-1], weights.lower[-1], weights.upper[-1])
        ends = [lower[0], upper[0], extra[0], lower[-1], upper[-1], extra[-1]]
        self.put(number, "ROW", self.numbers([weights.centre, weights.lower[-1], weights.upper[-1], *ends]))

    def _transfers(self, number: int) -> None:
        level, coarse = self.levels[number], self.levels[number + 1]
        for axis in range(level.outer):
            transfer = level.down[axis]
            below, share = _interpolation(transfer, _global(level, axis))
            self.put(number, "BELOW", self.integers(below - coarse.origin[axis]), axis)
            self.put(number, "SHARE", self.numbers(share), axis)
            first, weights = transfer.restriction(_global(coarse, axis))
            self.put(number, "FROM", self.integers(first - level.origin[axis]), axis)
            self.put(number, "MEAN", self.numbers(weights), axis)
        self._row_transfers(number)

    def _row_transfers(self, number: int) -> None:
        level, coarse = self.levels[number], self.levels[number + 1]
        transfer, n = level.down[-1], coarse.sites
        mode = fields.SAME if transfer.same else fields.NESTED if transfer.nested and n >= 4 else fields.TABLE
        self.put(number, "MODE", mode)
        below, share = transfer.interpolation(np.arange(level.sites))
        ends = None if transfer.same else folds(coarse.axes[-1])
        ghosts = [0.0, 0.0] if ends is None else [ends[0].own, ends[1].own]
        self.put(number, "ROWBELOW", self.integers(below))
        self.put(number, "ROWSHARE", self.numbers([*ghosts, *share]))
        first, weights = transfer.restriction(np.arange(n))
        sites = first[:, None] + np.arange(TAPS)
        if transfer.fine.ends is None:
            sites %= level.sites
        places = np.where(weights != 0.0, (sites & 1) * level.pitch + (sites >> 1), 0)
        if mode == fields.NESTED:
            # The taps of site 2 are moved along the row, those without weight too.
            sites = np.clip(sites, 0, None)
            places = np.where(
                (weights != 0.0) | (np.arange(n) == 2)[:, None], (sites & 1) * level.pitch + (sites >> 1), 0
            )
        self.put(number, "ROWFROM", self.integers(places.T))
        self.put(number, "ROWMEAN", self.numbers(weights.T))


def _global(level: Level, axis: int) -> NDArray[np.int64]:
    """Global index of every local one; continued beyond the ends of a periodic axis."""
    return np.arange(level.total[axis], dtype=np.int64) + level.origin[axis]


def _interpolation(transfer: Transfer, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Coarse site below each fine one, and the weights of it and the next; ghosts of walls folded into weights.

    Returns
    -------
    below : int64 array
    weights : float64 array
        Shape (2, fine sites).
    """
    axis = transfer.coarse
    if axis.ends is not None:
        index = np.clip(index, 0, transfer.fine.count - 1)
    below, above = transfer.interpolation(index)
    weights = np.stack([1.0 - above, above])
    ends = folds(axis)
    if ends is not None and not transfer.same:
        low, high = below < 0, below + 1 >= axis.count
        weights[1, low] += weights[0, low] * ends[0].own
        weights[0, low] = 0.0
        weights[0, high] += weights[1, high] * ends[1].own
        weights[1, high] = 0.0
    return below, weights
