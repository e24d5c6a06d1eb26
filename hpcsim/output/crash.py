"""The state of a failed run, kept for looking at; never a source for a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.lattice.layout import Layout
from hpcsim.output.files import disk_errors
from hpcsim.output.snapshot import SnapshotField


def write_crash_dump(
    context: Context,
    layout: Layout,
    fields: Sequence[SnapshotField],
    step: int,
    time: float,
    reason: str,
    directory: Path,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write the blocks of this rank as they are; not collective, for other ranks may be gone.

    Parameters
    ----------
    context : Context
        For the rank number and the number of ranks.
    layout, fields, step, time
        As for a snapshot.
    reason : str
        Why the run ended.
    directory : Path
        The ``crash`` directory of the run.
    facts : mapping, optional
        More JSON-able values for the description.

    Returns
    -------
    Path
        ``rank-N.json``, which lists the ``rank-N/<field>-<component>-<block>.npy`` beside it.

    Raises
    ------
    DiskError
        If the files cannot be written.
    """
    folder = directory / f"rank-{context.rank}"
    description = directory / f"rank-{context.rank}.json"
    arrays = []
    with disk_errors("write the crash dump", directory):
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields:
            locations = field.spec.locations(layout.domain.ndim)
            for block in layout.local(context.rank):
                for component, values in enumerate(field.read(block)):
                    name = f"{field.name}-{component}-{block.id:06d}.npy"
                    np.save(folder / name, values, allow_pickle=False)
                    lo, hi = layout.owned_box(block, locations[component])
                    entry = {"file": f"{folder.name}/{name}", "field": field.name, "component": component}
                    arrays.append({**entry, "block": block.id, "lo": list(lo), "hi": list(hi)})
        content = {
            "kind": "crash dump, not a restart file",
            "reason": reason,
            "step": int(step),
            "time": float(time),
            "rank": context.rank,
            "ranks": context.size,
            "arrays": arrays,
            **(facts or {}),
        }
        description.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return description
