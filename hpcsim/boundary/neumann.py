"""Neumann: the outward normal derivative on the wall is given."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Key, Layer


class Neumann(BoundaryCondition):
    """The field has a given derivative along the outward normal of the wall.

    A ghost is its mirror image plus the derivative times the distance between the two.
    """

    keys = {"value": Key("formula", "outward normal derivative, in units of the field per length", default=0)}

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """The mirror image plus distance times derivative."""
        source = depth if staggered else depth - 1
        return Layer(source=source, factor=1.0, weight=self.wall.distance(depth, staggered))
