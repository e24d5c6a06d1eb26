"""The layout of a snapshot file: a VTKHDF ``ImageData`` that ParaView opens, with the run's own group beside it.

``/VTKHDF`` holds what a viewer reads. Cell fields are CellData, vertex fields PointData; on a periodic axis the first
plane of vertices is repeated at the upper end so that the picture closes. Arrays are stored ``[z, y, x(, component)]``
with as many axes as the domain has. A domain of four axes is stored as one three-axis array per index of w, named
``u_w007``. Time is in ``FieldData/TimeValue`` and ``Steps/Values``; with one step per file readers take the arrays as
static, so these have no time axis.

``/hpcsim`` holds what other programs need: ``description`` (JSON: step, time, domain, fields and their locations),
``config`` (the resolved TOML), and under ``staggered`` every component of a face or edge field in full, at its own
places, without interpolation. ``CellData`` has a view of them (a virtual dataset, no second copy) in which each cell
shows the values at its lower end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location, owned_extent
from hpcsim.output.compress.lossless import DEFLATE_LEVEL

AXES = "xyzw"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Piece:
    """One contiguous dataset of the file.

    Attributes
    ----------
    path : str
        Place in the file.
    field : str
        Name of the field.
    components : tuple of int
        Components stored in it, interleaved as the fastest axis when there are several.
    location : Location
        Where on the cell the values sit, per axis of the domain.
    extent : tuple of int
        Stored sites along x, y, z (as many as the image has axes).
    dtype : str
        Name of the number type.
    w : int or None
        Index along the fourth axis.
    """

    path: str
    field: str
    components: tuple[int, ...]
    location: Location
    extent: tuple[int, ...]
    dtype: str
    w: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dataset: slowest axis first, components last."""
        interleaved = (len(self.components),) if len(self.components) > 1 else ()
        return (*reversed(self.extent), *interleaved)

    @property
    def nbytes(self) -> int:
        """Bytes of the dataset."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def plan_pieces(domain: Domain, name: str, spec: FieldSpec) -> list[Piece]:
    """Datasets that one field needs.

    Parameters
    ----------
    domain : Domain
        The domain; its axes beyond the third become separate datasets.
    name : str
        Name of the field.
    spec : FieldSpec
        Components, centring and number type.

    Returns
    -------
    list of Piece
        In the order of the file.
    """
    locations = spec.locations(domain.ndim)
    if spec.centring in ("cell", "vertex"):
        group = "CellData" if spec.centring == "cell" else "PointData"
        whole = tuple(range(spec.components))
        return _slices(domain, name, spec, f"VTKHDF/{group}/{name}", whole, locations[0])
    pieces = []
    for component, location in enumerate(locations):
        path = f"hpcsim/staggered/{name}_{AXES[component]}"
        pieces += _slices(domain, name, spec, path, (component,), location)
    return pieces


def _slices(
    domain: Domain, name: str, spec: FieldSpec, path: str, components: tuple[int, ...], location: Location
) -> list[Piece]:
    """The pieces of some components at one location: one, or one per index of w."""
    owned = owned_extent(domain, location)
    extent = owned[:3]
    if spec.centring == "vertex":
        extent = tuple(n + 1 for n in domain.shape[:3])
    dtype = np.dtype(spec.dtype).name
    if domain.ndim < 4:
        return [Piece(path, name, components, location, extent, dtype)]
    return [Piece(f"{path}_w{w:03d}", name, components, location, extent, dtype, w) for w in range(owned[3])]


def describe_fields(domain: Domain, fields: Mapping[str, FieldSpec]) -> dict[str, Any]:
    """What a reader needs to know of the fields: centring, number type, locations and where the values are.

    Returns
    -------
    dict
        Field name to a JSON-able description; ``sources[component]`` lists ``[path, position in the last axis or
        null, w or null]``.
    """
    described = {}
    for name, spec in fields.items():
        sources: list[list[list[Any]]] = [[] for _ in range(spec.components)]
        for piece in plan_pieces(domain, name, spec):
            for position, component in enumerate(piece.components):
                sources[component].append([piece.path, position if len(piece.components) > 1 else None, piece.w])
        locations = spec.locations(domain.ndim)
        described[name] = {
            "centring": spec.centring,
            "components": spec.components,
            "dtype": np.dtype(spec.dtype).name,
            "locations": [list(location) for location in locations],
            "extents": [list(owned_extent(domain, location)) for location in locations],
            "sources": sources,
        }
    return described


def describe_file(
    domain: Domain, fields: Mapping[str, FieldSpec], step: int, time: float, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON description stored in ``/hpcsim/description``."""
    return {
        "format": FORMAT_VERSION,
        "step": int(step),
        "time": float(time),
        "domain": {
            "shape": list(domain.shape),
            "lower": [float(v) for v in domain.lower],
            "upper": [float(v) for v in domain.upper],
            "periodic": [bool(v) for v in domain.periodic],
        },
        "fields": describe_fields(domain, fields),
        "metadata": {key: value for key, value in metadata.items() if key != "config"},
    }


