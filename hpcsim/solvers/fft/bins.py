"""Means of values by distance from the origin, the same to the last bit for every number of ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.fields.reduce import ExactSum, totals

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Real = NDArray[np.float64]


@dataclass(frozen=True)
class RadialMeans:
    """A function of distance.

    Attributes
    ----------
    edges : ndarray
        Ends of the bins; a bin holds its lower end.
    distance : ndarray
        Mean distance of what fell into each bin; nan where nothing did.
    mean : ndarray
        Mean value in each bin; nan where nothing fell.
    count : ndarray of int64
        How much fell into each bin.
    """

    edges: Real
    distance: Real
    mean: Real
    count: NDArray[np.int64]


class RadialBins:
    """Collects sums by distance; they are added exactly and rounded once.

    Parameters
    ----------
    edges : ndarray
        Ends of the bins, rising.

    Raises
    ------
    ConfigError
        If the ends do not rise.

    Examples
    --------
    >>> bins = RadialBins(np.array([0.0, 1.0, 2.0]))
    >>> bins.add(np.array([0.5, 1.0, 1.5, 7.0]), np.array([3.0, 1.0, 4.0, 9.0]), np.array([1, 1, 2, 1]))
    >>> bins.means(None).mean.tolist()
    [3.0, 1.666...]
    """

    def __init__(self, edges: Real) -> None:
        self._edges = np.asarray(edges, np.float64)
        if self._edges.ndim != 1 or len(self._edges) < 2 or not np.all(np.diff(self._edges) > 0.0):
            raise ConfigError("the ends of bins must be two or more rising numbers")
        count = len(self._edges) - 1
        self._sums = [ExactSum() for _ in range(count)]
        self._distances = [ExactSum() for _ in range(count)]
        self._counts = np.zeros(count, np.int64)

    def add(self, distance: Real, sums: Real, counts: NDArray[np.int64]) -> None:
        """Add sums over so many values at each distance; what lies outside the bins is left out."""
        place = np.searchsorted(self._edges, distance.reshape(-1), "right") - 1
        order = np.argsort(place, kind="stable")
        starts = np.searchsorted(place[order], np.arange(len(self._counts) + 1))
        terms, times = sums.reshape(-1)[order], counts.reshape(-1)[order]
        radii = distance.reshape(-1)[order] * times
        for number in np.flatnonzero(np.diff(starts)).tolist():
            inside = slice(starts[number], starts[number + 1])
            self._counts[number] += times[inside].sum()
            self._sums[number].add(terms[inside])
            self._distances[number].add(radii[inside])

    def means(self, context: Context | None) -> RadialMeans:
        """Means over what all ranks have added; collective."""
        found = np.array(totals(context, [*self._sums, *self._distances])).reshape(2, -1)
        counts = self._counts if context is None else context.sum_int(self._counts)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, distance = found / counts
        return RadialMeans(self._edges, distance, mean, counts)
