"""Sponge: an absorbing layer in front of an open wall."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Damping, Key, Layer
from hpcsim.symbolic.operators import AXES

ATTENUATION = 6.0
"""Integral of the damping rate over the layer, in units of the wave speed."""


class Sponge(BoundaryCondition):
    """Waves are damped in a layer in front of the wall, more and more strongly towards it.

    The rate is ``strength * (depth/width)**power``, depth counted from the inner edge of the layer. It enters an
    equation of second order in time as ``-rate*dt(u)``, one of first order as ``-rate*(u - reference)``. The wall
    behind the layer is open (outflow, or a vanishing normal derivative).

    The default strength is ``6*(power + 1)*speed/(width*spacing)``. A wave that crosses the layer twice is then
    weakened to ``exp(-6) = 0.25 %`` in amplitude, and what the onset of the layer throws back is below 1 % for
    wavelengths up to 0.7 of its width (14 cells of 20, quadratic profile). Longer waves see the layer as a wall: widen
    it.
    """

    keys = {
        "width": Key("whole", "thickness of the layer, in cells; at most the length of the axis", 20, least=1),
        "strength": Key("number", "damping rate at the wall, per time; chosen by speed if left out", None, True, 0.0),
        "speed": Key("number", "wave speed the default strength is made for, in lengths per time", 1.0, least=0.0),
        "power": Key("number", "exponent of the profile", 2, least=0.0),
        "reference": Key("formula", "state that an equation of first order relaxes to", 0),
        "wall": Key("choice", "condition behind the layer", "outflow", choices=("outflow", "neumann")),
    }

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """The nearest layer (outflow) or the mirror image (neumann)."""
        if self.options["wall"] == "outflow":
            return Layer(source=0, factor=1.0)
        return Layer(source=depth if staggered else depth - 1, factor=1.0)

    def strength(self) -> float:
        """Damping rate at the wall, given or by the formula of the class."""
        given = self.options["strength"]
        if given is not None:
            return float(given)
        return ATTENUATION * (self.options["power"] + 1) * float(self.options["speed"]) / self.thickness()

    def thickness(self) -> float:
        """Thickness of the layer in lengths.

        Raises
        ------
        ConfigError
            If the layer is thicker than the domain.
        """
        cells, length = self.options["width"], self.wall.domain.shape[self.wall.axis]
        if cells > length:
            raise self.refuse(f"width = {cells} cells, but the axis has only {length}; allowed: 1 to {length}")
        return float(cells * self.wall.spacing)

    def damping(self, component: int = 0) -> Damping:
        """The rate as a formula of the coordinate along the axis, and the reference state.

        Raises
        ------
        ConfigError
            If the layer is thicker than the domain.
        """
        thickness, power = self.thickness(), self.options["power"]
        inwards = 1 if self.wall.side == 0 else -1
        edge = self.wall.position + inwards * thickness
        name = AXES[self.wall.axis]
        depth = f"({edge!r} - {name})" if self.wall.side == 0 else f"({name} - {edge!r})"
        exponent = int(power) if power == int(power) else power
        rate = f"{self.strength()!r}*max({depth}/{thickness!r}, 0)**{exponent!r}"
        return Damping(rate, self.options["reference"][component])
