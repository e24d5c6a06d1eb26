"""Robin: a combination of the value and the outward normal derivative is given."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Key, Layer

SINGULAR = 1e-12


class Robin(BoundaryCondition):
    """``alpha*u + beta*du/dn = gamma`` holds on the wall, n pointing outwards.

    Centred along the axis, the value on the wall is the mean of ghost and mirror image and the derivative their
    difference over their distance. Staggered, the wall is a plane of sites: the derivative is the difference of the
    mirror images over their distance; with ``beta = 0`` the plane is fixed as by Dirichlet.
    """

    keys = {
        "alpha": Key("number", "factor of the field"),
        "beta": Key("number", "factor of the outward normal derivative, in lengths times the unit of alpha"),
        "gamma": Key("formula", "right-hand side, in units of alpha times the field"),
    }
    value_key = "gamma"

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """The condition solved for the ghost.

        Raises
        ------
        ConfigError
            If the factors leave the ghost undetermined.
        """
        alpha, beta = self.options["alpha"], self.options["beta"]
        distance = self.wall.distance(depth, staggered)
        if staggered and beta != 0:
            return Layer(source=0, factor=-distance * alpha / beta, weight=distance / beta, plus=depth)
        mean, slope = alpha / 2, beta / distance
        if abs(mean + slope) <= SINGULAR * max(abs(mean), abs(slope)):
            raise self.refuse(
                f"alpha = {alpha:g} and beta = {beta:g} leave ghost layer {depth} undetermined "
                f"(alpha/2 + beta/{distance:g} is zero); change one of them or the spacing"
            )
        source = depth if staggered else depth - 1
        return Layer(source=source, factor=(slope - mean) / (mean + slope), weight=1 / (mean + slope))

    def plane(self, component: int, staggered: bool) -> float | None:
        """``gamma / alpha`` where the condition has no derivative."""
        alpha, beta = self.options["alpha"], self.options["beta"]
        return 1 / alpha if beta == 0 and alpha != 0 else None
