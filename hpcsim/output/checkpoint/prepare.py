"""Before the values: a directory on a disk with enough room, a file per group with its space, and all places known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.output.checkpoint import io, seal
from hpcsim.output.checkpoint.datafile import DataFile, lay_out
from hpcsim.output.checkpoint.manifest import FileEntry
from hpcsim.output.checkpoint.modes import Groups
from hpcsim.output.checkpoint.packing import Packing
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.votes import all_rows

# A file system needs some room of its own beside the values.
SPARE_BYTES = 1 << 20
# Of a file: its size, two words of its digest, and whether its space is missing.
_FACTS = 4


@dataclass(frozen=True)
class Made:
    """The file that the leader of a group made.

    Attributes
    ----------
    file : DataFile
        Its layout.
    reserved : bool
        Whether its space is reserved.
    """

    file: DataFile
    reserved: bool


@dataclass(frozen=True)
class Places:
    """Where things go; the files are the same on all ranks.

    Attributes
    ----------
    files : tuple of FileEntry
        All new files.
    name : str
        The file of this rank, empty if its group has nothing to write.
    starts : ndarray of int64
        Where in that file each register begins.
    reserved : bool
        Whether the space of all files is reserved.
    """

    files: tuple[FileEntry, ...]
    name: str
    starts: NDArray[np.int64]
    reserved: bool


def make_directory(store: CheckpointStore, temporary: Path, name: str, nbytes: int) -> None:
    """Make an empty directory on a disk that has room for so many bytes; on rank 0 only.

    Raises
    ------
    OSError, DiskError
        If it cannot be made, or there is too little room.
    """
    store.create()
    # Of an earlier attempt at this step that could not be cleared.
    seal.clear(temporary)
    io.mkdir(temporary)
    free = io.free_bytes(temporary)
    if free < nbytes + SPARE_BYTES:
        raise DiskError(
            f"cannot write the checkpoint {store.root / name}: it needs {_amount(nbytes)}, and {_amount(free)} are "
            "free; free some space, keep fewer checkpoints or write elsewhere"
        )


def make_file(
    directory: Path, groups: Groups, rank: int, dtypes: Sequence[np.dtype[Any]], totals: NDArray[np.int64]
) -> Made | None:
    """Make the file of a group with headers and space, if this rank leads one that has anything to write.

    Parameters
    ----------
    directory : Path
        Where it goes.
    groups : Groups
        Who writes into which file.
    rank : int
        This rank.
    dtypes : sequence of dtype
        Number type of each register in the file.
    totals : ndarray of int64
        Bytes that each rank writes of each register, ``[rank, register]``.

    Raises
    ------
    OSError
        If it cannot be made, or there is no room for it.
    """
    group = int(groups.number[rank])
    nbytes = totals[groups.number == group].sum(axis=0)
    if groups.leaders[group] != rank or not nbytes.any():
        return None
    file = lay_out(dtypes, nbytes.tolist())
    handle = io.create(directory / groups.names[group])
    try:
        reserved = io.preallocate(handle, file.size)
        file.write_frame(handle)
    finally:
        io.close(handle)
    return Made(file, reserved)


def share_places(
    context: Context, groups: Groups, totals: NDArray[np.int64], packing: Packing, made: Made | None
) -> Places:
    """Tell all ranks what the leaders made, and give the pieces of this rank their places. Collective."""
    count = totals.shape[1]
    mine = np.zeros(count + _FACTS, np.int64)
    if made is not None:
        digest = np.frombuffer(bytes.fromhex(made.file.digest), np.int64)
        mine[:] = [*made.file.offsets, made.file.size, *digest, not made.reserved]
    facts = all_rows(context, mine)[groups.leaders]
    written = np.zeros(len(groups.leaders), np.int64)
    np.add.at(written, groups.number, totals.sum(axis=1))
    used = np.flatnonzero(written)
    files = []
    for group in used.tolist():
        size, *words = facts[group, count : count + 3]
        files.append(FileEntry(groups.names[group], "", int(size), np.array(words).tobytes().hex()))
    group = int(groups.number[context.rank])
    starts = facts[group, :count]
    if written[group]:
        before = totals[: context.rank][groups.number[: context.rank] == group].sum(axis=0)
        packing.place(int(np.searchsorted(used, group)), starts + before)
    return Places(tuple(files), groups.names[group] if written[group] else "", starts, not facts[:, -1].any())


def fill_with_zeros(path: Path, packing: Packing, staging: NDArray[np.uint8]) -> None:
    """Take the space of the pieces of this rank by writing zeros.

    Raises
    ------
    OSError
        If there is too little.
    """
    staging.fill(0)
    handle = io.open_write(path)
    try:
        for batch in packing.batches(len(staging)):
            rows = packing.rows[batch]
            io.pwrite(handle, staging[: int(rows["stored"].sum())], int(rows["offset"][0]))
        io.fsync(handle)
    finally:
        io.close(handle)


def _amount(nbytes: int) -> str:
    """Bytes for a person.

    Examples
    --------
    >>> _amount(1_234_567)
    '1.2 MB'
    """
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"
