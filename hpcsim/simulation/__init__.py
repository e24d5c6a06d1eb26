"""A run from end to end: a configuration becomes a case, a case becomes a simulation, a simulation runs."""

from __future__ import annotations

from hpcsim.simulation.build import Simulation, build
from hpcsim.simulation.case import Case, make_case

__all__ = ["Case", "Simulation", "build", "make_case"]
