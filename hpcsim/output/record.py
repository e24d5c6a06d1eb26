"""The record of a run, ``run.json``: what was run, where, how far it came, and whether it finished."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from hpcsim.errors import DiskError
from hpcsim.output.files import replace_text

FORMAT_VERSION = 1

# Every record has these keys from its first writing on, so that a reader need not guess.
START: dict[str, Any] = {
    "format": FORMAT_VERSION,
    "finished": False,
    "status": "starting",
    "reason": "",
    "steps": 0,
    "time": 0.0,
    "ranks": 1,
    "threads": 1,
    "wall_s": 0.0,
    "steps_wall_s": 0.0,
    "compile_s": 0.0,
    "cells_per_s": 0.0,
    "bytes_per_cell_step": 0.0,
    "digest": {},
    "config_digest": "",
}


class RunRecord:
    """The record of one run; written by rank 0 only.

    Parameters
    ----------
    path : Path
        ``run.json`` of the run directory.
    **values
        Keys to begin with, beside the ones every record has.

    Examples
    --------
    >>> import tempfile
    >>> record = RunRecord(Path(tempfile.mkdtemp()) / "run.json", ranks=4)
    >>> record.update(status="running", steps=10)
    >>> read_record(record.path)["steps"]
    10
    """

    def __init__(self, path: Path, **values: Any) -> None:
        self.path = Path(path)
        self.values: dict[str, Any] = {**START, **values}

    def update(self, **values: Any) -> None:
        """Set keys and write the file in one step: a reader sees the old record or the new.

        Raises
        ------
        DiskError
            If the file cannot be written; the old record is then still there.
        """
        self.values.update(values)
        replace_text(self.path, json.dumps(self.values, indent=1, ensure_ascii=False, default=plain) + "\n")

    def finish(self, **values: Any) -> None:
        """Write the last record of a run that did all it was to do; call it when all outputs are safe."""
        self.update(**{"status": "finished", "reason": "", **values, "finished": True})


def plain(value: Any) -> Any:
    """NumPy scalars, paths and sets as JSON has them."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def config_digest(text: str) -> str:
    """Digest of a resolved configuration, the same for the same text.

    Examples
    --------
    >>> config_digest("a = 1")[:12]
    'b5bc1ffd9091'
    """
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(path: str | Path) -> dict[str, Any]:
    """The record of a run.

    Parameters
    ----------
    path : path
        ``run.json`` or the run directory.

    Raises
    ------
    DiskError
        If there is none or it is no record.
    """
    where = Path(path)
    where = where / "run.json" if where.is_dir() else where
    try:
        values = json.loads(where.read_text(encoding="utf-8"))
    except OSError as error:
        raise DiskError(f"no run record at {where}: {error.strerror}") from error
    except ValueError as error:
        raise DiskError(f"{where} is no run record: {error}") from error
    if not isinstance(values, dict):
        raise DiskError(f"{where} is no run record: it holds no table")
    return values
