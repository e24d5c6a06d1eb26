"""The end of a checkpoint on rank 0: table and manifest, durable, then its name, `CURRENT`, and pruning."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.incremental import OLDER, older_files
from hpcsim.output.checkpoint.manifest import MANIFEST_NAME, TABLE_NAME, FileEntry, Manifest, TableEntry
from hpcsim.output.checkpoint.pieces import sort_table
from hpcsim.output.checkpoint.store import CheckpointStore, write_file

ATTEMPTS_TO_CLEAR = 3


def complete(
    draft: Manifest, files: Sequence[FileEntry], rows: NDArray[np.void], base: Manifest | None
) -> tuple[Manifest, NDArray[np.void], NDArray[np.int64]]:
    """The manifest and the table of a checkpoint whose values are in place.

    Parameters
    ----------
    draft : Manifest
        All that was known before.
    files : sequence of FileEntry
        The new files.
    rows : ndarray of PIECE
        The pieces of all ranks; those of the base have file numbers from `OLDER` on.
    base : Manifest or None
        The older checkpoint.

    Returns
    -------
    (Manifest, ndarray of PIECE, ndarray of int64)
        The last gives the number in the new manifest for each file of the base, -1 for one that is not used.
    """
    table = sort_table(rows)
    old = table["file"] >= OLDER
    renumbered = np.full(len(base.files) if base else 0, -1, np.int64)
    used = np.unique(table["file"][old]).astype(np.int64) - OLDER
    renumbered[used] = len(files) + np.arange(len(used))
    table["file"][old] = renumbered[table["file"][old].astype(np.int64) - OLDER]
    entries = [*files, *(older_files(base, used) if base else [])]
    digests = {base.name: base.sha256, **dict(base.needs)} if base else {}
    holders = sorted({entry.checkpoint for entry in entries} - {""})
    needs = tuple((name, digests[name]) for name in holders)
    return replace(draft, files=tuple(entries), table=TableEntry.of(table), needs=needs), table, renumbered


def write_documents(temporary: Path, manifest: Manifest, table: NDArray[np.void]) -> None:
    """Write table and manifest, the manifest last, and make the directory durable.

    Raises
    ------
    OSError, DiskError
        If they cannot be written.
    """
    write_file(temporary / TABLE_NAME, np.ascontiguousarray(table).view(np.uint8).data)
    write_file(temporary / MANIFEST_NAME, manifest.to_text().encode("ascii"))
    io.sync_directory(temporary)


def publish(store: CheckpointStore, temporary: Path, name: str) -> None:
    """Give a complete checkpoint its name, and let `CURRENT` name it.

    Raises
    ------
    DiskError
        If that fails. What lies under the name is whole in any case.
    """
    store.accept(temporary, name)
    store.set_current(name)


def clear(directory: Path) -> None:
    """Remove a directory of files that nobody writes any more, as far as that can be done.

    Every file is emptied first, which gives its space back even while a descriptor of it is open somewhere. What fails
    is tried again: this runs when the disk has just failed.
    """
    for _ in range(ATTEMPTS_TO_CLEAR):
        if not os.path.lexists(directory):
            return
        if directory.is_symlink():
            with suppress(OSError):
                io.unlink(directory)
            continue
        with suppress(OSError):
            for path in sorted(directory.iterdir()):
                with suppress(OSError):
                    io.truncate(path)
                with suppress(OSError):
                    io.unlink(path)
        with suppress(OSError):
            io.rmdir(directory)
