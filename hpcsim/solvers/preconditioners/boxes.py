"""Grids of unknowns of which every rank has one box, and their numbers in packed vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box, extent, volume
from hpcsim.solvers.grid import Axis

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Cuts:
    """A rectangular grid cut into boxes by a grid of processes, ranks running along the last axis first.

    Attributes
    ----------
    edges : tuple of tuple of int
        Per axis the first index of every part, and the extent; parts may be empty.

    Examples
    --------
    >>> cuts = Cuts(((0, 3, 4), (0, 2)))
    >>> cuts.boxes
    (((0, 0), (3, 2)), ((3, 0), (4, 2)))
    >>> cuts.numbers(*np.ix_(np.arange(2, 4), np.arange(2))).tolist()
    [[4, 5], [6, 7]]
    """

    edges: tuple[tuple[int, ...], ...]

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Box of every rank."""
        spans = [list(zip(cuts, cuts[1:], strict=False)) for cuts in self.edges]
        return tuple((tuple(a for a, _ in place), tuple(b for _, b in place)) for place in product(*spans))

    @property
    def shape(self) -> tuple[int, ...]:
        """Unknowns per axis."""
        return tuple(cuts[-1] for cuts in self.edges)

    @cached_property
    def first(self) -> Numbers:
        """Number of the first unknown of every rank."""
        counts = np.array([volume(box) for box in self.boxes], np.int64)
        return np.cumsum(counts) - counts

    def numbers(self, *index: Numbers) -> Numbers:
        """Numbers of sites: rank by rank, within a box in C order, as packed vectors hold them.

        Parameters
        ----------
        *index : ndarray of int64
            Indices on each axis, within the grid; arrays that broadcast against each other.
        """
        ranks: Numbers = np.zeros((), np.int64)
        places: Numbers = np.zeros((), np.int64)
        # A rank and a place in its box are numbers of mixed radix, built digit by digit along the axes.
        for cuts, sites in zip(self.edges, index, strict=True):
            part = np.searchsorted(cuts, sites, "right") - 1
            ranks = ranks * (len(cuts) - 1) + part
            places = places * np.diff(cuts)[part] + (sites - np.asarray(cuts)[part])
        return self.first[ranks] + places

    def sites(self, numbers: Numbers) -> tuple[Numbers, ...]:
        """Indices of numbered sites on each axis: the inverse of `numbers`.

        Examples
        --------
        >>> cuts = Cuts(((0, 3, 4), (0, 2)))
        >>> [index.tolist() for index in cuts.sites(np.array([5, 6]))]
        [[2, 3], [1, 0]]
        """
        ranks = np.searchsorted(self.first, numbers, "right") - 1
        places = numbers - self.first[ranks]
        parts = np.unravel_index(ranks, tuple(len(cuts) - 1 for cuts in self.edges))
        found: list[Numbers] = []
        for cuts, part in zip(reversed(self.edges), reversed(parts), strict=True):
            width = np.diff(cuts)[part]
            found.append(np.asarray(cuts)[part] + places % width)
            places = places // width
        return tuple(reversed(found))

    def indices(self, rank: int) -> list[Numbers]:
        """Indices of the box of a rank on each axis."""
        return [np.arange(lo, hi, dtype=np.int64) for lo, hi in zip(*self.boxes[rank], strict=True)]


@dataclass(frozen=True)
class BoxGrid:
    """One unknown per site of a rectangular grid, one box per rank.

    Attributes
    ----------
    axes : tuple of Axis
        The unknowns along each axis.
    boxes : tuple of Box
        The box of every rank; index 0 is the first unknown of an axis.
    """

    axes: tuple[Axis, ...]
    boxes: tuple[Box, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Unknowns per axis."""
        return tuple(axis.count for axis in self.axes)

    @cached_property
    def cuts(self) -> Cuts | None:
        """The cuts of the axes; None if the boxes form no grid of processes or a rank has no unknowns.

        Examples
        --------
        >>> axes = (Axis(4, 1.0, False, None),)
        >>> BoxGrid(axes, (((0,), (3,)), ((3,), (4,)))).cuts
        Cuts(edges=((0, 3, 4),))
        >>> BoxGrid(axes, (((3,), (4,)), ((0,), (3,)))).cuts is None
        True
        """
        if any(0 in extent(box) for box in self.boxes):
            return None
        shape = self.shape
        edges = tuple(tuple(sorted({box[0][a] for box in self.boxes} | {n})) for a, n in enumerate(shape))
        cuts = Cuts(edges)
        return cuts if cuts.boxes == self.boxes else None
