"""Outflow: the nearest layer is continued outwards."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Layer


class Outflow(BoundaryCondition):
    """Every ghost is a copy of the nearest inner layer (on a staggered axis: of the plane of the wall)."""

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """The nearest layer."""
        return Layer(source=0, factor=1.0)
