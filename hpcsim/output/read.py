"""Reading a snapshot file back, whole or a box at a time, with x first as in the run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.errors import ConfigError, DiskError, unknown_name
from hpcsim.lattice.domain import Domain
from hpcsim.output.files import open_hdf5
from hpcsim.output.vtkhdf import FORMAT_VERSION


@dataclass(frozen=True)
class StoredField:
    """What a file says of one field.

    Attributes
    ----------
    name : str
        Name of the field.
    centring : str
        cell, vertex, face or edge.
    components : int
        Number of components.
    dtype : str
        Name of the number type.
    locations, extents : tuple of tuple of int
        Per component where on the cell it sits, and its owned sites per axis.
    sources : tuple
        Per component the datasets that hold it: (path, position in the last axis or None, w or None).
    """

    name: str
    centring: str
    components: int
    dtype: str
    locations: tuple[tuple[int, ...], ...]
    extents: tuple[tuple[int, ...], ...]
    sources: tuple[tuple[tuple[str, int | None, int | None], ...], ...]


class Snapshot:
    """A snapshot file; opened only while something is read from it.

    Parameters
    ----------
    path : path
        The file.

    Raises
    ------
    DiskError
        If the file cannot be opened or was not written by this package.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open_hdf5(self.path) as handle:
            if "hpcsim/description" not in handle:
                raise DiskError(f"{self.path} is an HDF5 file but no hpcsim snapshot (no /hpcsim/description in it)")
            self.description: dict[str, Any] = json.loads(handle["hpcsim/description"].asstr()[()])
            self.config: str = handle["hpcsim/config"].asstr()[()]
        version = self.description.get("format")
        if version != FORMAT_VERSION:
            raise DiskError(f"{self.path} has snapshot format {version}; this version reads {FORMAT_VERSION}")

    @property
    def step(self) -> int:
        """Step number."""
        return int(self.description["step"])

    @property
    def time(self) -> float:
        """Time of the model."""
        return float(self.description["time"])

    @property
    def metadata(self) -> dict[str, Any]:
        """Facts of the run that were stored with the file."""
        return dict(self.description["metadata"])

    @cached_property
    def domain(self) -> Domain:
        """The lattice."""
        stored = self.description["domain"]
        return Domain(*(tuple(stored[key]) for key in ("shape", "lower", "upper", "periodic")))

    @cached_property
    def fields(self) -> dict[str, StoredField]:
        """Fields of the file by name."""
        return {
            name: StoredField(
                name,
                stored["centring"],
                stored["components"],
                stored["dtype"],
                tuple(tuple(v) for v in stored["locations"]),
                tuple(tuple(v) for v in stored["extents"]),
                tuple(tuple((p, c, w) for p, c, w in source) for source in stored["sources"]),
            )
            for name, stored in self.description["fields"].items()
        }

    def field(self, name: str) -> StoredField:
        """Description of one field.

        Raises
        ------
        ConfigError
            If the file has no such field; the message names the nearest one.
        """
        if name not in self.fields:
            raise ConfigError(f"{self.path}: {unknown_name('field', name, self.fields)}")
        return self.fields[name]

    def read(self, name: str, component: int = 0, box: Sequence[slice | int] | None = None) -> np.ndarray:
        """Values of one component.

        Parameters
        ----------
        name : str
            Field.
        component : int
            Component.
        box : sequence of (slice or int), optional
            Part to read, one entry per axis with x first; slices have positive steps. All by default.

        Returns
        -------
        ndarray
            With x first; axes given by an integer are dropped. Only the part asked for is read.

        Raises
        ------
        ConfigError
            If there is no such field or component.
        DiskError
            If the file cannot be read.
        """
        field = self.field(name)
        if not 0 <= component < field.components:
            raise ConfigError(f"field '{name}' has components 0 to {field.components - 1}; {component} was asked for")
        extent = field.extents[component]
        parts = tuple(box) if box is not None else (slice(None),) * len(extent)
        if len(parts) != len(extent):
            raise ConfigError(f"field '{name}' has {len(extent)} axes; {len(parts)} slices were given")
        chosen = tuple(
            slice(*part.indices(n)) if isinstance(part, slice) else range(n)[part]
            for part, n in zip(parts, extent, strict=True)
        )
        with open_hdf5(self.path) as handle:
            return _read(handle, field, component, chosen)


def _read(handle: Any, field: StoredField, component: int, chosen: tuple[slice | int, ...]) -> np.ndarray:
    """Read a part of a component: one dataset, or one per index of w."""
    sources = field.sources[component]
    key = tuple(reversed(chosen[:3]))

    def one(path: str, position: int | None) -> np.ndarray:
        values: np.ndarray = np.asarray(handle[path][key if position is None else (*key, position)])
        return values.transpose()

    if len(chosen) < 4:
        path, position, _ = sources[0]
        return one(path, position)
    last = chosen[3]
    if isinstance(last, slice):
        taken = [one(path, position) for path, position, _ in sources[last] or sources[:1]]
        return np.stack(taken, axis=-1)[..., : len(sources[last])]
    return one(*sources[last][:2])


def list_snapshots(directory: str | Path) -> list[Path]:
    """Snapshot files of a directory (or of the ``snapshots`` directory of a run), by step."""
    where = Path(directory)
    if (where / "snapshots").is_dir():
        where = where / "snapshots"
    found = [path for path in where.glob("step-*.vtkhdf") if path.stem.removeprefix("step-").isdigit()]
    return sorted(found, key=lambda path: int(path.stem.removeprefix("step-")))


def slabs(extent: Sequence[int], itemsize: int, limit: int = 32 << 20) -> list[tuple[slice, ...]]:
    """Boxes that tile an extent with at most about ``limit`` bytes each, cut along the last axes first.

    Examples
    --------
    >>> slabs((2, 4), 8, limit=32)
    [(slice(0, 2, None), slice(0, 2, None)), (slice(0, 2, None), slice(2, 4, None))]
    """
    thick = list(extent)
    for axis in reversed(range(len(extent))):
        rest = int(np.prod(thick, dtype=np.int64)) // max(1, thick[axis]) * itemsize
        thick[axis] = max(1, min(thick[axis], limit // max(1, rest)))
    ranges = [[slice(a, min(a + t, n)) for a in range(0, n, max(1, t))] for n, t in zip(extent, thick, strict=True)]
    return list(itertools.product(*ranges))
