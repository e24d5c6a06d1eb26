"""Moves one component of a register between the blocks and one box per rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.lattice.box import Box, extent, shift
from hpcsim.solvers.grid import Axis
from hpcsim.solvers.unknowns import Unknowns
from hpcsim.sweeps.setting import Setting


class BoxMove:
    """The way from blocks to a box and back for components that live where a given one does; set-up is collective.

    Parameters
    ----------
    setting : Setting
        The run.
    unknown : (str, int)
        Register and component that say which sites may change.
    axes : tuple of Axis
        Their axes.
    box : Box
        Sites of this rank, counted from the first unknown of each axis.
    """

    def __init__(self, setting: Setting, unknown: tuple[str, int], axes: tuple[Axis, ...], box: Box) -> None:
        self._setting = setting
        self._pieces = Unknowns(setting, [unknown]).pieces
        first = tuple(-axis.first for axis in axes)
        have = [shift(piece.box, first) for piece in self._pieces]
        dtype = setting.state[unknown[0]].flat.dtype
        self.box, self._dtype = box, dtype
        self._there = Redistribution(setting.context, have, [box], dtype)
        self._back = Redistribution(setting.context, [box], have, dtype)

    def gather(self, register: str, component: int) -> NDArray[np.float64]:
        """Values of a component on the box, in double precision; collective."""
        array = np.zeros(extent(self.box), self._dtype)
        self._there.run(self._views(register, component), [array])
        return array.astype(np.float64, copy=False)

    def scatter(self, array: NDArray[np.float64], register: str, component: int) -> None:
        """Put values on the box into a component; collective."""
        self._back.run([array.astype(self._dtype, copy=False)], self._views(register, component))

    def _views(self, register: str, component: int) -> list[NDArray[Any]]:
        array = self._setting.state[register].array
        return [array[piece.slot, component][piece.window] for piece in self._pieces]

    def free(self) -> None:
        """Give back the messages."""
        self._there.free()
        self._back.free()
