"""A run as an ``xarray.Dataset``: one variable per field over time and space, read only where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from hpcsim.errors import DiskError
from hpcsim.output.read import Snapshot, StoredField, list_snapshots
from hpcsim.output.vtkhdf import AXES


class SnapshotArray(BackendArray):
    """Values of a field over all snapshots, read from the files when they are indexed.

    Parameters
    ----------
    snapshots : list of Snapshot
        In order of time.
    field : StoredField
        The field.
    components : tuple of int
        Components in the array; a single one takes no axis.
    """

    def __init__(self, snapshots: list[Snapshot], field: StoredField, components: tuple[int, ...]) -> None:
        self._snapshots, self._field, self._components = snapshots, field, components
        several = (len(components),) if len(components) > 1 else ()
        self.shape = (len(snapshots), *several, *field.extents[components[0]])
        self.dtype = np.dtype(field.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        """The part that a key of integers and slices selects."""
        single = len(self._components) == 1
        which, box = (0, key[1:]) if single else (key[1], key[2:])
        times = self._take(range(len(self._snapshots)), key[0])
        parts = self._take(self._components, which)
        extent = self._field.extents[self._components[0]]
        inner = [len(range(n)[part]) for n, part in zip(extent, box, strict=True) if isinstance(part, slice)]
        values = np.empty((len(times), len(parts), *inner), self.dtype)
        for i, t in enumerate(times):
            for j, component in enumerate(parts):
                values[i, j] = self._snapshots[t].read(self._field.name, component, box)
        return values[tuple(slice(None) if isinstance(k, slice) else 0 for k in (key[0], which))]

    @staticmethod
    def _take(items: Any, index: int | slice) -> list[int]:
        """Items chosen by an integer or a slice, as a list."""
        return list(items[index]) if isinstance(index, slice) else [items[index]]


def open(path: str | Path) -> xr.Dataset:
    """Open the snapshots of a run.

    Parameters
    ----------
    path : path
        Run directory, directory with snapshots, or one snapshot file.

    Returns
    -------
    xarray.Dataset
        Dimensions ``time`` and ``x``, ``y``, ``z``, ``w`` (cell centres) or ``x_node``, ... (where a field is
        staggered), with coordinates in the length unit of the model. A field of several components at one place has a
        dimension ``<field>_component``; face and edge fields become one variable per component, ``E_x``, ``E_y``, ...
        Nothing is read before values are asked for.

    Raises
    ------
    DiskError
        If there is no snapshot, or one cannot be read, or the lattice changes between them.
    """
    where = Path(path)
    files = list_snapshots(where) if where.is_dir() else [where]
    if not files:
        raise DiskError(f"no snapshots in {where}; the run has to have an [output] section with 'every'")
    snapshots = [Snapshot(file) for file in files]
    first = snapshots[0]
    for other in snapshots[1:]:
        if other.domain != first.domain:
            raise DiskError(f"{other.path} has another lattice than {first.path}; open them one by one")
    common = [name for name, field in first.fields.items() if all(s.fields.get(name) == field for s in snapshots)]
    variables: dict[str, Any] = {}
    for name in common:
        variables.update(_variables(snapshots, first.fields[name]))
    dataset = xr.Dataset(variables, attrs=_attributes(snapshots, common))
    times = {"time": ("time", [s.time for s in snapshots]), "step": ("time", [s.step for s in snapshots])}
    return dataset.assign_coords({**_coordinates(first, dataset), **times})


def _variables(snapshots: list[Snapshot], field: StoredField) -> dict[str, xr.Variable]:
    """Lazy variables of one field."""
    staggered = field.centring in ("face", "edge")
    groups = [(c,) for c in range(field.components)] if staggered else [tuple(range(field.components))]
    made = {}
    for group in groups:
        location = field.locations[group[0]]
        axes = tuple(f"{AXES[a]}_node" if place else AXES[a] for a, place in enumerate(location))
        several = (f"{field.name}_component",) if len(group) > 1 else ()
        label = f"{field.name}_{AXES[group[0]]}" if staggered else field.name
        data = indexing.LazilyIndexedArray(SnapshotArray(snapshots, field, group))
        attributes = {"field": field.name, "centring": field.centring, "location": list(location)}
        made[label] = xr.Variable(("time", *several, *axes), data, attributes)
    return made


def _coordinates(snapshot: Snapshot, dataset: xr.Dataset) -> dict[str, Any]:
    """Coordinates of the axes in use, and numbers for the components."""
    coordinates: dict[str, Any] = {}
    for name, count in dataset.sizes.items():
        axis = str(name).removesuffix("_node")
        if axis in AXES:
            number, staggered = AXES.index(axis), str(name).endswith("_node")
            values = snapshot.domain.coordinate(number, np.arange(count), staggered)
            place = "lower planes of the cells" if staggered else "centres of the cells"
            spacing = snapshot.domain.spacing[number]
            coordinates[str(name)] = (name, values, {"axis": axis.upper(), "place": place, "spacing": spacing})
        elif name != "time":
            coordinates[str(name)] = (name, np.arange(count))
    return coordinates


def _attributes(snapshots: list[Snapshot], common: list[str]) -> dict[str, Any]:
    """Facts of the run for the dataset."""
    domain = snapshots[0].domain
    left_out = sorted({name for s in snapshots for name in s.fields} - set(common))
    return {
        "config": snapshots[-1].config,
        "lower": list(domain.lower),
        "upper": list(domain.upper),
        "periodic": [int(v) for v in domain.periodic],
        **{key: value for key, value in snapshots[-1].metadata.items() if isinstance(value, (str, int, float))},
        **({"fields_not_in_every_snapshot": left_out} if left_out else {}),
    }
