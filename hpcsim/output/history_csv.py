"""The time series as text: a header and one line per row, each with all digits and on disk at once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hpcsim.errors import DiskError
from hpcsim.output.files import disk_errors, replace_text, write_all
from hpcsim.output.history import aside, check_columns, check_step


class CsvHistory:
    """Series as comma separated values.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        Quantities beside step and time.
    keep_through : int
        Last step whose row stays; rows beyond it are moved aside.

    Raises
    ------
    ConfigError
        If the file goes on with other columns.
    DiskError
        If the file cannot be read or written.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], keep_through: int = -1) -> None:
        self.path = path
        self.columns = columns
        self.last_step = -1
        kept = self._keep(keep_through) if path.exists() else ""
        if not kept:
            replace_text(path, _line(["step", "time", *columns]))
        with disk_errors("open", path):
            self._handle = os.open(path, os.O_WRONLY)
            self._end = os.fstat(self._handle).st_size

    def append(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Add a row; on disk when this returns.

        Raises
        ------
        HpcsimError
            If the step does not come after the last one.
        DiskError
            If the row cannot be written; no part of it is then left.
        """
        check_step(self, step)
        row = _line([int(step), repr(float(time)), *(repr(float(values[name])) for name in self.columns)]).encode()
        with disk_errors("write a row to", self.path):
            try:
                write_all(self._handle, row, self._end)
                os.fdatasync(self._handle)
            except OSError:
                os.ftruncate(self._handle, self._end)
                raise
        self._end += len(row)
        self.last_step = int(step)

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    @staticmethod
    def read(path: Path) -> dict[str, np.ndarray]:
        """The columns of a file; a last line without its end is left out."""
        with disk_errors("read", path):
            header, lines = _rows(path.read_text(encoding="utf-8"))
        try:
            table = {name: np.array([float(row[i]) for row in lines]) for i, name in enumerate(header)}
            table["step"] = np.array([int(row[0]) for row in lines], dtype=np.int64)
        except (ValueError, IndexError) as error:
            raise DiskError(f"{path} is no time series: {error}") from error
        return table

    def _keep(self, keep_through: int) -> str:
        """Split the file at a step: later rows go to a file beside it. The text that stays, empty if none does."""
        with disk_errors("read", self.path):
            text = self.path.read_text(encoding="utf-8")
        header, rows = _rows(text)
        try:
            first = next((i for i, row in enumerate(rows) if int(row[0]) > keep_through), len(rows))
        except (ValueError, IndexError) as error:
            raise DiskError(f"{self.path} is no time series: {error}") from error
        if first > 0:
            check_columns(self.path, header[2:], self.columns)
            self.last_step = int(rows[first - 1][0])
        head, beyond = _line(header), "".join(map(_line, rows[first:]))
        if beyond:
            replace_text(aside(self.path, keep_through), head + beyond)
        if first == 0:
            return ""
        kept = head + "".join(map(_line, rows[:first]))
        if kept != text:
            replace_text(self.path, kept)
        return kept


def _line(values: list) -> str:
    """One line with quotes only where they are needed."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(values)
    return stream.getvalue()


def _rows(text: str) -> tuple[list[str], list[list[str]]]:
    """Header and complete lines of a file."""
    whole = text[: text.rfind("\n") + 1]
    rows = [row for row in csv.reader(io.StringIO(whole)) if row]
    return (rows[0], rows[1:]) if rows else ([], [])
