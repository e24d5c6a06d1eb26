"""Signals that ask a run to stop: noted at once, acted on by the run loop at a step that all ranks agree on."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

# A task of rank 0, or one without a launcher, speaks for all.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
CAUGHT = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Notes SIGUSR1, SIGTERM and SIGINT; the first one counts, later ones do no harm.

    Installed before anything slow is imported, so that a signal that arrives early is not lost and ends nothing.

    Attributes
    ----------
    number : int
        The first signal received, 0 if none.

    Examples
    --------
    >>> signals = StopSignals()
    >>> signals.number, signals.name
    (0, '')
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals over; only the main thread may."""
        for caught in CAUGHT:
            self._before[caught] = signal.signal(caught, self._note)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for caught, handler in self._before.items():
            signal.signal(caught, handler)
        self._before = {}

    @property
    def name(self) -> str:
        """Name of the first signal received, empty if none."""
        return signal.Signals(self.number).name if self.number else ""

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            return
        self.number = number
        if all(os.environ.get(name, "0") == "0" for name in _RANKS):
            name = signal.Signals(number).name
            # Straight to the descriptor: a buffered stream may be in the middle of a write.
            os.write(2, f"hpcsim: {name}: the run stops after this step and saves its state\n".encode())
