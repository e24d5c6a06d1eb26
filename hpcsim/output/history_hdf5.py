"""The time series as one HDF5 table.

The table is laid out in advance with free rows (step -1), and a row is written into its place by a plain file write.
So HDF5 never has the file open while the run goes on, and no kill can damage more than the row being written. When
the rows are used up the file is laid out anew with twice as many, and renamed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.errors import DiskError
from hpcsim.output.files import discard, disk_errors, open_hdf5, preallocate, sync_directory, write_all
from hpcsim.output.history import aside, check_columns, check_step

ROWS = 1024
FREE = -1


class HdfHistory:
    """Series as an HDF5 table; the parameters and errors are those of the text form.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        Quantities beside step and time.
    keep_through : int
        Last step whose row stays; rows beyond it are moved aside.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], keep_through: int = -1) -> None:
        self.path = path
        self.columns = columns
        self.last_step = -1
        self._dtype = np.dtype([("step", "<i8"), ("time", "<f8"), *((name, "<f8") for name in columns)])
        self._handle = -1
        rows = self._keep(keep_through) if path.exists() else np.empty(0, self._dtype)
        self._lay_out(rows)

    def append(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Add a row; on disk when this returns.

        Raises
        ------
        HpcsimError
            If the step does not come after the last one.
        DiskError
            If the row cannot be written.
        """
        check_step(self, step)
        if self._used == self._rows:
            self._lay_out(_table(self.path))
        row = np.array([(step, time, *(values[name] for name in self.columns))], self._dtype)
        with disk_errors("write a row to", self.path):
            write_all(self._handle, row.view(np.uint8), self._offset + self._used * self._dtype.itemsize)
            os.fdatasync(self._handle)
        self._used += 1
        self.last_step = int(step)

    def close(self) -> None:
        """Close the file and give back the rows that were not used."""
        if self._handle >= 0:
            self._lay_out(_table(self.path), spare=0)
            os.close(self._handle)
            self._handle = -1

    @staticmethod
    def read(path: Path) -> dict[str, np.ndarray]:
        """The columns of a file."""
        rows = _table(path)
        return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}

    def _keep(self, keep_through: int) -> np.ndarray:
        """The rows that stay; later ones go to a file beside this one."""
        rows = _table(self.path)
        kept, beyond = rows[rows["step"] <= keep_through], rows[rows["step"] > keep_through]
        if len(beyond):
            _write(aside(self.path, keep_through), beyond, 0)
        if not len(kept):
            return np.empty(0, self._dtype)
        check_columns(self.path, (rows.dtype.names or ())[2:], self.columns)
        self.last_step = int(kept["step"][-1])
        return kept

    def _lay_out(self, rows: np.ndarray, spare: int | None = None) -> None:
        """Write the file anew with these rows and as many free ones, then open it for plain writes."""
        free = max(ROWS, len(rows)) if spare is None else spare
        self._offset = _write(self.path, rows, free)
        if self._handle >= 0:
            os.close(self._handle)
        with disk_errors("open", self.path):
            self._handle = os.open(self.path, os.O_WRONLY)
        self._used, self._rows = len(rows), len(rows) + free


def _write(path: Path, rows: np.ndarray, free: int) -> int:
    """Write a table with free rows at its end under a temporary name and rename it; the offset of the first row."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    table = np.concatenate([rows, np.zeros(free, rows.dtype)])
    table["step"][len(rows) :] = FREE
    with disk_errors("write", path):
        try:
            # Tried before HDF5 has the file: the library cannot be left cleanly after a full disk.
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                preallocate(handle, table.nbytes + (1 << 16))
            finally:
                os.close(handle)
            with open_hdf5(temporary, "w") as file:
                offset = _store(file, table)
            _sync(temporary)
            os.replace(temporary, path)
            sync_directory(path.parent)
        except (OSError, DiskError):
            discard(temporary)
            raise
    return offset


def _store(file: Any, table: np.ndarray) -> int:
    """The table as the dataset ``table``; its byte offset."""
    import h5py

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space = h5py.h5s.create_simple(table.shape)
    made = h5py.h5d.create(file.id, b"table", h5py.h5t.py_create(table.dtype), space, properties)
    if table.size:
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, table)
    h5py.Dataset(made).attrs["unused rows"] = "have step -1"
    return int(made.get_offset() or 0)


def _sync(path: Path) -> None:
    """Make a file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _table(path: Path) -> np.ndarray:
    """The used rows of a file."""
    with open_hdf5(path) as file:
        if "table" not in file:
            raise DiskError(f"{path} is an HDF5 file but no time series (it has no dataset 'table')")
        rows: np.ndarray = file["table"][()]
    return rows[rows["step"] != FREE]
