"""The steps of a boundary fill, as tables built once: planes of walls, ghost layers, and callbacks.

Every step covers one axis of one field, both sides and all local blocks of it, in one call of the mover.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.boundary.base import BoundaryCondition, Layer, Patch
from hpcsim.boundary.regions import Slab
from hpcsim.boundary.sheets import Buffer, Setting
from hpcsim.boundary.values import WallValue, wall_coordinates
from hpcsim.lattice.box import Box, volume
from hpcsim.lattice.layout import Block
from hpcsim.lattice.location import Location
from hpcsim.symbolic.expr import Expr

if TYPE_CHECKING:
    from hpcsim.comm.plan import Mover
    from hpcsim.fields.state import Register


class PlaneStep:
    """Sets the planes of walls that conditions fix, on one axis."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._rows = setting.rows()
        self._buffer = Buffer(setting.dtype)
        self.time_dependent = False

    def add(self, condition: BoundaryCondition, component: int, block: Block, location: Location, box: Box) -> None:
        """The plane of one wall in one block."""
        weight = condition.plane(component, True)
        assert weight is not None
        sheet = self._setting.sheet(condition, component, location, box)
        start = self._buffer.reserve(volume(box))
        sheet.targets.append((start, weight))
        self._buffer.add(sheet)
        self._rows.append(start, self._rows.place(block, component, box), box)

    def build(self) -> bool:
        """Make the tables; whether there is anything to do."""
        self._table = self._rows.table()
        self._buffer.allocate()
        self.time_dependent = self._buffer.time_dependent
        return len(self._table) > 0

    def run(self, mover: Mover, register: Register, strides: NDArray[np.int64], t: float) -> None:
        """Set the planes for a time."""
        self._buffer.update(t)
        mover.unpack(register.flat, self._buffer.values, self._table, strides)


class UniformStep:
    """Fills ghost layers whose wall value is one number per wall."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._rows = setting.rows()
        self._mirror: list[int] = []
        self._factors: list[float] = []
        self._weights: dict[Expr, list[tuple[int, float]]] = {}
        self._values: dict[Expr, tuple[BoundaryCondition, WallValue]] = {}
        self.time_dependent = False

    def add(self, condition: BoundaryCondition, component: int, slab: Slab, layers: Sequence[Layer]) -> None:
        """The ghost layers of one block at one wall."""
        value = self._setting.value(condition, component)
        rows = self._weights.setdefault(value.expr, [])
        self._values[value.expr] = condition, value
        for depth, layer in enumerate(layers, 1):
            box = slab.ghost_layer(depth)
            start = self._rows.place(slab.block, component, box)
            source = self._rows.place(slab.block, component, slab.inner_layer(layer.source))
            rows.append((len(self._rows), layer.weight))
            self._rows.append(source, start, box)
            self._mirror.append(source - start)
            self._factors.append(layer.factor)

    def build(self) -> bool:
        """Make the tables; whether there is anything to do."""
        dtype = self._setting.dtype
        self._table = self._rows.table()
        self._shift = np.array(self._mirror, np.int64)
        self._a, self._b = np.array(self._factors, dtype), np.zeros(len(self._rows), dtype)
        self._live: list[tuple[WallValue, NDArray[np.intp], NDArray[np.float64]]] = []
        for expr, pairs in self._weights.items():
            condition, value = self._values[expr]
            rows = np.array([row for row, _ in pairs], np.intp)
            weights = np.array([weight for _, weight in pairs])
            if value.time_dependent:
                self._live.append((value, rows, weights))
                continue
            number = value((), 0.0)
            if not np.isfinite(number):
                raise condition.refuse("the value on the wall is not a finite number")
            self._b[rows] = weights * number
        self.time_dependent = bool(self._live)
        return len(self._table) > 0

    def run(self, mover: Mover, register: Register, strides: NDArray[np.int64], t: float) -> None:
        """Fill for a time."""
        for value, rows, weights in self._live:
            self._b[rows] = weights * value((), t)
        mover.affine(register.flat, self._table, self._shift, self._a, self._b, strides)


class SiteStep:
    """Fills ghost layers whose wall value varies along the wall."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._rows = setting.rows()
        self._mirror: list[int] = []
        self._factors: list[float] = []
        self._starts: list[int] = []
        self._buffer = Buffer(setting.dtype)
        self.time_dependent = False

    def add(self, condition: BoundaryCondition, component: int, slab: Slab, layers: Sequence[Layer]) -> None:
        """The ghost layers of one block at one wall."""
        sheet = self._setting.sheet(condition, component, slab.location, slab.ghost_layer(1))
        for depth, layer in enumerate(layers, 1):
            box = slab.ghost_layer(depth)
            start = self._rows.place(slab.block, component, box)
            source = self._rows.place(slab.block, component, slab.inner_layer(layer.source))
            place = self._buffer.reserve(volume(box))
            sheet.targets.append((place, layer.weight))
            self._rows.append(source, start, box)
            self._mirror.append(source - start)
            self._factors.append(layer.factor)
            self._starts.append(place)
        self._buffer.add(sheet)

    def build(self) -> bool:
        """Make the tables; whether there is anything to do."""
        self._table = self._rows.table()
        self._shift = np.array(self._mirror, np.int64)
        self._a = np.array(self._factors, self._setting.dtype)
        self._offsets = np.array(self._starts, np.int64)
        self._buffer.allocate()
        self.time_dependent = self._buffer.time_dependent
        return len(self._table) > 0

    def run(self, mover: Mover, register: Register, strides: NDArray[np.int64], t: float) -> None:
        """Fill for a time."""
        self._buffer.update(t)
        values = self._buffer.values
        mover.affine_values(register.flat, self._table, self._shift, self._a, values, self._offsets, strides)


