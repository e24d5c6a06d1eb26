"""A pass over all owned sites, and a stage: passes after one fill of the ghosts that they read."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsim.kernels.loopnest import Assignment
from hpcsim.symbolic.discretize import Location


@dataclass(frozen=True)
class Sweep:
    """Assignments carried out at every owned site of one location.

    Attributes
    ----------
    location : Location
        Where the targets live.
    assignments : tuple of Assignment
        In order.
    """

    location: Location
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True)
class Stage:
    """One or more sweeps after a fill of the ghosts they read.

    Attributes
    ----------
    time : float
        Place of the stage in the step, in units of dt: ghosts and time-dependent terms are taken at t + time*dt.
    sweeps : tuple of Sweep
        In order; the ghosts are those the first sweep of each register needs.
    """

    time: float
    sweeps: tuple[Sweep, ...]
