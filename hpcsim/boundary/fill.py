"""Boundary fill: sets every ghost outside the domain, and the planes of walls that conditions fix.

Order: the exchange is done by the caller; then the planes of all walls; then the ghosts, axis by axis, each axis over
the range extended by the axes already filled and by the ghosts that the exchange brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hpcsim.boundary.base import SIDES, make_layers
from hpcsim.boundary.conditions import Conditions
from hpcsim.boundary.regions import Slab, at_wall, ghost_slab, plane_box
from hpcsim.boundary.sheets import Setting
from hpcsim.boundary.stages import CallbackStep, PlaneStep, SiteStep, SumStep, UniformStep
from hpcsim.boundary.values import Parameters, WallValue
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.layout import Layout
from hpcsim.lattice.location import Location
from hpcsim.lattice.storage import Storage

if TYPE_CHECKING:
    from hpcsim.comm.plan import Mover
    from hpcsim.fields.state import Register


class Step(Protocol):
    """One call of the fill on one register."""

    time_dependent: bool

    def run(self, mover: Mover, register: Register, strides: NDArray[np.int64], t: float) -> None:
        """Fill for a time."""


class BoundaryFill:
    """Fills the ghosts outside the domain for a list of fields; all tables are made here.

    Parameters
    ----------
    layout : Layout
        The blocks.
    rank : int
        Whose blocks.
    storage : Storage
        Their index arithmetic.
    specs : sequence of FieldSpec
        The fields, in the order in which registers will be passed.
    conditions : Conditions
        One condition per field, component, axis and side.
    mover : Mover
        Moves the values.
    parameters : mapping, optional
        Values of the model parameters that wall values use.
    corners : bool, default True
        Whether the exchange fills edges and corners and the fill must too; else only the faces of the owned range.
    width : int, optional
        Layers to fill, those that the exchange fills too; by default all ghosts of the storage.

    Attributes
    ----------
    time_dependent : bool
        Whether a fill of the same data at another time gives other ghosts (callbacks are taken to).

    Raises
    ------
    ConfigError
        If a wall value is no finite number, or a condition has no solution at this spacing.

    Examples
    --------
    >>> from hpcsim.boundary.conditions import resolve
    >>> from hpcsim.fields.state import State
    >>> from hpcsim.kernels.numpy.move import NumpyMover
    >>> from hpcsim.lattice.domain import Domain
    >>> from hpcsim.lattice.layout import make_layout
    >>> layout = make_layout(Domain((4,), (0,), (4,), (False,)), 1)
    >>> storage, spec = Storage.build(layout, 0, 1, False, 8), FieldSpec("u")
    >>> u = State(storage, layout, 0).add("u", spec)
    >>> fill = BoundaryFill(layout, 0, storage, [spec], resolve("dirichlet", {}, [spec], layout.domain), NumpyMover())
    >>> u.array[0, 0, 1:5] = 1, 2, 3, 4
    >>> fill.fill([u], 0.0)
    >>> u.array[0, 0, :6].tolist()
    [-1.0, 1.0, 2.0, 3.0, 4.0, -4.0]
    """

    def __init__(
        self,
        layout: Layout,
        rank: int,
        storage: Storage,
        specs: Sequence[FieldSpec],
        conditions: Conditions,
        mover: Mover,
        parameters: Parameters | None = None,
        corners: bool = True,
        width: int | None = None,
    ) -> None:
        self._layout = layout
        self._blocks = layout.local(rank)
        self._specs = tuple(specs)
        self._conditions = conditions
        self._mover = mover
        self._corners = corners
        self._width = storage.ghost if width is None else width
        self._strides = np.array(storage.strides4, np.int64)
        self._planes: list[tuple[int, Step]] = []
        self._ghosts: list[tuple[int, Step]] = []
        for number, spec in enumerate(self._specs):
            setting = Setting(layout.domain, storage, spec.components, spec.dtype, parameters or {}, self._width)
            for axis in range(layout.domain.ndim):
                if not layout.domain.periodic[axis]:
                    self._build_planes(number, spec, setting, axis)
                    self._build_ghosts(number, spec, setting, axis)
        self.time_dependent = any(step.time_dependent for _, step in (*self._planes, *self._ghosts))

    def fix_planes(self, registers: Sequence[Register], t: float) -> None:
        """Set the planes of walls that conditions fix; needs no exchange, and `fill` does it too.

        Parameters
        ----------
        registers : sequence of Register
            One per field.
        t : float
            Time of the values.
        """
        for number, step in self._planes:
            step.run(self._mover, registers[number], self._strides, t)

    def fill(self, registers: Sequence[Register], t: float) -> None:
        """Set all ghosts outside the domain, after an exchange of the same registers.

        Parameters
        ----------
        registers : sequence of Register
            One per field, with the components and dtype of its spec.
        t : float
            Time of the values.
        """
        self.fix_planes(registers, t)
        for number, step in self._ghosts:
            step.run(self._mover, registers[number], self._strides, t)

    def fixed_planes(self, field: str, component: int = 0) -> tuple[tuple[bool, bool], ...]:
        """Per axis, whether the plane of the lower and of the upper wall is set here and must not be updated."""
        spec = next(spec for spec in self._specs if spec.name == field)
        location = spec.locations(self._layout.domain.ndim)[component]
        return tuple(
            (self._fixes(spec, component, location, axis, 0), self._fixes(spec, component, location, axis, 1))
            for axis in range(self._layout.domain.ndim)
        )

    def _fixes(self, spec: FieldSpec, component: int, location: Location, axis: int, side: int) -> bool:
        if self._layout.domain.periodic[axis]:
            return False
        condition = self._conditions.at(spec.name, component, axis, side)
        return condition.fixes_boundary(component, bool(location[axis]))

    def _build_planes(self, number: int, spec: FieldSpec, setting: Setting, axis: int) -> None:
        """The step that sets the planes of one axis."""
        step = PlaneStep(setting)
        for component, location in enumerate(spec.locations(self._layout.domain.ndim)):
            for side in range(len(SIDES)):
                if not self._fixes(spec, component, location, axis, side):
                    continue
                condition = self._conditions.at(spec.name, component, axis, side)
                for block in self._blocks:
                    box = plane_box(self._layout, block, location, axis, side, self._width)
                    if box is not None:
                        step.add(condition, component, block, location, box)
        if step.build():
            self._planes.append((number, step))

    def _build_ghosts(self, number: int, spec: FieldSpec, setting: Setting, axis: int) -> None:
        """The steps that fill the ghosts of one axis."""
        uniform, sites, sums, calls = UniformStep(setting), SiteStep(setting), SumStep(setting), CallbackStep(setting)
        for component, location in enumerate(spec.locations(self._layout.domain.ndim)):
            for side in range(len(SIDES)):
                condition = self._conditions.at(spec.name, component, axis, side)
                slabs = self._slabs(location, axis, side)
                if condition.has_callback:
                    for slab in slabs:
                        calls.add(condition, component, slab)
                    continue
                layers = make_layers(condition, self._width, component, bool(location[axis]))
                varies = not WallValue(condition.value(component), {}).uniform
                for slab in slabs:
                    (sites if varies else uniform).add(condition, component, slab, layers)
                    sums.add(component, slab, layers)
        steps: tuple[UniformStep | SiteStep | SumStep | CallbackStep, ...] = (uniform, sites, sums, calls)
        self._ghosts.extend((number, step) for step in steps if step.build())

    def _slabs(self, location: Location, axis: int, side: int) -> list[Slab]:
        """The local blocks at a wall."""
        return [
            ghost_slab(self._layout, block, location, axis, side, self._width, self._corners)
            for block in self._blocks
            if at_wall(self._layout, block, axis, side)
        ]
