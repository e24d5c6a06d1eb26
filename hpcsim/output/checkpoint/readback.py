"""Reading back what was written, from the disk and not from the system's copy, against the digests from memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.datafile import DataFile
from hpcsim.output.checkpoint.manifest import Manifest
from hpcsim.output.checkpoint.modes import Target
from hpcsim.output.checkpoint.scan import frame_digest, scan_file


def read_back(target: Target, draft: Manifest, made: DataFile | None) -> list[str]:
    """Compare the pieces of this rank, and on the leader the rest of its file, with what was in memory.

    Parameters
    ----------
    target : Target
        File and pieces; the file is durable.
    draft : Manifest
        Says what the pieces are.
    made : DataFile or None
        The file as it was laid out, on the rank that made it.

    Returns
    -------
    list of str
        What is wrong, empty if nothing is.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    rows = target.packing.rows[target.packing.fresh]
    if target.path is None or not (len(rows) or made is not None):
        return []
    handle = io.open_read(target.path)
    try:
        _forget(handle, rows, made)
        faults = list(scan_file(handle, draft, rows, target.path.name))
        if made is not None and frame_digest(handle, made.ranges) != made.digest:
            faults.append(f"{target.path.name}: it is damaged outside the pieces")
        # Nobody will read it soon: the memory is given back, and a later removal of the file is quick.
        _forget(handle, rows, made)
    finally:
        io.close(handle)
    return faults


def _forget(handle: int, rows: NDArray[np.void], made: DataFile | None) -> None:
    """Drop the system's copy of what this rank wrote of each register, and of the headers."""
    for field in np.unique(rows["field"]):
        part = rows[rows["field"] == field]
        first, last = int(part["offset"][0]), int(part["offset"][-1] + part["stored"][-1])
        io.drop_cache(handle, first, last - first)
    if made is not None:
        io.drop_cache(handle, 0, int(made.ranges["stop"][0]))
