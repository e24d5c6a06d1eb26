"""The run loop of the command line: advance to the next event, look, write, save, go on."""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hpcsim.comm.launch_check import launched
from hpcsim.comm.watchdog import Watchdog
from hpcsim.diagnostics.finite import check_finite
from hpcsim.errors import BlowUpError, DiskError
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.crash import write_crash_dump
from hpcsim.output.directory import RunDirectory
from hpcsim.output.files import replace_text
from hpcsim.output.log import Log
from hpcsim.output.progress import Progress
from hpcsim.output.provenance import provenance
from hpcsim.output.record import RunRecord
from hpcsim.output.snapshot import SnapshotField
from hpcsim.output.status import StatusFile
from hpcsim.schedule import first_step_at
from hpcsim.simulation.build import Simulation
from hpcsim.simulation.checkpoint import run_facts
from hpcsim.simulation.outputs import Outputs
from hpcsim.simulation.resume import Resume
from hpcsim.simulation.saves import Saves
from hpcsim.simulation.turns import Agreement, StopSources, Turns

STOP_FILE = "stop file"


@dataclass
class Clock:
    """Seconds of a run, from a monotone clock.

    Attributes
    ----------
    start : float
        Reading at the start of the process's work.
    stepping : float
        Seconds spent in steps alone, without compilation, output and diagnostics.
    """

    start: float
    stepping: float = 0.0

    @property
    def wall(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start


@dataclass(frozen=True)
class Means:
    """What a runner is given beside the simulation.

    Attributes
    ----------
    directory : RunDirectory
        Where the results go; it exists and is locked.
    log : Log
        Messages of this rank.
    watchdog : Watchdog
        Is told of every step.
    stops : StopSources
        Where a wish to stop comes from.
    began : float
        Reading of the monotone clock when the process began its work.
    bandwidth : float or None
        Measured memory bandwidth of all ranks together in bytes per second, for the progress line.
    quiet : bool
        Whether to print no progress.
    run_id : str
        Name of this start of the run, equal on all ranks.
    resume : Resume or None
        What the simulation was restored from; None if it starts afresh.
    earlier : tuple of dict
        The starts of this run before this one, from its record.
    """

    directory: RunDirectory
    log: Log
    watchdog: Watchdog
    stops: StopSources
    began: float
    bandwidth: float | None
    quiet: bool
    run_id: str
    resume: Resume | None = None
    earlier: tuple[dict[str, Any], ...] = ()


class Runner:
    """Runs a simulation into a directory.

    Parameters
    ----------
    simulation : Simulation
        What is run.
    means : Means
        Where, how, and until when.

    Attributes
    ----------
    stopped : str
        Why the run stopped before its end; empty if it did not.
    saved : bool
        Whether the state at the stop is in an accepted checkpoint.
    """

    def __init__(self, simulation: Simulation, means: Means) -> None:
        self.simulation = simulation
        self.stopped = ""
        self.saved = False
        self._means = means
        self._config = simulation.case.config
        self._context = simulation.context
        self._clock = Clock(means.began)
        self._first_step = simulation.step
        self._facts = provenance(self._context)
        versions = (self._facts or {}).get("versions", {})
        self.outputs = Outputs(simulation, means.directory, means.log, versions, self._finite)
        facts = run_facts(simulation, means.run_id)
        store = CheckpointStore(means.directory.checkpoints)
        self._source = means.resume.name if means.resume is not None else ""
        self.saves = Saves(simulation, store, means.log, facts, self._source, self._finite)
        stops = replace(means.stops, seconds_left=lambda: means.stops.seconds_left() - self.saves.margin_s)
        self._turns = Turns(self._context, stops)
        self._wall = 0.0
        self._record: RunRecord | None = None
        self._status: StatusFile | None = None
        self._take_up()

    def _take_up(self) -> None:
        """Give schedules and positions of the checkpoint back to their owners."""
        if self._means.resume is not None:
            self.simulation.kept.restore(self._means.resume.manifest.state)

    @property
    def last_step(self) -> int | None:
        """Number of the last step, if it is known beforehand."""
        return last_step(self.simulation)

    @property
    def done(self) -> bool:
        """Whether the run has reached its end."""
        return at_end(self.simulation)

    def run(self) -> dict[str, Any]:
        """Run to the end, or until something asks for a stop; collective.

        Returns
        -------
        dict
            The record of the run, as in ``run.json``.

        Raises
        ------
        BlowUpError
            If a field is not finite any more; a crash dump is left behind.
        DiskError
            If results cannot be written.
        """
        try:
            self._open()
            self._loop()
            return self._finish()
        except BaseException as error:
            self._failed(error)
            raise

    def _open(self) -> None:
        with self._means.watchdog.pause():
            self.saves.prepare()
        if self._context.rank == 0:
            directory = self._means.directory
            replace_text(directory.config, self._config.to_toml())
            self._record = RunRecord(directory.record, **self._facts or {}, **self._state("running"))
            self._record.update()
            self._status = StatusFile(directory.status)
            self.outputs.open()

    def _loop(self) -> None:
        progress = self._make_progress()
        watchdog, simulation = self._means.watchdog, self.simulation
        self._meet()
        # A run that was lost between its last checkpoint and its end has only its last results to write.
        self.outputs.look(self._wall, self.done, watchdog)
        while not self.done and not self.stopped:
            count = self._stride()
            watchdog.beat("step")
            begin = time.monotonic()
            simulation.advance(count)
            seconds = time.monotonic() - begin
            self._clock.stepping += seconds
            self._turns.stepped(count, seconds)
            self._check_finite()
            if progress is not None:
                progress.update(simulation.step, simulation.time)
            self._events()
        if progress is not None:
            progress.close()

    def _events(self) -> None:
        """Results, checkpoint and the agreement on a stop, in this order: a checkpoint knows of what was written."""
        done, watchdog = self.done, self._means.watchdog
        if self._turns.due and not done:
            self._meet()
        self.outputs.look(self._wall, done, watchdog)
        if not done and not self.stopped:
            self.saves.look(self._wall, watchdog)

    def _meet(self) -> None:
        """Agree with the other ranks on the time and on a stop; collective."""
        agreed = self._turns.meet(self._clock.wall)
        self._wall = agreed.wall
        self.stopped = _reason(agreed)
        if self._status is not None:
            self._status.update(**self._progress_facts())

    def _stride(self) -> int:
        """Steps until something has to be looked at."""
        simulation, last = self.simulation, self.last_step
        hints = [self._turns.remaining]
        if simulation.control is not None:
            return 1
        assert last is not None
        hints.append(last - simulation.step)
        moment = (simulation.step, simulation.time, simulation.dt)
        # Wall time passes between two meetings unnoticed: it is known only there.
        schedules = (*self.outputs.schedules(), self.saves.schedule)
        hints += [s.next_step_hint(*moment) for s in schedules if s.when.kind != "wall"]
        every = self._config.run.check_finite_every
        if every:
            hints.append(every - simulation.step % every)
        return max(1, min(hints))

    def _check_finite(self) -> None:
        every = self._config.run.check_finite_every
        if every and self.simulation.step % every == 0:
            self._means.watchdog.beat("check")
            self._finite()

    def _finite(self) -> None:
        simulation = self.simulation
        backend = "numpy" if self._config.run.backend == "numpy" else "auto"
        with simulation.timers.region("diagnostics"):
            check_finite(self._context, simulation.state, simulation.case.specs, simulation.step, backend)

    def _finish(self) -> dict[str, Any]:
        """Save the state, close the results and write the record; collective."""
        watchdog = self._means.watchdog
        with watchdog.pause():
            self._finite()
            section = self._config.checkpoint
            if self.stopped or section.at_end or section.every == "end":
                self.saved = self.saves.save_now(watchdog)
            self.saves.drain(watchdog)
            digests = self.simulation.digests()
            values: dict[str, Any] = {}
            if self._context.rank == 0:
                values = self._close(digests)
            self._context.barrier()
            self.saves.free()
        return values

    def _close(self, digests: dict[str, str]) -> dict[str, Any]:
        assert self._record is not None and self._status is not None
        self.outputs.close()
        self.outputs.index()
        self._status.update(**self._progress_facts(), force=True)
        if self.stopped:
            self._record.update(**self._state("stopped"), digest=digests, reason=self.stopped)
        else:
            self._record.finish(**{**self._state("finished"), "digest": digests})
        return dict(self._record.values)

    def _make_progress(self) -> Progress | None:
        if self._context.rank != 0 or self._means.quiet:
            return None
        return Progress(
            self.last_step or 0, self._cells, first=self._first_step,
            bytes_per_cell_step=self.simulation.program.bytes_per_cell_step,
            bandwidth=self._means.bandwidth, bar=not launched(os.environ),
        )  # fmt: skip

    @property
    def _cells(self) -> int:
        cells = 1
        for extent in self.simulation.case.domain.shape:
            cells *= extent
        return cells

    def _progress_facts(self) -> dict[str, Any]:
        """What ``hpcsim status`` shows."""
        simulation, run = self.simulation, self._config.run
        return {
            "step": simulation.step, "first_step": self._first_step, "last_step": self.last_step,
            "time": simulation.time, "stop_time": run.stop_time, "ranks": self._context.size,
            "wall_s": self._clock.wall, "steps_wall_s": self._clock.stepping, "cells": self._cells,
            "checkpoint": self.saves.newest, "checkpoints": self.saves.statistics.record(),
        }  # fmt: skip

    def _state(self, status: str) -> dict[str, Any]:
        simulation, run = self.simulation, self._config.run
        stepping = self._clock.stepping
        done = simulation.step - self._first_step
        start = {
            "run": self._means.run_id, "from": self._source, "first_step": self._first_step,
            "steps": simulation.step, "ranks": self._context.size, "status": status,
        }  # fmt: skip
        return {
            "status": status,
            "config_digest": self._config.digest(),
            "steps": simulation.step,
            "time": simulation.time,
            "dt": simulation.dt,
            "stability_limit": simulation.limit if math.isfinite(simulation.limit) else None,
            "integrator": simulation.case.scheme.name,
            "ranks": self._context.size,
            "threads": run.threads,
            "blocks": len(simulation.layout.blocks),
            "wall_s": self._clock.wall,
            "steps_wall_s": stepping,
            "compile_s": simulation.setting.backend.compile_seconds,
            "cells_per_s": self._cells * done / stepping if stepping else 0.0,
            "bytes_per_cell_step": simulation.program.bytes_per_cell_step,
            "flops_per_cell_step": simulation.program.flops_per_cell_step,
            "regions_s": dict(simulation.timers.seconds),
            "solvers": simulation.solves.record(),
            "memory": self._memory(),
            "checkpoint": self.saves.newest,
            "checkpoints": self.saves.statistics.record(),
            "compression": self.outputs.compression,
            "starts": [*self._means.earlier, start],
        }

    def _memory(self) -> dict[str, Any]:
        """What the pool of this rank held at most, and what it may hold."""
        found = self.simulation.pool.statistics
        return {"held_bytes": found.high_water, "used_bytes": found.most_in_use, "budget_bytes": found.budget}

    def _failed(self, error: BaseException) -> None:
        """Leave what can be left without the other ranks; a second fault must not hide the first."""
        for leave in (self._leave_crash_dump, self._leave_record, self._leave_history):
            try:
                leave(error)
            except (OSError, DiskError) as second:
                self._means.log.warn(str(second))

    def _leave_crash_dump(self, error: BaseException) -> None:
        simulation, directory = self.simulation, self._means.directory
        if not isinstance(error, BlowUpError):
            return
        fields = [
            SnapshotField(name, spec, partial(simulation.observer.block_parts, name, t=0.0, dt=0.0))
            for name, spec in simulation.case.specs.items()
        ]
        write_crash_dump(
            self._context, simulation.layout, fields, simulation.step, simulation.time, str(error), directory.crash
        )
        self._means.log.info(f"the state of the failed run is in {directory.crash}")

    def _leave_record(self, error: BaseException) -> None:
        if self._record is None:
            return
        status = {BlowUpError: "blown up", KeyboardInterrupt: "interrupted"}.get(type(error), "failed")
        self._record.update(**self._state(status), reason=f"{type(error).__name__}: {error}".rstrip(": "))

    def _leave_history(self, error: BaseException) -> None:
        self.outputs.close()


def last_step(simulation: Simulation) -> int | None:
    """Number of the last step of a run, if it is known beforehand (it is not with adaptive steps)."""
    run = simulation.case.config.run
    if run.steps is not None:
        return run.steps
    if not simulation.case.system.equations:
        return 0
    if simulation.control is not None or run.stop_time is None:
        return None
    return max(1, first_step_at(run.stop_time, run.start_time, simulation.dt))


def at_end(simulation: Simulation) -> bool:
    """Whether a run has reached its end."""
    last = last_step(simulation)
    if last is not None:
        return simulation.step >= last
    stop = simulation.case.config.run.stop_time
    assert stop is not None
    return simulation.time >= stop - 0.5 * simulation.dt


def _reason(agreed: Agreement) -> str:
    """Why the run stops now; empty if it goes on."""
    if agreed.signal:
        return signal.Signals(agreed.signal).name
    if agreed.file:
        return STOP_FILE
    return "end of the wall time" if agreed.seconds_left <= 0.0 else ""
