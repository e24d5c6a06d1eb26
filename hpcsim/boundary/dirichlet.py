"""Dirichlet: the value on the wall is given."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Key, Layer


class Dirichlet(BoundaryCondition):
    """The field has a given value on the wall.

    A ghost is twice the value minus its mirror image, so the straight line between them meets the wall at the value.
    Sites that lie on the wall are set to the value and never updated.
    """

    keys = {"value": Key("formula", "value on the wall, in units of the field", default=0)}

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """Twice the value minus the mirror image."""
        return Layer(source=depth if staggered else depth - 1, factor=-1.0, weight=2.0)

    def plane(self, component: int, staggered: bool) -> float | None:
        """The value itself."""
        return 1.0
