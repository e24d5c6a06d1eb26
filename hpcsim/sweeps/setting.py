"""What compiled sweeps need to know of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcsim.boundary.ghosts import Ghosts
from hpcsim.kernels.backend import Backend
from hpcsim.kernels.loopnest import LoopNest, make_nest
from hpcsim.lattice.layout import Layout
from hpcsim.lattice.storage import Storage
from hpcsim.sweeps.sweep import Sweep
from hpcsim.timing import Timers

if TYPE_CHECKING:
    from hpcsim.comm.context import Context
    from hpcsim.fields.state import State


@dataclass(frozen=True)
class Setting:
    """What compiled stages need to know of a run.

    Attributes
    ----------
    context : Context
        The ranks.
    layout, storage : Layout, Storage
        Blocks, and their arrays on this rank.
    state : State
        The registers.
    backend : Backend
        Compiles nests.
    ghosts : Ghosts
        Fills ghosts.
    sources : dict of str to str
        Register to the field whose shape and boundary conditions it has.
    components : dict of str to int
        Components of each register.
    spacings : tuple of str
        Symbol of the spacing of each axis.
    values : dict of str to float
        Values of the numeric parameters, spacings and lower ends.
    dtype : str
        Type of the registers.
    threads : int
        Threads of this rank.
    relaxed_math : bool
        Whether compilers may reorder arithmetic.
    timers : Timers
        Where the time goes.
    """

    context: Context
    layout: Layout
    storage: Storage
    state: State
    backend: Backend
    ghosts: Ghosts
    sources: dict[str, str]
    components: dict[str, int]
    spacings: tuple[str, ...]
    values: dict[str, float]
    dtype: str
    threads: int
    relaxed_math: bool
    timers: Timers

    def make_nest(self, sweep: Sweep) -> LoopNest:
        """The loop nest of a sweep."""
        ndim = self.layout.domain.ndim
        return make_nest(ndim, self.dtype, sweep.assignments, self.components, self.spacings, self.relaxed_math)
