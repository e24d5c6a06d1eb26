"""Results of a run while it goes: rows of the time series and snapshots, each when its schedule says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hpcsim.comm.watchdog import Watchdog
from hpcsim.output.compress.options import field_compression
from hpcsim.output.compress.tally import add_records, tally_line
from hpcsim.output.directory import RunDirectory
from hpcsim.output.history import History, open_history
from hpcsim.output.log import Log
from hpcsim.output.read import Snapshot
from hpcsim.output.series import write_series
from hpcsim.output.snapshot import SnapshotField
from hpcsim.output.writers import SNAPSHOTS
from hpcsim.schedule import Schedule
from hpcsim.simulation.build import Simulation


class Outputs:
    """Series and snapshots of a simulation.

    Parameters
    ----------
    simulation : Simulation
        What is looked at.
    directory : RunDirectory
        Where the results go.
    log : Log
        Messages of this rank.
    versions : mapping
        Versions of the software, stored in every file.
    check : callable
        Raises if the state is not finite: nothing that is not finite is ever written as a result.
    """

    def __init__(
        self,
        simulation: Simulation,
        directory: RunDirectory,
        log: Log,
        versions: Mapping[str, Any],
        check: Callable[[], None],
    ) -> None:
        self._simulation, self._directory, self._log, self._versions = simulation, directory, log, versions
        self._check = check
        self._config = simulation.case.config
        start, every = self._config.run.start_time, self._config.output.every
        self._snapshots = Schedule(every, start, first=every != "end")
        self._series = Schedule(self._config.diagnostics.every, start, first=True)
        self._history: History | None = None
        # Last step whose row, or snapshot, a longer run would have as well.
        self._through = {"series": -1, "snapshots": -1}
        self._row = -1
        # Per field what the compression of all snapshots gave; on rank 0.
        self.compression: dict[str, Any] = {}
        simulation.kept.add("outputs", self._save, self._restore)

    def _save(self) -> dict[str, Any]:
        schedules = {"snapshots": self._snapshots.state(), "series": self._series.state()}
        return {"schedules": schedules, "through": dict(self._through)}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        simulation = self._simulation
        moment = (simulation.step, simulation.time, simulation.dt)
        self._snapshots.restore(saved["schedules"]["snapshots"], *moment)
        self._series.restore(saved["schedules"]["series"], *moment)
        self._through = {name: int(step) for name, step in saved["through"].items()}
        self._row = self._through["series"]

    @property
    def snapshots_through(self) -> int:
        """Last step whose snapshot a run that goes on keeps."""
        return self._through["snapshots"]

    def open(self) -> None:
        """Begin or continue the time series; on rank 0 only."""
        if self._keeps_series:
            columns = [quantity.name for quantity in self._simulation.case.quantities]
            format = self._config.diagnostics.format
            path = self._directory.history(format)
            self._history = open_history(format, path, columns, self._through["series"])

    @property
    def _keeps_series(self) -> bool:
        return bool(self._simulation.case.quantities)

    def schedules(self) -> Sequence[Schedule]:
        """The schedules in use."""
        return (self._snapshots, self._series) if self._keeps_series else (self._snapshots,)

    def look(self, wall: float, last: bool, watchdog: Watchdog) -> bool:
        """Write what is due at the present step; collective.

        Parameters
        ----------
        wall : float
            Seconds since the start of the run, equal on all ranks.
        last : bool
            Whether this is the last step: everything is then written.

        Returns
        -------
        bool
            Whether a snapshot was written.
        """
        simulation = self._simulation
        moment = (simulation.step, simulation.time, simulation.dt)
        if self._keeps_series:
            due = self._series.due(*moment, wall)
            if due or last:
                watchdog.beat("diagnostics")
                self._add_row(due)
        due = self._snapshots.due(*moment, wall)
        # The final state is always written: it is what the run was made for.
        if due or last:
            watchdog.beat("output")
            self._check()
            with watchdog.pause(), simulation.timers.region("output"):
                self.write_snapshot()
            if due:
                self._through["snapshots"] = simulation.step
        return due or last

    def _add_row(self, due: bool) -> None:
        simulation = self._simulation
        with simulation.timers.region("diagnostics"):
            values = simulation.quantities()
            if self._history is not None and self._row != simulation.step:
                self._history.append(simulation.step, simulation.time, values)
        self._row = simulation.step
        if due:
            self._through["series"] = simulation.step

    def fields(self) -> list[SnapshotField]:
        """What snapshots hold."""
        simulation, output = self._simulation, self._config.output
        simulation.settle()
        return [
            SnapshotField(
                name,
                simulation.observer.spec_of(name),
                partial(simulation.observer.block_parts, name, t=simulation.time, dt=simulation.dt),
                field_compression(output.format, output.compression, output.error, output.ratio, name),
            )
            for name in simulation.case.outputs
        ]

    def write_snapshot(self) -> None:
        """Write one snapshot of the state as it is; collective."""
        simulation = self._simulation
        metadata = {"config": self._config.to_toml(), "versions": self._versions}
        write = SNAPSHOTS.get(self._config.output.format)
        path = write(
            simulation.context, simulation.layout, self.fields(), simulation.step, simulation.time, metadata,
            self._directory.snapshots,
        )  # fmt: skip
        gained = self._gained(path) if simulation.context.rank == 0 else ""
        self._log.note(f"wrote {path.name} at step {simulation.step}, t = {simulation.time:.6g}{gained}")

    def _gained(self, path: Path) -> str:
        """What the compression of a snapshot gave, for the log; it is added up for the record of the run."""
        if self._config.output.compression == "none":
            return ""
        found = Snapshot(path).compression
        self.compression = add_records(self.compression, found)
        return f": {tally_line(found)}"

    def close(self) -> None:
        """End the series; on rank 0 the files of a run that ended well also get their index."""
        if self._history is not None:
            self._history.close()

    def index(self) -> None:
        """One small file that shows all snapshots as a time series; on rank 0."""
        if self._directory.snapshots.is_dir():
            write_series(self._directory.snapshots)
