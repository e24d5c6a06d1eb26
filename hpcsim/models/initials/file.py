"""Values from a file beside the case; each rank reads only its own boxes."""

from __future__ import annotations

import contextlib
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.errors import ConfigError
from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location, owned_extent
from hpcsim.models.initial import InitialCondition, InitialSetting
from hpcsim.models.initials.table import TableReader, initial_kind
from hpcsim.models.sampling import Values

HDF5_SUFFIXES = (".h5", ".hdf5")
MAX_NAME = 4096


class FromFile(InitialCondition):
    """An array of the whole lattice in a file, axes in the order x, y, z, w, components first.

    Parameters
    ----------
    where : str
        Path of the key.
    path : Path
        File, already known to be inside the case directory.
    dataset : str
        Dataset of an HDF5 file; empty for a ``.npy`` file.
    components : int
        Components that the file holds.
    """

    def __init__(self, where: str, path: Path, dataset: str, components: int) -> None:
        super().__init__(where)
        self._path, self._dataset, self._components = path, dataset, components

    def _values(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        part: tuple[int | slice, ...] = tuple(slice(a, b) for a, b in zip(*box, strict=True))
        with open_array(self._path, self._dataset) as array:
            if array.ndim > domain.ndim:
                part = (component if self._components > 1 else 0, *part)
            return np.array(array[part], np.float64)


@contextlib.contextmanager
def open_array(path: Path, dataset: str) -> Iterator[Any]:
    """The array of a file as something that is read by slices.

    Raises
    ------
    ConfigError
        If the file or the dataset is not there, is damaged, or leads to other files.
    """
    if path.suffix in HDF5_SUFFIXES:
        import h5py

        try:
            handle = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise ConfigError(f"'{path.name}' is not a readable HDF5 file: {error}") from None
        with handle:
            yield _dataset(handle, dataset, path.name)
        return
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise ConfigError(f"'{path.name}' is not a readable .npy file: {error}") from None
    yield mapped


def _dataset(handle: Any, dataset: str, name: str) -> Any:
    """A dataset whose values lie in this very file."""
    import h5py

    group = handle
    for part in (part for part in dataset.split("/") if part not in ("", ".")):
        # Asking for the link first: testing for the object itself would follow it into another file.
        known = isinstance(group, h5py.Group) and group.id.links.exists(part.encode())
        link = group.get(part, getlink=True) if known else None
        if link is None:
            held = ", ".join(sorted(group)[:20]) if isinstance(group, h5py.Group) else "no groups"
            raise ConfigError(f"'{name}' has no dataset '{dataset}'; at '{part}' there are: {held or 'none'}")
        if not isinstance(link, h5py.HardLink):
            raise ConfigError(f"'{part}' in '{name}' is a link; only datasets in the file itself are read")
        group = group[part]
    if not isinstance(group, h5py.Dataset):
        raise ConfigError(f"'{dataset}' in '{name}' is a group, not a dataset; it has: {', '.join(sorted(group)[:20])}")
    if group.is_virtual or group.external:
        raise ConfigError(f"the values of '{dataset}' in '{name}' lie in other files; only the file itself is read")
    return group


def inside(directory: Path, name: str) -> Path:
    """A regular file inside a directory, links followed.

    Raises
    ------
    ConfigError
        If the name leads outside or to something that is not a regular file.
    """
    if not name or "\0" in name or len(name) > MAX_NAME:
        raise ConfigError(f"{name[:64]!r} is no file name")
    root = directory.resolve()
    if Path(name).is_absolute():
        raise ConfigError(f"'{name}' is an absolute path; give one relative to the directory of the case ({root})")
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise ConfigError(f"'{name}' leads outside the directory of the case ({root})")
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError):
        raise ConfigError(f"no file '{name}' in the directory of the case ({root})") from None
    if not regular:
        raise ConfigError(f"'{name}' is not a regular file")
    return path


def _faults(array: Any, setting: InitialSetting) -> Iterator[str]:
    """What keeps an array from filling the lattice."""
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        yield f"the values have type {array.dtype}; real numbers of at most 64 bits are needed"
    extents = {owned_extent(setting.domain, location) for location in setting.locations}
    if len(extents) > 1:
        yield "the components have different numbers of sites; give a list with one file per component"
        return
    (extent,) = extents
    count = setting.components
    allowed = [extent, (1, *extent)] if count == 1 else [(count, *extent)]
    if tuple(array.shape) not in allowed:
        text = f"the shape is {tuple(array.shape)}; the lattice needs {allowed[0]}"
        turned = tuple(reversed(array.shape)) == extent
        yield text + (" (the axes are x, y, z, w; this file seems to have them reversed)" if turned else "")
    elif math.prod(array.shape) * array.dtype.itemsize > _stored_limit(array):
        yield "the file declares more values than it holds"


def _stored_limit(array: Any) -> float:
    """Bytes that an uncompressed array can have; a dataset without all its storage would read as fill values."""
    if isinstance(array, np.ndarray) or array.chunks is not None:
        return math.inf
    return float(array.id.get_storage_size())


@initial_kind("path", "dataset")
def file(reader: TableReader) -> InitialCondition:
    """An array from an HDF5 file (path = "file.h5:/dataset", or path and dataset) or a .npy file beside the case.

    The array has the shape of the lattice, with a leading axis for several components; the values become float64.
    """
    setting = reader.setting
    name, colon, dataset = reader.text("path").partition(":")
    suffix = Path(name).suffix
    if "dataset" in reader:
        if colon:
            reader.fault("dataset", "the path names a dataset as well; keep one of the two")
        dataset = reader.text("dataset")
    if name and suffix not in (*HDF5_SUFFIXES, ".npy"):
        reader.fault("path", f"'{name}' ends in '{suffix}'; allowed: .h5, .hdf5, .npy")
    elif suffix == ".npy" and (colon or dataset):
        reader.fault("path", "a .npy file has no datasets")
    reader.finish()
    dataset = dataset or (setting.field if suffix in HDF5_SUFFIXES else "")
    path = Path(name)
    try:
        path = inside(setting.directory, name)
        with open_array(path, dataset) as array:
            for text in _faults(array, setting):
                reader.fault("path", f"'{name}': {text}")
    except ConfigError as error:
        for problem in error.problems:
            reader.fault("path", problem.message)
    return FromFile(reader.where, path, dataset, setting.components)
