"""Periodic: the axis closes on itself and the ghosts come from the exchange."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition


class Periodic(BoundaryCondition):
    """The axis closes on itself; both of its ends must be periodic, for all fields."""

    periodic = True
