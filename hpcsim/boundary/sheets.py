"""Wall values on the sites of blocks, packed into buffers: static ones once, the others at every fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.boundary.base import BoundaryCondition
from hpcsim.boundary.regions import Rows
from hpcsim.boundary.values import Coordinates, Parameters, WallValue, inside, wall_coordinates
from hpcsim.lattice.box import Box, extent
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.lattice.storage import Storage


@dataclass
class Sheet:
    """A wall value on the sites of one box, written into pieces of packed buffers with a weight each."""

    condition: BoundaryCondition
    value: WallValue
    shape: tuple[int, ...]
    coordinates: Coordinates
    inside: Coordinates
    targets: list[tuple[int, float]] = field(default_factory=list)

    def write(self, buffer: NDArray[Any], t: float) -> None:
        """Evaluate at a time and write every piece.

        Raises
        ------
        ConfigError
            If a value that does not depend on time is no finite number.
        """
        values = self.value.on(self.coordinates, self.inside, t)
        if not self.value.time_dependent and not np.isfinite(values).all():
            raise self.condition.refuse("the value is not a finite number everywhere on the wall")
        count = int(np.prod(self.shape))
        for start, weight in self.targets:
            out = buffer[start : start + count].reshape(self.shape)
            np.multiply(values, weight, out=out, casting="same_kind")


class Buffer:
    """Packed values of the sites of a step: static ones are written once, the others at every fill."""

    def __init__(self, dtype: str) -> None:
        self.length = 0
        self.values = np.empty(0, dtype)
        self._sheets: list[Sheet] = []

    def reserve(self, count: int) -> int:
        """Room for values; returns where they start."""
        start = self.length
        self.length += count
        return start

    def add(self, sheet: Sheet) -> None:
        """A sheet whose targets are in this buffer."""
        self._sheets.append(sheet)

    def allocate(self) -> None:
        """Make the buffer, and write what does not depend on time."""
        self.values = np.zeros(self.length, self.values.dtype)
        for sheet in self._sheets:
            if not sheet.value.time_dependent:
                sheet.write(self.values, 0.0)
        self._sheets = [sheet for sheet in self._sheets if sheet.value.time_dependent]

    @property
    def time_dependent(self) -> bool:
        """Whether anything must be written at every fill."""
        return bool(self._sheets)

    def update(self, t: float) -> None:
        """Write what depends on time."""
        for sheet in self._sheets:
            sheet.write(self.values, t)


@dataclass(frozen=True)
class Setting:
    """What all steps of one field share."""

    domain: Domain
    storage: Storage
    components: int
    dtype: str
    parameters: Parameters
    width: int

    def rows(self) -> Rows:
        """An empty table."""
        return Rows(self.storage, self.components)

    def value(self, condition: BoundaryCondition, component: int) -> WallValue:
        """The wall value of a component."""
        return WallValue(condition.value(component), self.parameters)

    def sheet(self, condition: BoundaryCondition, component: int, location: Location, box: Box) -> Sheet:
        """The wall value on the sites of a box."""
        wall = condition.wall
        where = wall_coordinates(self.domain, location, box, wall.axis, wall.side)
        value = self.value(condition, component)
        return Sheet(condition, value, extent(box), where, inside(self.domain, where))
