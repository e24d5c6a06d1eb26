"""One data file for all ranks, filled by collective writes of parallel HDF5.

A rank that has nothing more to write joins every call with an empty selection. On a full disk the file layer of Open
MPI can lose values and report success, and that of MPICH raises on some ranks and leaves the others waiting. So the
space is taken before, with zeros where it cannot be reserved, and every piece is read back after. A write that raises
all the same ends the run, and with it the waiting; the older checkpoints are as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.datafile import GROUP
from hpcsim.output.checkpoint.modes import Groups, OutOfStep, Target
from hpcsim.output.checkpoint.packing import Packing
from hpcsim.output.checkpoint.shards import fill_plainly

FILE_NAME = "state.h5"
NO_MPIO = (
    "checkpoint mode 'collective' needs an h5py that was built with parallel HDF5 (Debian: python3-h5py-mpi with "
    "H5PY_ALWAYS_USE_MPI=1; from source: HDF5_MPI=ON CC=mpicc pip install --no-binary=h5py h5py); install it, or use "
    "mode 'shards', which needs none and has the same content"
)


class Collective:
    """One parallel HDF5 file, written by all ranks together."""

    name = "collective"
    background = False
    trusted = False
    staging_bytes = 64 << 20

    def check(self, context: Context) -> None:
        if context.size > 1 and not has_mpio():
            raise ConfigError(NO_MPIO)

    def groups(self, context: Context, writers_per_node: int) -> Groups:
        return Groups(np.zeros(context.size, np.int64), np.zeros(1, np.int64), (FILE_NAME,))

    def fill(self, target: Target) -> None:
        if target.path is None:
            return
        if target.context.size == 1:
            fill_plainly(target)
            return
        errors: list[Exception] = []
        handle = _open(target, errors)
        if handle is not None:
            _write(target, handle, errors)
            _close(handle, target.packing, errors)
        _sync(target, errors)
        # Another rank may have written what this one gave: nobody reads back before all have synced.
        target.context.barrier()
        if errors:
            raise errors[0]


def has_mpio() -> bool:
    """Whether this h5py can open one file from several ranks."""
    import h5py

    return bool(h5py.get_config().mpi)


def _open(target: Target, errors: list[Exception]) -> Any:
    """The file on all ranks, or None on all."""
    import h5py

    handle = None
    with target.packing.timers.region("write"):
        try:
            handle = h5py.File(str(target.path), "r+", driver="mpio", comm=target.context.comm)
        except Exception as error:
            errors.append(error)
        if target.context.agree(handle is not None):
            return handle
        if handle is not None:
            _close(handle, target.packing, errors)
    return None


def _write(target: Target, handle: Any, errors: list[Exception]) -> None:
    """Write all registers, each with as many calls as the rank with most batches needs."""
    packing = target.packing
    batches: list[list[NDArray[np.intp]]] = [[] for _ in packing.dtypes]
    for batch in packing.batches(len(target.staging)):
        batches[int(packing.rows["field"][batch[0]])].append(batch)
    calls = target.context.max(np.array([len(found) for found in batches], np.int64))
    plain = _Plain(target, errors)
    for place in np.flatnonzero(calls).tolist():
        dataset = handle[f"{GROUP}/{place}"].id
        for number in range(int(calls[place])):
            mine = batches[place][number : number + 1]
            _write_batch(target, dataset, int(target.starts[place]), mine, errors)
            plain.start_writeback(mine)
    plain.close()


def _write_batch(
    target: Target, dataset: Any, start: int, batch: Sequence[NDArray[np.intp]], errors: list[Exception]
) -> None:
    """One collective call, with nothing to write if this rank has no more batches or failed before."""
    import h5py

    packing = target.packing
    data, first = None, 0
    if batch and not errors:
        try:
            data = packing.load(batch[0], target.staging).view(dataset.dtype)
            first = (int(packing.rows["offset"][batch[0][0]]) - start) // data.itemsize
        except Exception as error:
            errors.append(error)
    there = dataset.get_space()
    if data is None:
        data = np.empty(1, dataset.dtype)
        here = h5py.h5s.create_simple((1,))
        here.select_none()
        there.select_none()
    else:
        here = h5py.h5s.create_simple((len(data),))
        there.select_hyperslab((first,), (len(data),))
    together = h5py.h5p.create(h5py.h5p.DATASET_XFER)
    together.set_dxpl_mpio(h5py.h5fd.MPIO_COLLECTIVE)
    with packing.timers.region("write"):
        try:
            dataset.write(here, there, data, dxpl=together)
        except Exception as error:
            raise OutOfStep(
                f"cannot write the checkpoint file {target.path}: parallel HDF5 failed in the middle of a collective "
                f"write, in which the other ranks now wait ({error}); free some space, or use checkpoint mode 'shards'"
            ) from error


def _close(handle: Any, packing: Packing, errors: list[Exception]) -> None:
    with packing.timers.region("write"):
        try:
            handle.close()
        except Exception as error:
            errors.append(error)


def _sync(target: Target, errors: list[Exception]) -> None:
    """Make durable what the system of this node holds of the file, whoever wrote it."""
    assert target.path is not None
    with target.packing.timers.region("sync"):
        try:
            handle = io.open_write(target.path)
            try:
                io.fsync(handle)
            finally:
                io.close(handle)
        except OSError as error:
            errors.append(error)


class _Plain:
    """A descriptor of the file beside the one of HDF5, by which the disk is set to work early."""

    def __init__(self, target: Target, errors: list[Exception]) -> None:
        self._rows = target.packing.rows
        self._errors = errors
        self._handle = -1
        try:
            assert target.path is not None
            self._handle = io.open_write(target.path)
        except OSError as error:
            errors.append(error)

    def start_writeback(self, batch: Sequence[NDArray[np.intp]]) -> None:
        if batch and self._handle >= 0:
            rows = self._rows[batch[0]]
            io.start_writeback(self._handle, int(rows["offset"][0]), int(rows["stored"].sum()))

    def close(self) -> None:
        if self._handle >= 0:
            try:
                io.close(self._handle)
            except OSError as error:
                self._errors.append(error)
