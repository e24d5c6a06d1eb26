"""Writing one snapshot: rank 0 lays the file out, every rank fills in its own boxes, then the file gets its name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Block, Layout
from hpcsim.output.boxes import bars, wrapped_boxes, write_box
from hpcsim.output.compress.options import Compression
from hpcsim.output.files import discard, open_hdf5, preallocate
from hpcsim.output.publish import failure, publish, settle, temporary_of
from hpcsim.output.vtkhdf import Piece, create_file, describe_file, plan_pieces

# Space kept for what HDF5 writes beside the values and the description.
HEADER_BYTES = 1 << 16
HEADER_BYTES_PER_PIECE = 1 << 12


class SnapshotField(NamedTuple):
    """A field to be written.

    Attributes
    ----------
    name : str
        Name in the file.
    spec : FieldSpec
        Components, centring, number type.
    read : callable
        ``read(block)`` gives one array of the owned sites per component (an array ``[component, ...]`` will do).
    compression : Compression
        What the user asks for; a format that cannot do it refuses it in the check of the case.
    """

    name: str
    spec: FieldSpec
    read: Callable[[Block], Sequence[np.ndarray]]
    compression: Compression = Compression()


def snapshot_name(step: int) -> str:
    """File name of the snapshot of a step.

    Examples
    --------
    >>> snapshot_name(100)
    'step-000100.vtkhdf'
    """
    return f"step-{step:06d}.vtkhdf"


def write_snapshot(
    context: Context,
    layout: Layout,
    fields: Sequence[SnapshotField],
    step: int,
    time: float,
    metadata: Mapping[str, Any],
    directory: Path,
) -> Path:
    """Write the fields of all ranks as one VTKHDF file; collective.

    Parameters
    ----------
    context : Context
        The ranks that take part.
    layout : Layout
        Blocks and owners.
    fields : sequence of SnapshotField
        What to write; if the compression of any is ``deflate``, all are written so.
    step, time
        Stored in the file; ``step`` names it.
    metadata : mapping
        JSON-able facts of the run; ``config`` is the resolved TOML text.
    directory : Path
        Where the file goes; made if missing.

    Returns
    -------
    Path
        The finished file. A file of that step that was there before is replaced only at the very end.

    Raises
    ------
    DiskError
        On every rank, if any rank could not write; the temporary file is then removed.
    """
    if any(field.compression.codec == "deflate" for field in fields):
        from hpcsim.output.deflated import write_deflated

        return write_deflated(context, layout, fields, step, time, metadata, directory)
    final = Path(directory) / snapshot_name(step)
    temporary = temporary_of(final)
    specs = {field.name: field.spec for field in fields}
    offsets = _begin(context, layout.domain, specs, step, time, metadata, temporary)
    problem = _fill(context.rank, layout, fields, offsets, temporary)
    settle(context, problem, temporary)
    problem = publish(temporary, final) if context.rank == 0 else ""
    settle(context, problem, temporary)
    return final


def _begin(
    context: Context,
    domain: Domain,
    specs: Mapping[str, FieldSpec],
    step: int,
    time: float,
    metadata: Mapping[str, Any],
    temporary: Path,
) -> list[int]:
    """Lay the file out on rank 0 and tell all ranks where each dataset begins."""
    answer: dict[str, Any] = {}
    if context.rank == 0:
        try:
            answer["offsets"] = _lay_out(domain, specs, step, time, metadata, temporary)
        except (OSError, DiskError) as error:
            discard(temporary)
            answer["problem"] = failure(error, temporary)
    answer = json.loads(context.bcast_text(json.dumps(answer)))
    if "problem" in answer:
        raise DiskError(answer["problem"])
    offsets: list[int] = answer["offsets"]
    return offsets


def _lay_out(
    domain: Domain,
    specs: Mapping[str, FieldSpec],
    step: int,
    time: float,
    metadata: Mapping[str, Any],
    temporary: Path,
) -> list[int]:
    """Make the file with all datasets placed and its space reserved; the byte offsets of the datasets."""
    temporary.parent.mkdir(parents=True, exist_ok=True)
    pieces = [piece for name, spec in specs.items() for piece in plan_pieces(domain, name, spec)]
    described = json.dumps(describe_file(domain, specs, step, time, metadata))
    text = len(described) + len(str(metadata.get("config", "")).encode())
    expected = sum(p.nbytes for p in pieces) + text + HEADER_BYTES + HEADER_BYTES_PER_PIECE * len(pieces)
    # Space is tried before HDF5 opens the file: the library cannot be left cleanly after a full disk.
    _reserve(temporary, expected, os.O_CREAT | os.O_TRUNC)
    with open_hdf5(temporary, "w") as handle:
        placed = create_file(handle, domain, specs, step, time, metadata)
    _reserve(temporary, temporary.stat().st_size, 0)
    return [offset for _, offset in placed]


def _reserve(path: Path, nbytes: int, flags: int) -> None:
    """Reserve the space of a file or raise ``OSError``."""
    handle = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        preallocate(handle, nbytes)
    finally:
        os.close(handle)


def _fill(rank: int, layout: Layout, fields: Sequence[SnapshotField], offsets: Sequence[int], path: Path) -> str:
    """Write the boxes of this rank; what went wrong, or an empty text."""
    blocks = layout.local(rank)
    if not blocks:
        return ""
    groups = bars(blocks)
    try:
        handle = os.open(path, os.O_WRONLY)
        try:
            first = 0
            for field in fields:
                pieces = plan_pieces(layout.domain, field.name, field.spec)
                places = list(zip(pieces, offsets[first : first + len(pieces)], strict=True))
                first += len(pieces)
                for bar in groups:
                    _fill_bar(handle, layout, bar, [field.read(block) for block in bar], places)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        return failure(error, path)
    return ""


def _fill_bar(
    handle: int,
    layout: Layout,
    bar: Sequence[Block],
    arrays: Sequence[Sequence[np.ndarray]],
    places: Sequence[tuple[Piece, int]],
) -> None:
    """Write what a bar of blocks has of one field into each of its datasets."""
    for piece, offset in places:
        lo, hi = layout.owned_box(bar[0], piece.location)
        if piece.w is not None and not lo[3] <= piece.w < hi[3]:
            continue
        parts = [_stored(piece, values, lo) for values in arrays]
        wraps = [
            n if extent > n and closed and staggered else None
            for n, extent, closed, staggered in zip(
                layout.domain.shape, piece.extent, layout.domain.periodic, piece.location, strict=False
            )
        ]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:-1])
        for place, cut in wrapped_boxes(lo[: len(wraps)], shape, wraps):
            # Along x a part is everything or the first plane alone.
            chosen = parts if cut[0].stop == shape[0] else [parts[0][:1]]
            write_box(handle, offset, piece.extent, place, [part[(slice(None), *cut[1:])] for part in chosen])


def _stored(piece: Piece, values: Sequence[np.ndarray], lo: Sequence[int]) -> np.ndarray:
    """The values of a block as a dataset has them: its components last, its index of w, its number type."""
    parts = [values[component] for component in piece.components]
    if piece.w is not None:
        parts = [part[..., piece.w - lo[3]] for part in parts]
    stored = np.stack(parts, axis=-1) if len(parts) > 1 else parts[0][..., np.newaxis]
    return stored.astype(piece.dtype, copy=False)
