"""Reading a snapshot file back in any format, whole or a box at a time, with x first as in the run."""

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
from hpcsim.output.files import disk_errors, open_hdf5
from hpcsim.output.packed_file import PackedFile, is_packed
from hpcsim.output.vtkhdf import FORMAT_VERSION

# Of two files of one step the first kind is the original, the second may have been made of it.
SUFFIXES = (".packed", ".vtkhdf")


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
        Per component the HDF5 datasets that hold it: (path, position in the last axis or None, w or None).
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
        self._packed = PackedFile(self.path) if is_packed(self.path) else None
        if self._packed is not None:
            self.description: dict[str, Any] = self._packed.description
            self.config: str = str(self.description["config"])
        else:
            self._open_hdf5()
        version = self.description.get("format")
        if version != FORMAT_VERSION:
            raise DiskError(f"{self.path} has snapshot format {version}; this version reads {FORMAT_VERSION}")

    def _open_hdf5(self) -> None:
        with open_hdf5(self.path) as handle:
            if "hpcsim/description" not in handle:
                raise DiskError(f"{self.path} is an HDF5 file but no hpcsim snapshot (no /hpcsim/description in it)")
            self.description = json.loads(handle["hpcsim/description"].asstr()[()])
            self.config = handle["hpcsim/config"].asstr()[()]
            if "hpcsim/compression" in handle:
                self.description["compression"] = json.loads(handle["hpcsim/compression"].asstr()[()])

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

    @property
    def compression(self) -> dict[str, Any]:
        """What the compression gave: field to ratio, largest error, bytes, codecs and reasons; empty without one."""
        return dict(self.description.get("compression", {}))

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
        field = self._component(name, component)
        extent = field.extents[component]
        parts = tuple(box) if box is not None else (slice(None),) * len(extent)
        if len(parts) != len(extent):
            raise ConfigError(f"field '{name}' has {len(extent)} axes; {len(parts)} slices were given")
        chosen = tuple(
            slice(*part.indices(n)) if isinstance(part, slice) else range(n)[part]
            for part, n in zip(parts, extent, strict=True)
        )
        if self._packed is not None:
            return self._packed.read(name, component, field.dtype, chosen)
        with open_hdf5(self.path) as handle:
            return _read(handle, field, component, chosen)

    def _component(self, name: str, component: int) -> StoredField:
        """The field, if it has such a component."""
        field = self.field(name)
        if not 0 <= component < field.components:
            raise ConfigError(f"field '{name}' has components 0 to {field.components - 1}; {component} was asked for")
        return field

    def map(self, name: str, component: int = 0) -> np.ndarray:
        """One component as a read-only view of the file: the system loads what is looked at, and nothing is copied.

        Parameters
        ----------
        name : str
            Field.
        component : int
            Component.

        Returns
        -------
        ndarray
            With x first, read-only. The file must stay as it is while the array is in use.

        Raises
        ------
        ConfigError
            If there is no such field or component, or it is not stored in one piece: compressed files and lattices of
            four axes have to be read.
        DiskError
            If the file cannot be read.
        """
        field = self._component(name, component)
        sources = field.sources[component]
        if self._packed is not None or len(sources) != 1:
            raise ConfigError(f"field '{name}' of {self.path} is not stored in one piece; use read()")
        path, position, _ = sources[0]
        with open_hdf5(self.path) as handle:
            data = handle[path]
            if data.chunks is not None:
                raise ConfigError(f"field '{name}' of {self.path} is compressed; use read()")
            offset, shape, dtype = data.id.get_offset(), data.shape, data.dtype
        with disk_errors("map", self.path):
            values = np.memmap(self.path, dtype, "r", offset, shape)
        extent = tuple(slice(n) for n in field.extents[component])
        return np.asarray(values if position is None else values[..., position]).transpose()[extent]


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


def snapshot_step(path: Path) -> int:
    """Step in the name of a snapshot file, -1 if it has none.

    Examples
    --------
    >>> snapshot_step(Path("step-000100.vtkhdf")), snapshot_step(Path("series.vtkhdf"))
    (100, -1)
    """
    digits = path.stem.removeprefix("step-")
    return int(digits) if digits.isdecimal() and path.stem != digits else -1


def snapshot_files(directory: str | Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """All snapshot files of a directory (or of the ``snapshots`` directory of a run), by step."""
    where = Path(directory)
    if (where / "snapshots").is_dir():
        where = where / "snapshots"
    found = [path for suffix in suffixes for path in where.glob(f"step-*{suffix}")]
    return sorted((path for path in found if snapshot_step(path) >= 0), key=snapshot_step)


def list_snapshots(directory: str | Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """One snapshot file per step of a directory (or of the ``snapshots`` directory of a run), by step.

    Parameters
    ----------
    directory : path
        Where to look.
    suffixes : sequence of str
        Formats to look for; of a step that is there in several, the file of the first one is taken.
    """
    best: dict[int, Path] = {}
    for path in snapshot_files(directory, suffixes):
        held = best.get(snapshot_step(path))
        if held is None or suffixes.index(path.suffix) < suffixes.index(held.suffix):
            best[snapshot_step(path)] = path
    return list(best.values())


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
