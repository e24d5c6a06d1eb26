"""Snapshots from one format to another: packed ones for viewers, or plain ones into less space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError, Problem, unknown_name
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.layout import Block, Layout, make_layout
from hpcsim.output.compress.options import FORMATS, Compression, compression_faults, field_compression
from hpcsim.output.read import Snapshot, StoredField, list_snapshots
from hpcsim.output.series import write_series
from hpcsim.output.snapshot import SnapshotField
from hpcsim.output.writers import SNAPSHOTS

BLOCK_SITES = 1 << 22


def convert(
    source: str | Path,
    to: str,
    *,
    compression: Compression | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write snapshots again in another format, a block at a time.

    Parameters
    ----------
    source : path
        Run directory, directory with snapshots, or one snapshot file.
    to : str
        Format of the new files: ``vtkhdf`` or ``packed``.
    compression : Compression, optional
        Compression of the new files; ``auto`` without an error bound for ``packed``, none for ``vtkhdf``.
    output : path, optional
        Directory of the new files; that of the old ones by default.
    overwrite : bool
        Whether files that are there may be replaced.

    Returns
    -------
    list of Path
        The new files; for several in the format ``vtkhdf`` also ``series.vtkhdf``, which shows them as a series.

    Raises
    ------
    ConfigError
        If the format or the compression cannot be.
    DiskError
        If there is no snapshot, a file is in the way, or one cannot be read or written.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to: {unknown_name('snapshot format', to, FORMATS)}")
    wanted = compression or Compression("auto" if to == "packed" else "none")
    found = compression_faults(to, wanted.codec, wanted.error, wanted.ratio)
    faults = [Problem(f"--{key}", text) for key, text in found]
    if faults:
        raise ConfigError(faults)
    wanted = field_compression(to, wanted.codec, wanted.error, wanted.ratio, "")
    where = Path(source)
    paths = list_snapshots(where) if where.is_dir() else [where]
    if not paths:
        raise DiskError(f"no snapshots in {where}")
    targets = [(Path(output) if output is not None else path.parent) / f"{path.stem}.{to}" for path in paths]
    for path, target in zip(paths, targets, strict=True):
        if target.exists() and (path.resolve() == target.resolve() or not overwrite):
            raise DiskError(f"{target} is there already; write elsewhere with --output, or replace it with --overwrite")
    made = [_convert(path, to, target.parent, wanted) for path, target in zip(paths, targets, strict=True)]
    series = write_series(made[0].parent) if to == "vtkhdf" and len(made) > 1 else None
    return [*made, series] if series is not None else made


def _convert(path: Path, to: str, directory: Path, compression: Compression) -> Path:
    """Write one snapshot in another format."""
    snapshot = Snapshot(path)
    layout = _layout(snapshot)
    fields = [
        SnapshotField(
            name,
            FieldSpec(name, stored.components, stored.centring, stored.dtype),
            partial(_values, snapshot, stored, layout),
            compression,
        )
        for name, stored in snapshot.fields.items()
    ]
    metadata = {**snapshot.metadata, "config": snapshot.config}
    with Context.serial() as context:
        write = SNAPSHOTS.get(to)
        written: Path = write(context, layout, fields, snapshot.step, snapshot.time, metadata, directory)
    return written


def _layout(snapshot: Snapshot) -> Layout:
    """Blocks of a size that fits any memory, whole along x."""
    shape = list(snapshot.domain.shape)
    while int(np.prod(shape, dtype=np.int64)) > BLOCK_SITES and max(shape[1:], default=1) > 1:
        axis = 1 + int(np.argmax(shape[1:]))
        shape[axis] = (shape[axis] + 1) // 2
    return make_layout(snapshot.domain, 1, ghost=0, block_shape=shape)


def _values(snapshot: Snapshot, field: StoredField, layout: Layout, block: Block) -> Sequence[np.ndarray]:
    """Owned sites of a block, component by component."""
    found = []
    for component, location in enumerate(field.locations):
        lo, hi = layout.owned_box(block, location)
        found.append(snapshot.read(field.name, component, [slice(a, b) for a, b in zip(lo, hi, strict=True)]))
    return found
