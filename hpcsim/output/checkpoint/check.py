"""What can be judged of a checkpoint before any value is read: its files, its table, and those it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import owned_extent
from hpcsim.output.checkpoint.manifest import MANIFEST_NAME, TABLE_NAME, Manifest
from hpcsim.output.checkpoint.pieces import MAX_PIECE_BYTES, STORED_DTYPES, gaps, is_sorted, sites, tiles
from hpcsim.output.checkpoint.store import CheckpointStore

# What a codec may add to values that it cannot make shorter.
CODEC_HEADER_BYTES = 1 << 16
# Files that network disks leave for a while where an open file was deleted.
LEFT_BY_NFS = ".nfs"

FRAME_GAP = np.dtype([("file", "<u4"), ("start", "<i8"), ("stop", "<i8")])


def check_listing(store: CheckpointStore, manifest: Manifest) -> None:
    """Refuse a directory that lacks a file or has one too many.

    Raises
    ------
    DiskError
        With the names.
    """
    own = {entry.name for entry in manifest.files if not entry.checkpoint} | {MANIFEST_NAME, TABLE_NAME}
    found = {name for name in store.listing(manifest.name) if not name.startswith(LEFT_BY_NFS)}
    if found == own:
        return
    parts = [("it lacks", own - found), ("it holds what does not belong to it:", found - own)]
    text = "; ".join(f"{what} {_names(names)}" for what, names in parts if names)
    raise DiskError(f"{store.path(manifest.name)}: {text}")


def check_run(manifest: Manifest, grid: Domain, specs: Mapping[str, FieldSpec]) -> None:
    """Refuse a checkpoint of another lattice or of other fields than a run has.

    Raises
    ------
    DiskError
        With every difference.
    """
    found = [
        f"lattice.{key} is {theirs} in the checkpoint and {ours} in this run"
        for key in ("shape", "lower", "upper", "periodic")
        if (theirs := getattr(manifest.grid, key)) != (ours := getattr(grid, key))
    ]
    stored = {entry.name: entry.spec for entry in manifest.fields}
    found += [f"the checkpoint has no field {name}" for name in specs if name not in stored]
    found += [f"the checkpoint has a field {name}, this run has none" for name in stored if name not in specs]
    found += [
        f"field {name}: {key} is {getattr(stored[name], key)} in the checkpoint and {getattr(spec, key)} in this run"
        for name, spec in specs.items()
        if name in stored
        for key in ("components", "centring", "dtype")
        if getattr(stored[name], key) != getattr(spec, key)
    ]
    if found:
        raise DiskError("; ".join(found))


def check_table(table: NDArray[np.void], manifest: Manifest) -> None:
    """Refuse a table whose pieces cannot be, or do not cover every site of every component exactly once.

    Raises
    ------
    DiskError
        With the first reason.
    """

    def check(ok: Any, reason: str) -> None:
        if not ok:
            raise DiskError(f"{manifest.name}/{TABLE_NAME}: {reason}")

    fields, grid = manifest.fields, manifest.grid
    components = np.array([entry.components for entry in fields], np.int64)
    check((table["field"] < len(fields)).all(), "a piece belongs to no field")
    check((table["component"] < components[table["field"]]).all(), "a piece belongs to no component")
    check((table["level"] == 0).all(), "a piece lies on a refinement level, which this version does not know")
    check((table["file"] < len(manifest.files)).all(), "a piece lies in no file")
    check(is_sorted(table), "its rows are out of order or doubled")
    first = np.concatenate([[0], np.cumsum(components)])
    part = first[table["field"]] + table["component"]
    ends = np.searchsorted(part, np.arange(first[-1] + 1))
    boxes = [owned_extent(grid, location) for entry in fields for location in entry.locations]
    for number, extent in enumerate(boxes):
        rows = table[ends[number] : ends[number + 1]]
        field = int(np.searchsorted(first, number, side="right")) - 1
        name = f"{fields[field].name}[{number - first[field]}]"
        check(tiles(rows, extent), f"the pieces of {name} do not cover its sites exactly once")
    itemsizes = np.array([entry.spec.itemsize for entry in fields], np.int64)
    raw = (sites(table) * itemsizes[table["field"]]).astype(np.uint64)
    check((raw <= MAX_PIECE_BYTES).all(), f"a piece has more than {MAX_PIECE_BYTES} bytes")
    if manifest.codec == "none":
        check((table["stored"] == raw).all(), "a piece has another length than its values")
    else:
        most = raw + np.uint64(CODEC_HEADER_BYTES)
        check(((table["stored"] > 0) & (table["stored"] <= most)).all(), "a piece has an impossible length")


def frame_gaps(store: CheckpointStore, manifest: Manifest, table: NDArray[np.void]) -> NDArray[np.void]:
    """Byte ranges of all files that belong to no piece, by which the frames of the files are checked.

    Older checkpoints that hold files of this one are looked at here: their manifest must be the one that was there when
    this checkpoint was written, and the frame of a file is what their table leaves of it.

    Parameters
    ----------
    store : CheckpointStore
        Where the checkpoint lies.
    manifest, table
        Of the checkpoint.

    Returns
    -------
    ndarray of FRAME_GAP
        Sorted by file and place.

    Raises
    ------
    DiskError
        If pieces overlap or lie outside their file, or an older checkpoint is missing, damaged or another one.
    """
    older = {"": (manifest, table), **{name: _older(store, name, sha) for name, sha in manifest.needs}}
    # Rows of each table by file, so that every table is searched once.
    sorted_by_file = {name: _by_file(rows) for name, (_, rows) in older.items()}
    found = []
    for number, entry in enumerate(manifest.files):
        holder, _ = older[entry.checkpoint]
        place = number
        if entry.checkpoint:
            places = [n for n, other in enumerate(holder.files) if (other.name, other.checkpoint) == (entry.name, "")]
            same = bool(places) and (holder.files[places[0]].size, holder.files[places[0]].frame) == (
                entry.size,
                entry.frame,
            )
            if not same:
                raise DiskError(f"{holder.name}: its file {entry.name} is not the one that {manifest.name} refers to")
            place = places[0]
            _frame_of(_rows_of(sorted_by_file[""], number), entry.size, f"{manifest.name}/{TABLE_NAME}", entry.name)
        rows = _rows_of(sorted_by_file[entry.checkpoint], place)
        ranges = _frame_of(rows, entry.size, f"{holder.name}/{TABLE_NAME}", entry.name)
        made = np.empty(len(ranges), FRAME_GAP)
        made["file"], made["start"], made["stop"] = number, ranges[:, 0], ranges[:, 1]
        found.append(made)
    return np.concatenate(found)


def describe_piece(manifest: Manifest, row: np.void) -> str:
    """Name of a piece for messages: field, component and first site.

    Examples
    --------
    A piece of the second component of ``E`` is shown as ``E[1] at (0, 16, 0)``.
    """
    lo = tuple(int(v) for v in row["lo"][: manifest.grid.ndim])
    return f"{manifest.fields[int(row['field'])].name}[{int(row['component'])}] at {lo}"


def stored_dtypes(manifest: Manifest) -> list[np.dtype]:
    """Number type of each field as it lies in the files."""
    return [STORED_DTYPES[entry.dtype] for entry in manifest.fields]


def _older(store: CheckpointStore, name: str, sha256: str) -> tuple[Manifest, NDArray[np.void]]:
    """Manifest and table of an older checkpoint that another refers to."""
    manifest = store.read_manifest(name)
    if manifest.sha256 != sha256:
        raise DiskError(f"{store.path(name)} is not the checkpoint that was there when this one was written")
    return manifest, store.read_table(name, manifest)


def _by_file(table: NDArray[np.void]) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]]:
    """File, offset and length of the pieces, sorted by file."""
    order = np.argsort(table["file"], kind="stable")
    return table["file"][order], table["offset"][order], table["stored"][order]


def _rows_of(
    rows: tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]], file: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Offset and length of the pieces in one file."""
    first, last = np.searchsorted(rows[0], [file, file + 1])
    return rows[1][first:last], rows[2][first:last]


def _frame_of(
    rows: tuple[NDArray[np.uint64], NDArray[np.uint64]], size: int, where: str, file: str
) -> NDArray[np.int64]:
    """What the pieces of a file leave of it."""
    found = gaps(*rows, size)
    if found is None:
        raise DiskError(f"{where}: pieces overlap in {file} or end after it")
    return found


def _names(names: set[str]) -> str:
    """A few names for a message."""
    shown = [repr(name) if not name.isprintable() else name for name in sorted(names)[:8]]
    return ", ".join(shown) + (", ..." if len(names) > 8 else "")