class SumStep:
    """Adds a second inner layer to ghost layers that an earlier step has begun."""

    time_dependent = False

    def __init__(self, setting: Setting) -> None:
        self._pack, self._add = setting.rows(), setting.rows()
        self._buffer = Buffer(setting.dtype)

    def add(self, component: int, slab: Slab, layers: Sequence[Layer]) -> None:
        """The ghost layers of one block at one wall."""
        for depth, layer in enumerate(layers, 1):
            if layer.plus is None:
                continue
            box = slab.ghost_layer(depth)
            start = self._buffer.reserve(volume(box))
            self._pack.append(self._pack.place(slab.block, component, slab.inner_layer(layer.plus)), start, box)
            self._add.append(start, self._add.place(slab.block, component, box), box)

    def build(self) -> bool:
        """Make the tables; whether there is anything to do."""
        self._from, self._to = self._pack.table(), self._add.table()
        self._buffer.allocate()
        return len(self._from) > 0

    def run(self, mover: Mover, register: Register, strides: NDArray[np.int64], t: float) -> None:
        """Add the layers."""
        mover.pack(self._buffer.values, register.flat, self._from, strides)
        mover.add(register.flat, self._buffer.values, self._to, strides)


class CallbackStep:
    """Calls conditions that fill their ghosts themselves."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._calls: list[tuple[BoundaryCondition, Patch, tuple[Any, ...], tuple[Any, ...]]] = []
        self.time_dependent = False

    def add(self, condition: BoundaryCondition, component: int, slab: Slab) -> None:
        """One block at one wall."""
        storage, width, a = self._setting.storage, self._setting.width, slab.axis
        g, n = storage.ghost, slab.owned[1][a] - slab.owned[0][a]
        if width == 0:
            return
        if slab.side == 0:
            ghosts, inner = slice(g - 1, g - 1 - width if g > width else None, -1), slice(g, g + n)
        else:
            ghosts, inner = slice(g + n, g + n + width), slice(g + n - 1, g - 1, -1)
        across = [
            slice(low - first + g, high - first + g) for low, high, first in zip(*slab.box, slab.block.lo, strict=True)
        ]
        head = (storage.slot(slab.block.id), component, *across[:a])
        where = wall_coordinates(self._setting.domain, slab.location, slab.ghost_layer(1), a, slab.side)
        patch = Patch(condition.wall, component, bool(slab.location[a]), tuple(np.squeeze(x, a) for x in where))
        self._calls.append((condition, patch, (*head, ghosts, *across[a + 1 :]), (*head, inner, *across[a + 1 :])))

    def build(self) -> bool:
        """Whether there is anything to do."""
        self.time_dependent = bool(self._calls)
        return bool(self._calls)

    def run(self, mover: Mover, register: Register, strides: NDArray[np.int64], t: float) -> None:
        """Call every condition with views of its layers."""
        for condition, patch, ghosts, inner in self._calls:
            axis = patch.wall.axis
            layers = [np.moveaxis(register.array[index], axis, 0) for index in (ghosts, inner)]
            condition.fill_block(layers[0], layers[1], patch, t)