def create_file(
    handle: Any,
    domain: Domain,
    fields: Mapping[str, FieldSpec],
    step: int,
    time: float,
    metadata: Mapping[str, Any],
    chunks: Callable[[Piece], tuple[int, ...]] | None = None,
) -> list[tuple[Piece, int]]:
    """Fill an empty HDF5 file with everything but the values.

    Parameters
    ----------
    handle : h5py.File
        Open for writing.
    domain, fields, step, time
        What the file is about.
    metadata : mapping
        JSON-able facts of the run; ``config`` (TOML text) is stored as a text dataset of its own.
    chunks : callable, optional
        Gives the shape of the chunks of a dataset, which are then shuffled and deflated; without it the datasets are
        contiguous.

    Returns
    -------
    list of (Piece, int)
        Every dataset with the byte offset of its first value in the file; 0 for one in chunks.
    """
    image = handle.create_group("VTKHDF")
    write_image_header(image, domain)
    for group in ("CellData", "PointData"):
        image.create_group(group)
    _write_time(image, step, time)
    own = handle.create_group("hpcsim")
    own.create_dataset("description", data=json.dumps(describe_file(domain, fields, step, time, metadata)))
    own.create_dataset("config", data=str(metadata.get("config", "")))
    placed = []
    for name, spec in fields.items():
        pieces = plan_pieces(domain, name, spec)
        placed += [(piece, _place(handle, piece, chunks(piece) if chunks else None)) for piece in pieces]
        if spec.centring in ("face", "edge"):
            _view_as_cells(handle, domain, name, pieces)
    return placed


def write_image_header(image: Any, domain: Domain, version: Sequence[int] = (2, 0)) -> None:
    """The attributes that make a group a VTKHDF image of the domain, padded to three axes."""
    cells = [*domain.shape[:3], 0, 0][:3]
    image.attrs["Version"] = np.array(version, dtype=np.int64)
    image.attrs["Type"] = np.bytes_("ImageData")
    image.attrs["WholeExtent"] = np.array([v for n in cells for v in (0, n)], dtype=np.int64)
    image.attrs["Origin"] = np.array([*domain.lower[:3], 0.0, 0.0][:3], dtype=np.float64)
    image.attrs["Spacing"] = np.array([*domain.spacing[:3], 1.0, 1.0][:3], dtype=np.float64)
    image.attrs["Direction"] = np.eye(3).ravel()


def _write_time(image: Any, step: int, time: float) -> None:
    """Step and time, in both of the places where viewers and people look for them."""
    facts = image.create_group("FieldData")
    facts.create_dataset("TimeValue", data=np.array([time], dtype=np.float64))
    facts.create_dataset("step", data=np.array([step], dtype=np.int64))
    steps = image.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(1)
    steps.create_dataset("Values", data=np.array([time], dtype=np.float64))


def _place(handle: Any, piece: Piece, chunk: tuple[int, ...] | None) -> int:
    """Create one dataset without writing it; its byte offset in the file, 0 if it is to have chunks."""
    import h5py

    properties = _properties()
    if chunk is None:
        properties.set_layout(h5py.h5d.CONTIGUOUS)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    else:
        properties.set_chunk(chunk)
        properties.set_shuffle()
        properties.set_deflate(DEFLATE_LEVEL)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    parent, name = piece.path.rsplit("/", 1)
    group = handle.require_group(parent)
    kind = h5py.h5t.py_create(np.dtype(piece.dtype))
    made = h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(piece.shape), properties)
    dataset = h5py.Dataset(made)
    dataset.attrs["location"] = np.array(piece.location, dtype=np.int64)
    dataset.attrs["components"] = np.array(piece.components, dtype=np.int64)
    if piece.w is not None:
        dataset.attrs["w"] = np.int64(piece.w)
    offset = made.get_offset() if chunk is None else 0
    return int(offset)


def _view_as_cells(handle: Any, domain: Domain, name: str, pieces: Sequence[Piece]) -> None:
    """Show a face or edge field in CellData without a second copy: each cell has the values at its lower end."""
    import h5py

    box = tuple(reversed(domain.shape[:3]))
    count = len({piece.components for piece in pieces})
    shape = (*box, count) if count > 1 else box
    group = handle["VTKHDF/CellData"]
    for w in range(domain.shape[3]) if domain.ndim == 4 else (None,):
        properties = _properties()
        for piece in (p for p in pieces if p.w == w):
            target, source = h5py.h5s.create_simple(shape), h5py.h5s.create_simple(piece.shape)
            last = ((piece.components[0],), (1,)) if count > 1 else ((), ())
            target.select_hyperslab((0,) * len(box) + last[0], box + last[1])
            source.select_hyperslab((0,) * len(box), box)
            properties.set_virtual(target, b".", piece.path.encode(), source)
        label = name if w is None else f"{name}_w{w:03d}"
        kind = h5py.h5t.py_create(np.dtype(pieces[0].dtype))
        made = h5py.h5d.create(group.id, label.encode(), kind, h5py.h5s.create_simple(shape), properties)
        h5py.Dataset(made).attrs["location"] = np.bytes_("staggered: each cell shows the values at its lower end")


def _properties() -> Any:
    """Creation properties without the time of day: the same values always make the same file, byte by byte."""
    import h5py

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    return properties
