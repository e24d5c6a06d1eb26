"""A plug-in that does harm: a wall and an exchange that fail on one rank in the middle of a run.

HARM says how and HARM_RANK where; PAUSE_S slows every fill of a wall down.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from hpcsim.boundary import BOUNDARIES
from hpcsim.boundary.base import BoundaryCondition
from hpcsim.comm.blocking import BlockingExchange
from hpcsim.comm.exchange import EXCHANGES
from hpcsim.simulation.turns import Agreement, Turns

KIND = os.environ.get("HARM", "")
ODD = os.environ.get("HARM_RANK", "") in ("all", os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
PAUSE_S = float(os.environ.get("PAUSE_S", "0"))
START = 5.0


def harm() -> None:
    """Leave or hang in the way asked for."""
    print(f"fault at {time.monotonic()}", flush=True)
    if KIND == "exception":
        raise ValueError("broken wall")
    if KIND == "memory":
        raise MemoryError
    if KIND == "interrupt":
        raise KeyboardInterrupt
    if KIND == "exit":
        sys.exit(9)
    if KIND == "os_exit":
        os._exit(11)
    if KIND == "hang":
        time.sleep(600)


class HarmfulWall(BoundaryCondition):
    """Copies the last layer; after some time one rank does harm."""

    def fill_block(self, ghosts: np.ndarray, inner: np.ndarray, patch: object, t: float) -> None:
        ghosts[...] = inner[0]
        time.sleep(PAUSE_S)
        if ODD and t > START:
            if KIND == "nan":
                inner[0, 3] = np.nan
            elif KIND:
                harm()


class FlippingExchange(BlockingExchange):
    """One rank alters a bit of a packed message, once."""

    def _launch_forward(self) -> None:
        if ODD and KIND == "flip" and self.sequence == 30 and self.buffers.outgoing:
            self.buffers.outgoing[0].data.view(np.uint8)[11] ^= 4
        super()._launch_forward()


BOUNDARIES.register("harmful", HarmfulWall)
EXCHANGES.register("flipping", FlippingExchange)
if ODD and KIND == "skip":
    # The others wait in a collective for this rank, which waits for their ghosts.
    meet, met = Turns.meet, []

    def meet_once(self: Turns, wall: float) -> Agreement:
        """Take part in the first meeting only."""
        met.append(wall)
        return meet(self, wall) if len(met) == 1 else Agreement(0, False, float("inf"), wall)

    Turns.meet = meet_once
