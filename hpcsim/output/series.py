"""One small file that shows all snapshots of a run as a time series in ParaView, without a second copy of any value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.errors import DiskError
from hpcsim.output.files import discard, disk_errors, open_hdf5, sync_directory
from hpcsim.output.read import Snapshot, list_snapshots
from hpcsim.output.vtkhdf import write_image_header

GROUPS = ("CellData", "PointData")
NAME = "series.vtkhdf"


def write_series(directory: str | Path) -> Path | None:
    """Write ``series.vtkhdf``, whose arrays are views of the snapshot files beside it; call it on one rank.

    Parameters
    ----------
    directory : path
        Directory with the snapshots; those in the format vtkhdf are shown.

    Returns
    -------
    Path or None
        The file; None if there are fewer than two snapshots, which need no series. Arrays that are not in every
        snapshot with the same shape are left out.

    Raises
    ------
    DiskError
        If a snapshot cannot be read or the file cannot be written.
    """
    paths = list_snapshots(directory, (".vtkhdf",))
    if len(paths) < 2:
        return None
    snapshots = [Snapshot(path) for path in paths]
    common = _arrays(paths[0])
    for path in paths[1:]:
        other = _arrays(path)
        common = {name: kind for name, kind in common.items() if other.get(name) == kind}
    final = paths[0].parent / NAME
    temporary = final.with_name(f".{NAME}.tmp")
    with disk_errors("write", final):
        try:
            with open_hdf5(temporary, "w") as handle:
                _store(handle, snapshots, common)
            temporary.replace(final)
            sync_directory(final.parent)
        except (OSError, DiskError):
            discard(temporary)
            raise
    return final


def _arrays(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Arrays that a viewer sees in a snapshot: ``group/name`` to shape and number type."""
    with open_hdf5(path) as handle:
        return {
            f"{group}/{name}": (tuple(data.shape), data.dtype.str)
            for group in GROUPS
            for name, data in handle[f"VTKHDF/{group}"].items()
        }


def _store(handle: Any, snapshots: Sequence[Snapshot], arrays: dict[str, tuple[tuple[int, ...], str]]) -> None:
    """The header, the times and one virtual dataset per array with time as its slowest axis."""
    import h5py

    count = len(snapshots)
    image = handle.create_group("VTKHDF")
    write_image_header(image, snapshots[0].domain)
    steps = image.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(count)
    steps.create_dataset("Values", data=np.array([snapshot.time for snapshot in snapshots]))
    for group in GROUPS:
        image.create_group(group)
        steps.create_group(f"{group}Offsets")
    for place, (shape, kind) in arrays.items():
        layout = h5py.VirtualLayout((count, *shape), np.dtype(kind))
        for index, snapshot in enumerate(snapshots):
            layout[index] = h5py.VirtualSource(snapshot.path.name, f"VTKHDF/{place}", shape, np.dtype(kind))
        image.create_virtual_dataset(place, layout)
        group, name = place.split("/", 1)
        steps[f"{group}Offsets"].create_dataset(name, data=np.arange(count, dtype=np.int64))
