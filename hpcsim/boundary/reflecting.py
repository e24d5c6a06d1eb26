"""Reflecting: ghosts are mirror images, with or without a change of sign."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Key, Layer

PARITIES = ("auto", "even", "odd", "vector", "axial")


class Reflecting(BoundaryCondition):
    """The wall is a mirror: even (same sign) or odd (opposite sign, zero on the wall).

    A scalar is even. Of a vector the component along the normal is odd and the others are even, as for a velocity at
    a closed wall; ``axial`` is the reverse, as for the electric field at a perfect conductor.
    """

    keys = {
        "parity": Key(
            "choice", "sign of the image; auto is even for a scalar, vector otherwise", "auto", choices=PARITIES
        )
    }

    def is_odd(self, component: int) -> bool:
        """Whether the image of a component has the opposite sign."""
        parity = self.options["parity"]
        if parity == "auto":
            parity = "vector" if self.wall.components > 1 else "even"
        if parity in ("even", "odd"):
            return bool(parity == "odd")
        return (component == self.wall.axis) == (parity == "vector")

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """The mirror image with its sign."""
        return Layer(source=depth if staggered else depth - 1, factor=-1.0 if self.is_odd(component) else 1.0)

    def plane(self, component: int, staggered: bool) -> float | None:
        """Zero for an odd component."""
        return 0.0 if self.is_odd(component) else None
