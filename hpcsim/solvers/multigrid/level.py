"""One level of the hierarchy as a rank sees it: its own sites, its ghosts, and where they lie in the pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.grid import Axis
from hpcsim.solvers.multigrid.transfer import Transfer

LINE = 16
"""Rows of this many elements of a colour or more begin at multiples of it: a cache line of float32."""


@dataclass(frozen=True)
class Level:
    """A level on one rank.

    Rows run along the last axis, which is whole; the other axes are *outer*. Local index 0 of an outer axis is its
    first ghost. A side is *linked* if its ghosts are sites: of another rank, or of the other end of a periodic axis.

    Attributes
    ----------
    axes : tuple of Axis
        All axes, at least two.
    box : Box
        Own sites.
    part : Box
        What is made here of the own sites when the finer level is restricted; smaller than `box` if the level is
        replicated and the finer one is not.
    linked : tuple of (bool, bool)
        Per outer axis.
    ghost : int
        Width of linked ghosts; other sides have one row, which stays zero.
    down : tuple of Transfer
        To the next coarser level; empty on the coarsest.
    shared : bool
        Whether every rank holds the whole level.
    """

    axes: tuple[Axis, ...]
    box: Box
    part: Box
    linked: tuple[tuple[bool, bool], ...]
    ghost: int
    down: tuple[Transfer, ...]
    shared: bool

    @property
    def outer(self) -> int:
        """Axes along which rows are stacked."""
        return len(self.axes) - 1

    @property
    def any_linked(self) -> bool:
        """Whether any side is linked."""
        return any(any(sides) for sides in self.linked)

    @property
    def seam(self) -> bool:
        """Whether colours meet somewhere: ghosts beyond an odd periodic axis have the colours of their neighbours."""
        return any(axis.ends is None and axis.count % 2 for axis in self.axes[:-1])

    @property
    def margins(self) -> tuple[tuple[int, int], ...]:
        """Ghost rows below and above, per outer axis."""
        return tuple((self.ghost if a else 1, self.ghost if b else 1) for a, b in self.linked)

    @property
    def own(self) -> tuple[int, ...]:
        """Own sites per outer axis."""
        return extent(self.box)[:-1]

    @property
    def first(self) -> tuple[int, ...]:
        """First own local index per outer axis."""
        return tuple(low for low, _ in self.margins)

    @property
    def last(self) -> tuple[int, ...]:
        """One past the last own local index per outer axis."""
        return tuple(low + n for (low, _), n in zip(self.margins, self.own, strict=True))

    @property
    def total(self) -> tuple[int, ...]:
        """Local indices per outer axis."""
        return tuple(low + n + high for (low, high), n in zip(self.margins, self.own, strict=True))

    @property
    def origin(self) -> tuple[int, ...]:
        """Global index of local index 0 per outer axis."""
        return tuple(lo - low for lo, (low, _) in zip(self.box[0][:-1], self.margins, strict=True))

    @property
    def sites(self) -> int:
        """Sites of a row."""
        return self.axes[-1].count

    @property
    def pitch(self) -> int:
        """Elements of one colour of a row, padding included."""
        half = (self.sites + 1) // 2
        return half if half < LINE else -(-half // LINE) * LINE

    @property
    def steps(self) -> tuple[int, ...]:
        """Elements between neighbours along each outer axis."""
        steps, step = [], self.pitch
        for n in reversed(self.total):
            steps.append(step)
            step *= n
        return tuple(reversed(steps))

    @property
    def room(self) -> int:
        """Elements of one colour."""
        return self.pitch * math.prod(self.total)

    @property
    def size(self) -> int:
        """Unknowns of the level on all ranks."""
        return math.prod(axis.count for axis in self.axes)

    def place(self, local: Sequence[int]) -> int:
        """Element of a row, from the start of the level."""
        return sum(i * step for i, step in zip(local, self.steps, strict=True))


def linked_sides(axes: Sequence[Axis], box: Box) -> tuple[tuple[bool, bool], ...]:
    """Which sides of the outer axes of a box have sites beyond them.

    Examples
    --------
    >>> from hpcsim.solvers.grid import End
    >>> wall = Axis(8, 1.0, False, (End(1, 0), End(1, 0)))
    >>> linked_sides((wall, Axis(8, 1.0, False, None), wall), ((0, 0, 0), (4, 8, 8)))
    ((False, True), (True, True))
    """
    found = []
    for axis, lo, hi in zip(axes[:-1], box[0], box[1], strict=False):
        found.append((lo > 0 or axis.ends is None, hi < axis.count or axis.ends is None))
    return tuple(found)
