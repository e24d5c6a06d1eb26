"""The parts of a step that act on the whole lattice at once: systems to solve, transforms, steps by a library."""

from __future__ import annotations

from hpcsim.sweeps.evolve import Evolve
from hpcsim.sweeps.sweep import Solve, Stage
from hpcsim.sweeps.transforms import Convolve, Propagate

Joint = Solve | Propagate | Convolve | Evolve
"""Each has a name, a time, the sweeps that come before it, and the expressions it evaluates."""

Part = Stage | Joint
"""Any part of a step."""
