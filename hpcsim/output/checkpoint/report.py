"""What became of one checkpoint, with its size and where its time went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.timing import Timers

PHASES = ("prepare", "pack", "digest", "encode", "write", "sync", "verify", "accept", "prune")
DURABLE = ("pack", "write", "sync")


@dataclass(frozen=True)
class Report:
    """Outcome of one attempt, the same on all ranks.

    Attributes
    ----------
    name : str
        Name of the checkpoint.
    step : int
        Its step.
    accepted : bool
        Whether a restart may use it. If not, it was removed and the older ones are as they were.
    problem : str
        Why it was refused. Of an accepted one: what went wrong afterwards (an old one that could not be removed).
    nbytes : int
        Bytes of values that its own files hold, over all ranks.
    seconds : mapping of str to float
        Seconds per phase, the slowest rank of each: ``prepare`` (directory, files, space), ``pack``, ``digest``,
        ``encode``, ``write``, ``sync``, ``verify`` (read-back), ``accept`` (vote, manifest, rename), ``prune``; then
        ``stall``, for which the caller was held, and ``total`` from the beginning to this report.
    """

    name: str
    step: int
    accepted: bool
    problem: str
    nbytes: int
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def durable(self) -> float:
        """Seconds from the fields to data that survive a power cut: pack, write and sync, without the checks."""
        return sum(self.seconds.get(phase, 0.0) for phase in DURABLE)


def slowest(context: Context, timers: Timers, stall: float, total: float) -> dict[str, float]:
    """Seconds per phase of the slowest rank; collective.

    Examples
    --------
    >>> slowest(Context.serial(), Timers(), 0.5, 2.0)["stall"]
    0.5
    """
    names = (*PHASES, "stall", "total")
    mine = [timers.seconds.get(phase, 0.0) for phase in PHASES]
    worst = context.max(np.array([*mine, stall, total]))
    return dict(zip(names, worst.tolist(), strict=True))
