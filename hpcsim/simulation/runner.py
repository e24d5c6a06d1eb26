"""The run loop of the command line: advance to the next event, look, write, go on."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hpcsim.comm.launch_check import launched
from hpcsim.comm.watchdog import Watchdog
from hpcsim.diagnostics.finite import check_finite
from hpcsim.errors import BlowUpError, DiskError
from hpcsim.output.crash import write_crash_dump
from hpcsim.output.directory import RunDirectory
from hpcsim.output.files import replace_text
from hpcsim.output.history import History, open_history
from hpcsim.output.log import Log
from hpcsim.output.progress import Progress
from hpcsim.output.provenance import provenance
from hpcsim.output.record import RunRecord
from hpcsim.output.series import write_series
from hpcsim.output.snapshot import SnapshotField
from hpcsim.output.writers import SNAPSHOTS
from hpcsim.schedule import Schedule, first_step_at
from hpcsim.simulation.build import Simulation

_LONGEST_STRIDE = 1000


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


class Runner:
    """Runs a simulation into a directory.

    Parameters
    ----------
    simulation : Simulation
        What is run.
    directory : RunDirectory
        Where the results go; it exists and is locked.
    log : Log
        Messages of this rank.
    bandwidth : float or None
        Measured memory bandwidth of all ranks together in bytes per second, for the progress line.
    quiet : bool
        Whether to print no progress.
    """

    def __init__(
        self, simulation: Simulation, directory: RunDirectory, log: Log, bandwidth: float | None, quiet: bool
    ) -> None:
        self.simulation = simulation
        self.directory = directory
        self.log = log
        self._config = simulation.case.config
        self._context = simulation.context
        start = self._config.run.start_time
        self._snapshots = Schedule(self._config.output.every, start, first=self._config.output.every != "end")
        self._series = Schedule(self._config.diagnostics.every, start, first=True)
        self._clock = Clock(time.monotonic())
        self._facts = provenance(self._context)
        self._bandwidth = bandwidth
        self._quiet = quiet
        self._record: RunRecord | None = None
        self._history: History | None = None

    @property
    def last_step(self) -> int | None:
        """Number of the last step, if it is known beforehand (it is not with adaptive steps)."""
        run = self._config.run
        if run.steps is not None:
            return run.steps
        if self.simulation.control is not None or run.stop_time is None:
            return None
        return max(1, first_step_at(run.stop_time, run.start_time, self.simulation.dt))

    def run(self, began: float, watchdog: Watchdog) -> dict[str, Any]:
        """Run to the end; collective.

        Parameters
        ----------
        watchdog : Watchdog
            Is told of every step.
        began : float
            Reading of the monotone clock when the process began its work.

        Returns
        -------
        dict
            The record of the run, as in ``run.json``.

        Raises
        ------
        BlowUpError
            If a field is not finite any more; a crash dump is left behind.
        """
        self._clock.start = began
        self._open()
        try:
            self._loop(watchdog)
            with watchdog.pause():
                return self._finish()
        except BaseException as error:
            self._failed(error)
            raise

    def _open(self) -> None:
        if self._context.rank == 0:
            replace_text(self.directory.config, self._config.to_toml())
            self._record = RunRecord(self.directory.record, **self._facts or {}, **self._state("running"))
            self._record.update()
            if self._config.diagnostics.every and self.simulation.case.quantities:
                columns = [quantity.name for quantity in self.simulation.case.quantities]
                path = self.directory.history(self._config.diagnostics.format)
                self._history = open_history(self._config.diagnostics.format, path, columns)

    def _loop(self, watchdog: Watchdog) -> None:
        simulation, last = self.simulation, self.last_step
        progress = self._make_progress(last)
        self._events(watchdog, last=False)
        while not self._done(last):
            count = self._stride(last)
            watchdog.beat("step")
            begin = time.monotonic()
            simulation.advance(count)
            self._clock.stepping += time.monotonic() - begin
            self._check_finite(watchdog)
            if progress is not None:
                progress.update(simulation.step, simulation.time)
            self._events(watchdog, last=self._done(last))
        if progress is not None:
            progress.close()

    def _done(self, last: int | None) -> bool:
        if last is not None:
            return self.simulation.step >= last
        stop = self._config.run.stop_time
        assert stop is not None
        return self.simulation.time >= stop - 0.5 * self.simulation.dt

    def _stride(self, last: int | None) -> int:
        """Steps until something has to be looked at."""
        simulation = self.simulation
        if simulation.control is not None:
            return 1
        assert last is not None
        hints = [last - simulation.step, _LONGEST_STRIDE]
        hints += [s.next_step_hint(simulation.step, simulation.time, simulation.dt) for s in self._schedules()]
        every = self._config.run.check_finite_every
        if every:
            hints.append(every - simulation.step % every)
        return max(1, min(hints))

    def _schedules(self) -> Sequence[Schedule]:
        return (self._snapshots, self._series) if self.simulation.case.quantities else (self._snapshots,)

    def _check_finite(self, watchdog: Watchdog) -> None:
        every = self._config.run.check_finite_every
        if every and self.simulation.step % every == 0:
            watchdog.beat("check")
            self._finite()

    def _finite(self) -> None:
        simulation = self.simulation
        backend = "numpy" if self._config.run.backend == "numpy" else "auto"
        with simulation.timers.region("diagnostics"):
            check_finite(self._context, simulation.state, simulation.case.specs, simulation.step, backend)

    def _events(self, watchdog: Watchdog, last: bool) -> None:
        simulation = self.simulation
        moment = (simulation.step, simulation.time, simulation.dt)
        wall = self._agreed_wall()
        if simulation.case.quantities and (self._series.due(*moment, wall, last=last) or last):
            watchdog.beat("diagnostics")
            with simulation.timers.region("diagnostics"):
                values = simulation.quantities()
                if self._history is not None and self._new_row():
                    self._history.append(simulation.step, simulation.time, values)
        # The final state is always written: it is what the run was made for.
        if self._snapshots.due(*moment, wall, last=last) or last:
            watchdog.beat("output")
            # Nothing that is not finite is ever written as a result.
            self._finite()
            with watchdog.pause(), simulation.timers.region("output"):
                self.write_snapshot()

    def _new_row(self) -> bool:
        fresh = getattr(self, "_row", -1) != self.simulation.step
        self._row = self.simulation.step
        return fresh

    def _agreed_wall(self) -> float:
        if not any(schedule.when.kind == "wall" for schedule in self._schedules()):
            return 0.0
        return float(self._context.max(self._clock.wall))

    def fields(self) -> list[SnapshotField]:
        """What snapshots hold."""
        simulation = self.simulation
        simulation.settle()
        return [
            SnapshotField(
                name,
                simulation.observer.spec_of(name),
                partial(simulation.observer.block_parts, name, t=simulation.time, dt=simulation.dt),
            )
            for name in simulation.case.outputs
        ]

    def write_snapshot(self) -> None:
        """Write one snapshot of the state as it is; collective."""
        simulation = self.simulation
        metadata = {"config": self._config.to_toml(), "versions": (self._facts or {}).get("versions", {})}
        write = SNAPSHOTS.get(self._config.output.format)
        path = write(
            self._context, simulation.layout, self.fields(), simulation.step, simulation.time, metadata,
            self.directory.snapshots,
        )  # fmt: skip
        self.log.note(f"wrote {path.name} at step {simulation.step}, t = {simulation.time:.6g}")

    def _make_progress(self, last: int | None) -> Progress | None:
        if self._context.rank != 0 or self._quiet:
            return None
        cells = 1
        for extent in self.simulation.case.domain.shape:
            cells *= extent
        return Progress(
            last or 0, cells, bytes_per_cell_step=self.simulation.program.bytes_per_cell_step,
            bandwidth=self._bandwidth, bar=not launched(os.environ),
        )  # fmt: skip

    def _state(self, status: str) -> dict[str, Any]:
        simulation, run = self.simulation, self._config.run
        cells = 1.0
        for extent in simulation.case.domain.shape:
            cells *= extent
        stepping = self._clock.stepping
        return {
            "status": status,
            "config_digest": self._config.digest(),
            "steps": simulation.step,
            "time": simulation.time,
            "dt": simulation.dt,
            "stability_limit": simulation.limit,
            "integrator": simulation.case.scheme.name,
            "ranks": self._context.size,
            "threads": run.threads,
            "blocks": len(simulation.layout.blocks),
            "wall_s": self._clock.wall,
            "steps_wall_s": stepping,
            "compile_s": simulation.setting.backend.compile_seconds,
            "cells_per_s": cells * simulation.step / stepping if stepping else 0.0,
            "bytes_per_cell_step": simulation.program.bytes_per_cell_step,
            "flops_per_cell_step": simulation.program.flops_per_cell_step,
            "regions_s": dict(simulation.timers.seconds),
        }

    def _finish(self) -> dict[str, Any]:
        self._finite()
        digests = self.simulation.digests()
        values: dict[str, Any] = {}
        if self._context.rank == 0:
            if self._history is not None:
                self._history.close()
            if self.directory.snapshots.is_dir():
                write_series(self.directory.snapshots)
            assert self._record is not None
            self._record.finish(**{**self._state("finished"), "digest": digests})
            values = dict(self._record.values)
        self._context.barrier()
        return values

    def _failed(self, error: BaseException) -> None:
        """Leave what can be left without the other ranks; a second fault must not hide the first."""
        for leave in (self._leave_crash_dump, self._leave_record, self._leave_history):
            try:
                leave(error)
            except (OSError, DiskError) as second:
                self.log.warn(str(second))

    def _leave_crash_dump(self, error: BaseException) -> None:
        simulation = self.simulation
        if not isinstance(error, BlowUpError):
            return
        fields = [
            SnapshotField(name, spec, partial(simulation.observer.block_parts, name, t=0.0, dt=0.0))
            for name, spec in simulation.case.specs.items()
        ]
        write_crash_dump(
            self._context, simulation.layout, fields, simulation.step, simulation.time, str(error),
            self.directory.crash,
        )  # fmt: skip
        self.log.info(f"the state of the failed run is in {self.directory.crash}")

    def _leave_record(self, error: BaseException) -> None:
        if self._record is None:
            return
        status = {BlowUpError: "blown up", KeyboardInterrupt: "interrupted"}.get(type(error), "failed")
        self._record.update(**self._state(status), reason=f"{type(error).__name__}: {error}".rstrip(": "))

    def _leave_history(self, error: BaseException) -> None:
        if self._history is not None:
            self._history.close()
