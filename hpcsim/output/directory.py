"""The layout of a run directory, and paths that cannot leave it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError
from hpcsim.output.files import disk_errors
from hpcsim.output.read import snapshot_files
from hpcsim.output.series import NAME as SERIES_NAME

MAX_NAME = 200


def safe_path(root: str | Path, name: str) -> Path:
    """A path below a directory, refused if it could be outside of it.

    Parameters
    ----------
    root : path
        The directory that must hold it.
    name : str
        Relative path from a configuration or a file.

    Returns
    -------
    Path
        ``root/name``; it need not exist.

    Raises
    ------
    ConfigError
        If the name is empty, absolute, has ``..`` or a NUL in it, leads out by a symbolic link, or names something
        that is no regular file or directory.

    Examples
    --------
    >>> safe_path("/tmp/run", "probes/a.csv").name
    'a.csv'
    """
    shown = name if len(name) <= 80 else name[:77] + "..."
    if not name or "\0" in name or not name.isprintable():
        raise ConfigError(f"the file name {shown!r} is empty or has control characters; use letters, digits, '-', '_'")
    parts = name.split("/")
    if os.path.isabs(name) or ".." in parts or name.startswith("~"):
        raise ConfigError(f"the file name {shown!r} leaves the run directory; give a name inside of it, without '..'")
    if any(len(part.encode()) > MAX_NAME for part in parts):
        raise ConfigError(f"the file name {shown!r} is longer than {MAX_NAME} bytes")
    base = Path(root).resolve()
    path = base / name
    real = path.resolve()
    if real != base and base not in real.parents:
        raise ConfigError(f"the file name {shown!r} leads to {real}, outside the run directory {base}")
    if real.exists() and not (stat.S_ISREG(real.stat().st_mode) or real.is_dir()):
        raise ConfigError(f"the file name {shown!r} is a device or a socket, not a file")
    return path


@dataclass(frozen=True)
class RunDirectory:
    """Where each thing of a run lies.

    Parameters
    ----------
    root : Path
        The run directory.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).absolute())

    @property
    def snapshots(self) -> Path:
        """One file per output time."""
        return self.root / "snapshots"

    @property
    def logs(self) -> Path:
        """One log per rank."""
        return self.root / "logs"

    @property
    def crash(self) -> Path:
        """Blocks as they were when a run failed; never used for a restart."""
        return self.root / "crash"

    @property
    def figures(self) -> Path:
        """Pictures drawn from the run."""
        return self.root / "figures"

    @property
    def record(self) -> Path:
        """What was run, where, with what result."""
        return self.root / "run.json"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.root / "config.toml"

    @property
    def lock(self) -> Path:
        """Who is writing here."""
        return self.root / "lock"

    @property
    def watchdog(self) -> Path:
        """Reports of ranks that hang; gone after a run that does not."""
        return self.root / "watchdog"

    @property
    def checkpoints(self) -> Path:
        """Saved states from which the run goes on."""
        return self.root / "ckpt"

    @property
    def stop(self) -> Path:
        """A file of this name, made by anyone, stops the run."""
        return self.root / "stop"

    @property
    def status(self) -> Path:
        """How far a live run is."""
        return self.root / "status.json"

    def history(self, format: str) -> Path:
        """The time series in a format."""
        return self.root / f"history.{'h5' if format == 'hdf5' else format}"

    def inside(self, name: str) -> Path:
        """A path inside the directory (see `safe_path`)."""
        return safe_path(self.root, name)

    def create(self, context: Context) -> None:
        """Make the directory; collective.

        Raises
        ------
        DiskError
            On every rank, if it cannot be made or not be written to, or if a rank does not see it.
        """

        def make() -> str:
            with disk_errors("make the run directory", self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                _probe(self.root)
            return ""

        _on_first(context, make)
        # A directory on a disk of one node only would fail much later, with half of the data lost.
        if not context.agree(self.root.is_dir()):
            raise DiskError(f"the run directory {self.root} is not seen by every rank; use a shared file system")

    def set_aside(self, context: Context) -> Path | None:
        """Move what an earlier run left here into ``earlier-1``, ``earlier-2``, ... of this directory; collective.

        Results of two runs are so never mixed, and none is lost. Call it with the lock held and no log open.

        Returns
        -------
        Path or None
            Where the earlier results are now; None if there were none.

        Raises
        ------
        DiskError
            On every rank, if they cannot be moved.
        """

        def move() -> str:
            with disk_errors("move earlier results within", self.root):
                found = self._results()
                if not found:
                    return ""
                target = _numbered(self.root, "earlier")
                target.mkdir()
                for path in found:
                    path.rename(target / path.name)
                return str(target)

        moved = _on_first(context, move)
        return Path(moved) if moved else None

    def set_aside_after(self, context: Context, step: int, snapshots: int) -> Path | None:
        """Move results that are later than a checkpoint out of the way of a run that goes on from it; collective.

        They go to ``superseded-1``, ``superseded-2``, ... of this directory. Call it with the lock held.

        Parameters
        ----------
        context : Context
            The ranks.
        step : int
            Step of the checkpoint; later checkpoints are moved.
        snapshots : int
            Last step whose snapshot stays.

        Returns
        -------
        Path or None
            Where they are now; None if there were none.

        Raises
        ------
        DiskError
            On every rank, if they cannot be moved.
        """

        def move() -> str:
            with disk_errors("move later results within", self.root):
                found = [path for path in snapshot_files(self.snapshots) if _step(path) > snapshots]
                found += [path for path in self.checkpoints.glob("step-*") if _step(path) > step]
                (self.snapshots / SERIES_NAME).unlink(missing_ok=True)
                if not found:
                    return ""
                target = _numbered(self.root, "superseded")
                for path in found:
                    (target / path.parent.name).mkdir(parents=True, exist_ok=True)
                    path.rename(target / path.parent.name / path.name)
            return str(target)

        moved = _on_first(context, move)
        return Path(moved) if moved else None

    def _results(self) -> list[Path]:
        """What runs write here, the record first: without it the rest cannot be taken for a finished run."""
        own = [self.record, self.config, *sorted(self.root.glob("history.*")), self.snapshots, self.crash]
        own += [self.checkpoints, self.status]
        found = [path for path in own if path.exists()]
        return [*found, *(path for path in (self.figures, self.logs) if path.exists())] if found else []


def _numbered(root: Path, name: str) -> Path:
    """The first of ``name-1``, ``name-2``, ... that does not exist."""
    number = 1
    while (target := root / f"{name}-{number}").exists():
        number += 1
    return target


def _step(path: Path) -> int:
    """Step in the name of a snapshot or checkpoint, -1 if there is none."""
    digits = path.name.removeprefix("step-").split(".")[0]
    return int(digits) if digits.isdecimal() else -1


def _on_first(context: Context, act: Callable[[], str]) -> str:
    """Act on rank 0; its answer on all ranks, or its ``DiskError`` raised on all of them."""
    answer, problem = "", ""
    if context.rank == 0:
        try:
            answer = act()
        except DiskError as error:
            problem = str(error)
    problem = context.bcast_text(problem)
    if problem:
        raise DiskError(problem)
    return context.bcast_text(answer)


def _probe(directory: Path) -> None:
    """Write and remove a byte: permission bits alone do not tell on network disks."""
    probe = directory / f".probe.{os.getpid()}"
    probe.write_bytes(b"1")
    probe.unlink()
