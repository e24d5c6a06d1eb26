"""Values of a level on any box, from the ranks that have them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.grid import Axis

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]
Piece = tuple[Box, tuple[slice, ...]]


def turned(axes: Sequence[Axis], box: Box) -> list[Piece]:
    """A box that may reach over periodic ends as boxes of sites, each with its window in the box.

    Examples
    --------
    >>> turned([Axis(4, 1.0, False, None)], ((-1,), (2,)))
    [(((3,), (4,)), (slice(0, 1, None),)), (((0,), (2,)), (slice(1, 3, None),))]
    """
    per_axis: list[list[tuple[int, int, slice]]] = []
    for axis, lo, hi in zip(axes, *box, strict=True):
        parts, at = [], lo
        while at < hi:
            site = at % axis.count if axis.ends is None else at
            end = min(hi, at + axis.count - site)
            parts.append((site, site + end - at, slice(at - lo, end - lo)))
            at = end
        per_axis.append(parts)
    pieces = []
    for choice in product(*per_axis):
        low, high = tuple(c[0] for c in choice), tuple(c[1] for c in choice)
        pieces.append(((low, high), tuple(c[2] for c in choice)))
    return pieces


class Fetch:
    """Brings values on own boxes to other boxes; set-up and runs are collective unless all ranks have everything.

    Parameters
    ----------
    context : Context
        The ranks.
    axes : sequence of Axis
        The axes of the level.
    have : Box
        Sites of this rank.
    want : Box
        Wanted sites; may reach over periodic ends.
    everywhere : bool
        Whether every rank has all sites.
    """

    def __init__(self, context: Context, axes: Sequence[Axis], have: Box, want: Box, everywhere: bool) -> None:
        self._pieces = turned(axes, want)
        self._shape = extent(want)
        self._have = have
        self._moves: Redistribution | None = None
        if not everywhere:
            self._moves = Redistribution(context, [have], [box for box, _ in self._pieces], np.float64)

    def run(self, values: Values) -> Values:
        """The wanted values."""
        result = np.empty(self._shape)
        windows: list[NDArray[Any]] = [result[window] for _, window in self._pieces]
        if self._moves is not None:
            self._moves.run([np.ascontiguousarray(values)], windows)
            return result
        for (box, _), window in zip(self._pieces, windows, strict=True):
            window[...] = values[tuple(slice(a - o, b - o) for a, b, o in zip(*box, self._have[0], strict=True))]
        return result

    def free(self) -> None:
        """Give back the messages."""
        if self._moves is not None:
            self._moves.free()
