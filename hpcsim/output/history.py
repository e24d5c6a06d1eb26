"""Time series of a run: one row per output step, strictly rising in step, safe against a kill at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from hpcsim.errors import ConfigError, DiskError, HpcsimError
from hpcsim.output.writers import HISTORIES


class History(Protocol):
    """A series being written, by rank 0."""

    path: Path
    columns: tuple[str, ...]
    last_step: int

    def append(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Add a row; on disk when this returns."""

    def close(self) -> None:
        """End the series."""


def open_history(format: str, path: Path, columns: Sequence[str], keep_through: int = -1) -> History:
    """Begin or continue a series; for rank 0 only.

    Parameters
    ----------
    format : str
        Name in the table of series formats.
    path : Path
        The file.
    columns : sequence of str
        Names of the quantities, beside step and time.
    keep_through : int
        Last step whose row stays (the step of the checkpoint when a run goes on). Rows beyond it are moved to a file
        beside this one; with -1, the default, all rows are.

    Raises
    ------
    ConfigError
        If the format is unknown, a name is used twice, or the file that goes on has other columns.
    DiskError
        If the file cannot be read or written.
    """
    names = ("step", "time", *columns)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"diagnostics.quantities: '{twice[0]}' is used twice; 'step' and 'time' are always there")
    history: History = HISTORIES.get(format)(Path(path), tuple(columns), keep_through)
    return history


def check_step(history: History, step: int) -> None:
    """Refuse a row that does not come after the last one."""
    if step <= history.last_step:
        raise HpcsimError(f"{history.path}: a row for step {step} after step {history.last_step}; steps must rise")


def check_columns(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse to go on with other columns than the file has."""
    if tuple(found) != tuple(wanted):
        raise ConfigError(
            f"{path} has the columns {', '.join(found) or 'none'}, the run has {', '.join(wanted) or 'none'}; "
            "go on with the same [diagnostics] or remove the file"
        )


def aside(path: Path, step: int) -> Path:
    """A free name for the rows beyond a step.

    Examples
    --------
    >>> aside(Path("history.csv"), 40).name
    'history.after-40.csv'
    """
    label = f"{path.stem}.after-{step}" if step >= 0 else f"{path.stem}.old"
    candidate = path.with_name(f"{label}{path.suffix}")
    number = 2
    while candidate.exists():
        candidate = path.with_name(f"{label}-{number}{path.suffix}")
        number += 1
    return candidate


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """A series as arrays.

    Parameters
    ----------
    path : path
        ``history.csv`` or ``history.h5``, or a run directory.

    Returns
    -------
    dict of str to ndarray
        ``step`` (int64), ``time`` and the quantities (float64), all of one length.

    Raises
    ------
    DiskError
        If there is no series, or it cannot be read.
    """
    where = Path(path)
    if where.is_dir():
        found = [where / name for name in ("history.csv", "history.h5") if (where / name).exists()]
        if not found:
            raise DiskError(f"no time series (history.csv or history.h5) in {where}")
        where = found[0]
    format = "csv" if where.suffix == ".csv" else "hdf5"
    table: dict[str, np.ndarray] = HISTORIES.get(format).read(where)
    return table
