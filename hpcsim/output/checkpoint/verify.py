"""Verification of one checkpoint: every byte of it against its digests, by plain reads of one process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import DiskError
from hpcsim.output.checkpoint.check import check_listing, check_table, frame_gaps, stored_dtypes
from hpcsim.output.checkpoint.guard import Stored, look_into_all
from hpcsim.output.checkpoint.manifest import Manifest
from hpcsim.output.checkpoint.scan import by_place, scan_frames, scan_pieces
from hpcsim.output.checkpoint.store import CheckpointStore

MOST_FAULTS = 100


def verify(store: CheckpointStore, name: str, structure: bool = False) -> list[str]:
    """Check a checkpoint: manifest, table, directory, every byte of its files, and what it needs of older ones.

    Parameters
    ----------
    store : CheckpointStore
        Where it lies.
    name : str
        The checkpoint.
    structure : bool
        Whether its HDF5 files are also looked into, in a process of their own (see `guard`).

    Returns
    -------
    list of str
        What is wrong, at most 100 lines; empty if it is good.
    """
    return list(itertools.islice(_faults(store, name, structure), MOST_FAULTS))


def _faults(store: CheckpointStore, name: str, structure: bool) -> Iterator[str]:
    """One fault after the other; later checks are left out where they would have nothing to stand on."""
    try:
        manifest = store.read_manifest(name)
    except DiskError as error:
        yield str(error)
        return
    try:
        check_listing(store, manifest)
    except DiskError as error:
        yield str(error)
    try:
        table = store.read_table(name, manifest)
        check_table(table, manifest)
        ranges = frame_gaps(store, manifest, table)
    except DiskError as error:
        yield str(error)
        return
    yield from scan_frames(store, manifest, ranges, range(len(manifest.files)))
    yield from scan_pieces(store, manifest, table[by_place(table)])
    if structure:
        yield from structure_faults(store.path(name), manifest, table)


def structure_faults(directory: Path, manifest: Manifest, table: NDArray[np.void]) -> Iterator[str]:
    """What is wrong with the HDF5 structure of the checkpoint's own files.

    Parameters
    ----------
    directory : Path
        Where they lie.
    manifest, table
        Of a checkpoint whose table was checked.

    Yields
    ------
    str
        A file that is refused, a dataset that should not be there, or pieces that lie outside of theirs.
    """
    own = [number for number, entry in enumerate(manifest.files) if not entry.checkpoint]
    for number, found in zip(own, look_into_all([directory / manifest.files[n].name for n in own]), strict=True):
        if isinstance(found, DiskError):
            yield str(found)
            continue
        rows = table[table["file"] == number]
        for fault in _misplaced({one.path: one for one in found.datasets}, rows, manifest):
            yield f"{manifest.files[number].name}: {fault}"


def _misplaced(found: dict[str, Stored], rows: NDArray[np.void], manifest: Manifest) -> Iterator[str]:
    """Differences between the datasets of a file and the pieces that the table places in it."""
    dtypes = [dtype.name if manifest.codec == "none" else "uint8" for dtype in stored_dtypes(manifest)]
    wanted = {f"/fields/{field}": field for field in np.unique(rows["field"]).tolist()}
    for path in sorted(set(found) - set(wanted)):
        yield f"the dataset {path} belongs to no field"
    for path, field in wanted.items():
        if path not in found:
            yield f"the dataset {path} is missing"
            continue
        own = rows[rows["field"] == field]
        one = found[path]
        if (one.dtype, len(one.shape), one.nbytes) != (dtypes[field], 1, int(own["stored"].sum())):
            yield f"the dataset {path} is {one.dtype} of shape {one.shape}, which does not fit its pieces"
        elif (
            int(own["offset"].min()) < one.offset
            or int((own["offset"] + own["stored"]).max()) > one.offset + one.nbytes
        ):
            yield f"pieces of {path} lie outside of it"
