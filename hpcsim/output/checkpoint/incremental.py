"""The last accepted checkpoint as a base: pieces that did not change refer to the file that holds them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.output.checkpoint.manifest import FieldEntry, FileEntry, Manifest
from hpcsim.output.checkpoint.packing import Packing
from hpcsim.output.checkpoint.pieces import match_keys
from hpcsim.output.checkpoint.store import CheckpointStore

# File numbers from here on count the files of the base, until the files of the new checkpoint are known.
OLDER = 1 << 31
_NO_FIELD = 0xFFFF


@dataclass(frozen=True)
class Base:
    """What a rank must know of an accepted checkpoint to refer to it.

    Attributes
    ----------
    manifest : Manifest
        Its manifest.
    rows : ndarray of PIECE
        Its table, or the part that this rank wrote.
    """

    manifest: Manifest
    rows: NDArray[np.void]

    @property
    def names(self) -> set[str]:
        """Itself and the checkpoints that it needs."""
        return {self.manifest.name, *(name for name, _ in self.manifest.needs)}

    def match(self, packing: Packing, fields: Sequence[FieldEntry]) -> None:
        """Let the pieces that are the same here and there refer to the older file; their digests must be known.

        Parameters
        ----------
        packing : Packing
            Pieces of the new checkpoint.
        fields : sequence of FieldEntry
            Its registers.
        """
        places = {entry: place for place, entry in enumerate(self.manifest.fields)}
        wanted = packing.rows.copy()
        wanted["field"] = np.array([places.get(entry, _NO_FIELD) for entry in fields], np.uint16)[wanted["field"]]
        found = match_keys(wanted, self.rows)
        same = found >= 0
        same[same] = (self.rows["digest"][found[same]] == packing.rows["digest"][same]).all(axis=1)
        older = self.rows[found[same]]
        packing.fresh[:] = ~same
        packing.rows["file"][same] = older["file"] + np.uint32(OLDER)
        packing.rows["offset"][same], packing.rows["stored"][same] = older["offset"], older["stored"]

    def fault(self, store: CheckpointStore) -> str:
        """Why its files cannot be referred to any more, empty if they can: one is gone, or not the one it was."""
        manifest = self.manifest
        try:
            for name, sha256 in [(manifest.name, manifest.sha256), *manifest.needs]:
                if store.read_manifest(name).sha256 != sha256:
                    return f"{name} is not the checkpoint that it was"
            for entry in manifest.files:
                path = store.file(manifest.name, entry)
                if os.lstat(path).st_size != entry.size:
                    return f"{path} has another size than it had"
        except (OSError, DiskError) as error:
            return str(error)
        return ""


def older_files(base: Manifest, used: NDArray[np.int64]) -> list[FileEntry]:
    """Entries of files of an older checkpoint in the manifest of a newer one.

    Parameters
    ----------
    base : Manifest
        Of the older checkpoint.
    used : ndarray of int
        Positions of the files that the newer one refers to.
    """
    entries = [base.files[place] for place in used.tolist()]
    return [FileEntry(e.name, e.checkpoint or base.name, e.size, e.frame) for e in entries]


def read_base(context: Context, store: CheckpointStore, names: Sequence[str]) -> Base | None:
    """The newest of some checkpoints as a base, None if it cannot be read; collective, the same on all ranks.

    Parameters
    ----------
    context : Context
        The ranks.
    store : CheckpointStore
        Where they lie.
    names : sequence of str
        Checkpoints that were verified, such as the one that a run started from.
    """
    base = None
    if names:
        try:
            name = max(names)
            manifest = store.read_manifest(name)
            base = Base(manifest, store.read_table(name, manifest))
        except (OSError, DiskError):
            base = None
    return base if context.agree(base is not None) else None
