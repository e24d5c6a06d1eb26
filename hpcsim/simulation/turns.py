"""Turns of the run loop: how many steps until the ranks meet, and what they agree on when they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpcsim.comm.context import Context

# A signal is acted on within about this time; a meeting costs far less.
TURN_S = 0.2
_MOST_STEPS = 1000
# Growth of the stride from one turn to the next, so that one quick turn does not make the next one long.
_GROWTH = 4


@dataclass(frozen=True)
class StopSources:
    """Where a wish to stop can come from.

    Attributes
    ----------
    signal : callable
        Number of the signal that this rank received, 0 if none.
    file : callable
        Whether the stop file is there; asked on rank 0.
    seconds_left : callable
        Seconds until the job ends; infinite without a limit; asked on rank 0.
    """

    signal: Callable[[], int] = lambda: 0
    file: Callable[[], bool] = lambda: False
    seconds_left: Callable[[], float] = lambda: float("inf")


@dataclass(frozen=True)
class Agreement:
    """What all ranks know after a meeting.

    Attributes
    ----------
    signal : int
        Largest signal number on any rank, 0 if none.
    file : bool
        Whether the stop file is there.
    seconds_left : float
        Seconds until the job ends, less the time that the next turn will take.
    wall : float
        Seconds since the start of the run, of the slowest clock.
    """

    signal: int
    file: bool
    seconds_left: float
    wall: float


class Turns:
    """Chooses the steps between two meetings from the measured pace; the same on all ranks.

    Parameters
    ----------
    context : Context
        The ranks.
    sources : StopSources
        Where a wish to stop comes from.
    """

    def __init__(self, context: Context, sources: StopSources) -> None:
        self._context = context
        self._sources = sources
        self._seconds = 0.0
        self._steps = 0
        self.stride = 1
        self._since = 0

    def stepped(self, steps: int, seconds: float) -> None:
        """Tell what the last steps took on this rank."""
        self._since += steps
        self._steps += steps
        self._seconds += seconds

    @property
    def remaining(self) -> int:
        """Steps until the next meeting."""
        return max(1, self.stride - self._since)

    @property
    def due(self) -> bool:
        """Whether the ranks meet now."""
        return self._since >= self.stride

    def meet(self, wall: float) -> Agreement:
        """Agree on the wish to stop, on the time and on the next stride; collective.

        Parameters
        ----------
        wall : float
            Seconds since the start of the run on this rank.
        """
        first = self._context.rank == 0
        pace = self._seconds / self._steps if self._steps else 0.0
        mine = np.array(
            [
                float(self._sources.signal()),
                float(first and self._sources.file()),
                -self._sources.seconds_left() if first else -np.inf,
                wall,
                pace,
            ]
        )
        number, file, left, latest, slowest = map(float, self._context.max(mine))
        fitting = int(TURN_S / slowest) if slowest > 0.0 else _MOST_STEPS
        if self._steps:
            self.stride = max(1, min(fitting, _MOST_STEPS, _GROWTH * self.stride))
        self._seconds, self._steps, self._since = 0.0, 0, 0
        # The next turn must fit into what is left as well, or the job ends in the middle of it.
        return Agreement(int(number), bool(file), -left - slowest * self.stride, latest)
