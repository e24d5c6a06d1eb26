"""Right side and solution of the finest level in natural order, as the loops see them."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.lattice.box import Box, shift
from hpcsim.solvers.multigrid.ghosts import images
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.memory import zeros
from hpcsim.solvers.multigrid.tables import Tables

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]


def writable(array: Values) -> Values:
    """The same memory, flat, without its mark as read-only; the loops do not write to it."""
    flat = array.reshape(-1)
    if flat.flags.writeable or not flat.size:
        return flat
    kind = ctypes.c_double * flat.size
    return np.ctypeslib.as_array(kind.from_address(flat.ctypes.data))


def describe(tables: Tables) -> None:
    """Places of right side and solution: the first over the own sites, the second with a ghost at linked sides."""
    level = tables.levels[0]
    right, solution, steps = 0, 0, []
    extents = [own + low + high for own, (low, high) in zip(level.own, level.linked, strict=True)]
    for axis in range(level.outer):
        step = level.sites * int(np.prod(level.own[axis + 1 :]))
        tables.put(0, "RIGHTSTEP", step, axis)
        right -= level.first[axis] * step
        step = level.sites * int(np.prod(extents[axis + 1 :]))
        tables.put(0, "SOLUTIONSTEP", step, axis)
        solution += (int(level.linked[axis][0]) - level.first[axis]) * step
        steps.append(step)
    tables.put(0, "RIGHT", right)
    tables.put(0, "SOLUTION", solution)
    for axis, step in enumerate(steps):
        low, high = level.linked[axis]
        before, after = np.full(level.total[axis], -step), np.full(level.total[axis], step)
        # Beyond a wall the row itself is read, with weight zero.
        before[level.first[axis]] = -step if low else 0
        after[level.last[axis] - 1] = step if high else 0
        tables.put(0, "BEFORE", tables.integers(np.concatenate([before, after])), axis)


class Solution:
    """The array that the loops improve: the caller's, or one with ghosts.

    Parameters
    ----------
    context : Context
        The ranks; set-up is collective.
    everyone : sequence of Level
        The finest level as each rank sees it.
    """

    def __init__(self, context: Context, everyone: list[Level]) -> None:
        level = everyone[context.rank]
        self._level = level
        self.direct = not level.any_linked
        if self.direct:
            return
        shape = tuple(own + low + high for own, (low, high) in zip(level.own, level.linked, strict=True))
        self._array = zeros(int(np.prod(shape)) * level.sites, np.float64, 5).reshape(*shape, level.sites)
        inside = [slice(int(low), int(low) + own) for own, (low, _) in zip(level.own, level.linked, strict=True)]
        self._inside = (*inside, slice(None))
        self._exchange: Redistribution | None = None
        origin = tuple(lo - low for lo, (low, _) in zip(level.box[0], level.linked, strict=False))
        wanted: list[Box] = []
        self._targets: list[Values] = []
        # Of another rank only the sites it has are wanted from it, so the boxes of all ranks are gone through.
        boxes = [level.box] if level.shared else [other.box for other in everyone]
        for source in boxes:
            for (lo, hi), vector in images(level, source, 1):
                window = tuple(slice(a - o, b - o) for a, b, o in zip(lo, hi, origin, strict=True))
                site = shift((lo, hi), vector)
                wanted.append(((*site[0], 0), (*site[1], level.sites)))
                self._targets.append(self._array[window])
        if level.shared:
            self._sources = [
                self._array[self._inside][tuple(slice(a, b) for a, b in zip(*w, strict=True))] for w in wanted
            ]
        else:
            self._exchange = Redistribution(context, [level.box], wanted, np.float64)

    def array(self, u: Values) -> Values:
        """The flat array for the loops."""
        return writable(u) if self.direct else self._array.reshape(-1)

    def put(self, u: Values) -> None:
        """Take over values, ghosts included; collective."""
        if self.direct:
            return
        own = self._array[self._inside]
        own[...] = u
        if self._exchange is not None:
            # A box of ghosts may touch the own values in memory, so these are sent from a copy.
            self._exchange.run([u], self._targets)
            return
        for source, target in zip(self._sources, self._targets, strict=True):
            target[...] = source

    def get(self, u: Values) -> None:
        """Give values back."""
        if not self.direct:
            u[...] = self._array[self._inside]

    def free(self) -> None:
        """Give back the messages."""
        if not self.direct and self._exchange is not None:
            self._exchange.free()
