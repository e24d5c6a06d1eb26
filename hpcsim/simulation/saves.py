"""Checkpoints of a run while it goes: when they are due, how they are written, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hpcsim.comm.watchdog import Watchdog
from hpcsim.errors import DiskError, MemoryBudgetError
from hpcsim.fields.image import Image
from hpcsim.output.checkpoint.options import CheckpointFacts
from hpcsim.output.checkpoint.report import Report
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.writer import CheckpointWriter
from hpcsim.output.log import Log
from hpcsim.schedule import Schedule
from hpcsim.simulation.build import Simulation
from hpcsim.simulation.checkpoint import saved_fields
from hpcsim.simulation.saving import COLLECTIVE, saving_options

_LEAST_MARGIN_S = 2.0
_MARGIN = 2.0


@dataclass
class SaveStatistics:
    """What checkpoints cost a run so far.

    Attributes
    ----------
    accepted, refused : int
        Checkpoints that were accepted, and that could not be written.
    stall_s : float
        Seconds in which the steps waited.
    longest_s : float
        Longest time from the beginning of a checkpoint to its acceptance.
    nbytes : int
        Bytes written by accepted ones.
    phases : dict of str to float
        Seconds of each part of the writing, of the slowest rank.
    """

    accepted: int = 0
    refused: int = 0
    stall_s: float = 0.0
    longest_s: float = 0.0
    nbytes: int = 0
    phases: dict[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As it stands in ``run.json``."""
        return {
            "accepted": self.accepted, "refused": self.refused, "stall_s": self.stall_s, "bytes": self.nbytes,
            "longest_s": self.longest_s, "phases_s": dict(self.phases),
        }  # fmt: skip


class Saves:
    """The checkpoints of a simulation.

    Parameters
    ----------
    simulation : Simulation
        What is saved.
    store : CheckpointStore
        Where.
    log : Log
        Messages of this rank.
    facts : CheckpointFacts
        Run id, configuration and versions, stored in every checkpoint.
    started_from : str
        Checkpoint from which this run went on, empty if none; it stays until newer ones are accepted.
    check : callable
        Raises on all ranks if the state is not finite: such a state is never saved.
    """

    def __init__(
        self,
        simulation: Simulation,
        store: CheckpointStore,
        log: Log,
        facts: CheckpointFacts,
        started_from: str,
        check: Callable[[], None],
    ) -> None:
        self._simulation, self.store, self._log, self._check = simulation, store, log, check
        config = simulation.case.config
        self._section = config.checkpoint
        self.statistics = SaveStatistics()
        self.newest = started_from
        self._saved_step = simulation.step if started_from else -1
        self._schedule = Schedule(self._section.every, config.run.start_time)
        self._began = 0.0
        self._image: Image | None = None
        options = saving_options(config, frozenset([started_from] if started_from else []))
        self._writer = CheckpointWriter(simulation.context, simulation.layout, store, options, facts)
        simulation.kept.add("checkpoints", self._schedule.state, self._restore)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        simulation = self._simulation
        self._schedule.restore(saved, simulation.step, simulation.time, simulation.dt)

    @property
    def schedule(self) -> Schedule:
        """When checkpoints are due."""
        return self._schedule

    @property
    def margin_s(self) -> float:
        """Seconds to leave for a last checkpoint before the job ends."""
        return _LEAST_MARGIN_S + _MARGIN * self.statistics.longest_s

    def prepare(self) -> None:
        """Take the memory for copies in the background, once, before the first step; collective.

        Raises
        ------
        MemoryBudgetError
            On every rank, if the copy does not fit and ``checkpoint.background`` is ``"on"``.
        """
        section, simulation = self._section, self._simulation
        if not section.enabled or section.background == "off" or section.mode == COLLECTIVE:
            return
        threads, problem = simulation.case.config.run.threads, ""
        try:
            self._image = Image(simulation.state, simulation.saved_registers(), threads=threads)
        except MemoryBudgetError as error:
            problem = str(error)
        if simulation.context.agree(not problem):
            return
        self.free()
        problems = simulation.context.texts(problem)
        if section.background == "on":
            raise MemoryBudgetError(next(filter(None, problems)))
        self._log.info("a copy of the state does not fit into memory; the steps wait while checkpoints are written")

    def look(self, wall: float, watchdog: Watchdog) -> None:
        """Begin a checkpoint if one is due, and move on the one under way; collective."""
        if not self._section.enabled:
            return
        simulation = self._simulation
        if self._writer.busy:
            with self._stalled():
                report = self._writer.poll()
            self._take(report)
        # One that is due while another is being written waits for its turn: the queue is never longer than one.
        if not self._writer.busy and self._schedule.due(simulation.step, simulation.time, simulation.dt, wall):
            self._save(watchdog)

    def save_now(self, watchdog: Watchdog) -> bool:
        """Save the present state and wait until it is accepted; collective.

        Returns
        -------
        bool
            Whether the present step is safe.
        """
        if not self._section.enabled:
            return False
        self.drain(watchdog)
        if self._saved_step != self._simulation.step:
            self._save(watchdog, wait=True)
        return self._saved_step == self._simulation.step

    def drain(self, watchdog: Watchdog) -> None:
        """Wait for the checkpoint under way; collective."""
        if self._writer.busy:
            watchdog.beat("checkpoint")
            with watchdog.pause(), self._stalled():
                self._take(self._writer.drain())

    def _save(self, watchdog: Watchdog, wait: bool = False) -> None:
        simulation = self._simulation
        watchdog.beat("checkpoint")
        self._check()
        simulation.settle()
        self._began = time.monotonic()
        with watchdog.pause(), self._stalled():
            moment = (simulation.step, simulation.time, simulation.dt)
            if self._image is None or wait:
                fields = saved_fields(simulation, simulation.state)
                self._take(self._writer.write(fields, *moment, simulation.kept.save()))
            else:
                self._image.capture(simulation.step, simulation.time)
                fields = saved_fields(simulation, self._image)
                self._writer.begin(fields, *moment, simulation.kept.save(), _nothing)

    @contextmanager
    def _stalled(self) -> Iterator[None]:
        """Count the time of the block as time in which the steps waited."""
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - start
            self.statistics.stall_s += seconds
            self._simulation.timers.add("checkpoint", seconds)

    def _take(self, report: Report | None) -> None:
        """Note what became of a checkpoint.

        Raises
        ------
        DiskError
            If it was refused and the run is to stop then.
        """
        if report is None:
            return
        statistics = self.statistics
        statistics.longest_s = max(statistics.longest_s, time.monotonic() - self._began)
        for phase, seconds in report.seconds.items():
            statistics.phases[phase] = statistics.phases.get(phase, 0.0) + seconds
        if report.accepted:
            statistics.accepted += 1
            statistics.nbytes += report.nbytes
            self.newest, self._saved_step = report.name, report.step
            self._log.note(f"checkpoint {report.name}: {report.nbytes / 2**20:.4g} MiB")
            return
        statistics.refused += 1
        kept = f"the newest good one is {self.newest}" if self.newest else "there is no older one"
        message = f"checkpoint of step {report.step} was not written: {report.problem}; {kept}"
        if self._section.on_failure == "stop":
            raise DiskError(message)
        self._log.warn(message)

    def free(self) -> None:
        """Give the copy back."""
        if self._image is not None:
            self._image.release()
            self._image = None


def _nothing() -> None:
    """The copy is used again for the next checkpoint."""
