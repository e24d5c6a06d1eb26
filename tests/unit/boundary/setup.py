"""A lattice with one field on one rank, filled by a real exchange plan and a boundary fill."""

from __future__ import annotations

import numpy as np

from hpcsim.boundary.conditions import resolve
from hpcsim.boundary.fill import BoundaryFill
from hpcsim.comm.plan import FieldGeometry, build_plan
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.kernels.numpy.move import NumpyMover
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage

LENGTHS = (7, 6, 5, 5)


def bounded(ndim: int, lengths=LENGTHS, periodic=None) -> Domain:
    """A domain with walls, of unequal lengths, spacings and a corner off zero."""
    lower = tuple(0.25 * (axis - 1) for axis in range(ndim))
    upper = tuple(low + 1.0 + 0.5 * axis for axis, low in enumerate(lower))
    return Domain(lengths[:ndim], lower, upper, periodic or (False,) * ndim)


class Bench:
    """One field in one process: conditions by name or table, blocks of a given shape, NaN everywhere at first."""

    def __init__(
        self,
        domain,
        boundary,
        fields=None,
        *,
        spec=None,
        ghost=1,
        block_shape=None,
        width=None,
        corners=True,
        mover=None,
        parameters=None,
    ):
        self.domain, self.ghost = domain, ghost
        self.spec = spec or FieldSpec("u")
        self.mover = mover or NumpyMover()
        self.locations = self.spec.locations(domain.ndim)
        self.layout = make_layout(domain, 1, ghost=ghost, block_shape=block_shape)
        self.storage = Storage.build(self.layout, 0, ghost, any(map(any, self.locations)), self.spec.itemsize)
        self.state = State(self.storage, self.layout, 0, fresh="nan")
        self.u = self.state.add("u", self.spec)
        geometry = FieldGeometry(self.spec.components, self.locations)
        self.plan = build_plan(self.layout, 0, lambda rank: self.storage, [geometry], width or ghost, corners)
        self.conditions = resolve(boundary, fields or {}, [self.spec], domain, parameters, ghost)
        self.filler = BoundaryFill(
            self.layout, 0, self.storage, [self.spec], self.conditions, self.mover, parameters, corners, width
        )

    def coordinates(self, block, component, rim=0):
        """Positions of the sites of a block, with a rim of ghosts, per axis."""
        lo, hi = self.layout.owned_box(block, self.locations[component])
        axes = [np.arange(a - rim, b + rim) for a, b in zip(lo, hi, strict=True)]
        places = np.meshgrid(*axes, indexing="ij")
        return [
            self.domain.coordinate(axis, index, bool(staggered))
            for axis, (index, staggered) in enumerate(zip(places, self.locations[component], strict=True))
        ]

    def set(self, function):
        """Set the owned sites to ``function(component, coordinates)``."""
        for block in self.layout.blocks:
            for component in range(self.spec.components):
                where = self.coordinates(block, component)
                self.state.interior("u", block, component)[...] = function(component, where)
        return self

    def fill(self, t=0.0):
        """Exchange, then boundaries."""
        self.mover.copy(self.u.flat, self.u.flat, self.plan.local[0], self.plan.strides)
        self.filler.fill([self.u], t)
        return self

    def shell(self, block=None, component=0):
        """A block with its ghosts."""
        block = block or self.layout.blocks[0]
        lo, hi = self.layout.owned_box(block, self.locations[component])
        inside = tuple(slice(0, b - a + 2 * self.ghost) for a, b in zip(lo, hi, strict=True))
        return self.u.array[(self.storage.slot(block.id), component, *inside)]

    def faces(self, component=0):
        """Mask of the first block's sites that are no edge or corner ghosts."""
        shape = self.shell(component=component).shape
        outside = sum(
            ((index < self.ghost) | (index >= n - self.ghost)).astype(int)
            for index, n in zip(np.indices(shape), shape, strict=True)
        )
        return outside <= 1


def noise(seed=0):
    """Values that depend on nothing but the position, with no symmetry."""

    def function(component, where):
        phase = sum((axis + 1.3) * x for axis, x in enumerate(where)) + component + seed
        return np.sin(7 * phase) + 0.3 * np.cos(31 * phase)

    return function
