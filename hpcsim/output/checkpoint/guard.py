"""Looking into an HDF5 file that need not be trusted: in a process of its own, and nothing is read but its structure.

The HDF5 library follows links into other files, allocates what a file declares, loads filter plug-ins, and can crash on
a mutated file. So a process with bounded memory and time walks the file, refuses what a checkpoint never has, and tells
in JSON what is there. The calling process opens nothing.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hpcsim.errors import DiskError
from hpcsim.output.checkpoint.store import open_regular
from hpcsim.output.files import disk_errors
from hpcsim.sizes import peak_bytes

# Numbers that a data file may hold: the fields' own types, and the bytes of a codec.
DTYPES = ("float32", "float64", "int32", "int64", "uint32", "uint64", "uint8")
# Filters of HDF5 by their registered number: deflate, shuffle, fletcher32.
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}
MOST_COMPRESSION = 1000
MAX_OBJECTS = 100_000
MAX_DEPTH = 8
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_BYTES = 1 << 16
MAX_AXES = 6
MAX_ANSWER_BYTES = 64 << 20
MEMORY_BYTES = 4 << 30
LIMIT_S = 30.0
FILES_PER_PROCESS = 64
# What would make the process join an MPI job, load plug-ins, or lock the file.
DROPPED = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "HDF5_", "H5PY_", "PYTHON")
SETTINGS = {
    "HDF5_PLUGIN_PATH": "",
    "HDF5_PLUGIN_PRELOAD": "::",
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class Stored(NamedTuple):
    """One dataset of a file.

    Attributes
    ----------
    path : str
        Place in the file.
    dtype : str
        Number type.
    shape : tuple of int
        Extent.
    offset : int
        First byte in the file if the values lie in one run, else -1.
    nbytes : int
        Bytes that the values have once they are read.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class Structure(NamedTuple):
    """What is in a file, and the most memory in bytes that the process used to find out."""

    datasets: tuple[Stored, ...]
    peak_bytes: int


class _Refused(Exception):
    """What a checkpoint never has."""


def look_into(path: Path, limit_s: float = LIMIT_S) -> Structure:
    """The datasets of an HDF5 file, found by another process.

    Parameters
    ----------
    path : Path
        The file.
    limit_s : float
        Seconds after which the process is ended.

    Returns
    -------
    Structure
        No value and no attribute was read.

    Raises
    ------
    DiskError
        If it is no regular file, no HDF5 file, holds a link out of itself, external or virtual data, a number type,
        filter, size or nesting that no checkpoint has, or if the library does not survive it.
    """
    (found,) = look_into_all([path], limit_s)
    if isinstance(found, DiskError):
        raise found
    return found


def look_into_all(paths: Sequence[Path], limit_s: float = LIMIT_S) -> list[Structure | DiskError]:
    """The same for several files, with few processes: for each what is in it, or why it is refused."""
    found: list[Structure | DiskError] = []
    for first in range(0, len(paths), FILES_PER_PROCESS):
        some = paths[first : first + FILES_PER_PROCESS]
        try:
            found += _ask(some, limit_s)
        except DiskError as error:
            # One of them stopped the process: find out which.
            found += [error] if len(some) == 1 else [look_into_all([path], limit_s)[0] for path in some]
    return found


def _ask(paths: Sequence[Path], limit_s: float) -> list[Structure | DiskError]:
    """What a process finds in some files; raises ``DiskError`` if it does not come to its end."""
    for path in paths:
        with disk_errors("read", path), open_regular(path):
            pass
    environment = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    environment |= {**SETTINGS, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "hpcsim.output.checkpoint.guard", *(os.fspath(path.absolute()) for path in paths)]
    try:
        with disk_errors("look into", paths[0]):
            answer = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s
            )
    except subprocess.TimeoutExpired:
        raise DiskError(f"{paths[0]}: looking into it took more than {limit_s:g} s; it is damaged or hostile") from None
    if answer.returncode < 0:
        raise DiskError(f"{paths[0]}: the HDF5 library crashed on it; it is damaged or hostile")
    try:
        if len(answer.stdout) > MAX_ANSWER_BYTES:
            raise ValueError
        return [_understood(path, one) for path, one in zip(paths, json.loads(answer.stdout), strict=True)]
    except (ValueError, TypeError, KeyError):
        lines = answer.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise DiskError(f"{paths[0]}: it could not be looked into: {lines[-1][:200]}") from None


def _understood(path: Path, found: Mapping[str, Any]) -> Structure | DiskError:
    """The answer of the process for one file."""
    if "problem" in found:
        return DiskError(f"{path}: {found['problem']}")
    return Structure(tuple(Stored(p, d, tuple(s), o, n) for p, d, s, o, n in found["datasets"]), int(found["peak"]))


def examine(path: str) -> dict[str, Any]:
    """What is in a file, as JSON; runs in the process that `look_into` starts.

    Returns
    -------
    dict
        ``datasets`` and ``peak``, or ``problem``.
    """
    import h5py

    from hpcsim.output.files import open_hdf5

    h5py._errors.silence_errors()
    try:
        size = os.path.getsize(path)
        with open_hdf5(path) as handle:
            found = list(_walk(h5py.h5g.open(handle.id, b"/"), "", size, set()))
    except (_Refused, DiskError) as error:
        return {"problem": str(error).removeprefix(f"{path}: ")}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        return {"problem": f"it is damaged: {type(error).__name__}: {str(error)[:200]}"}
    return {"datasets": found, "peak": peak_bytes()}


def _walk(group: Any, path: str, size: int, seen: set[tuple[int, int]], depth: int = 0) -> Iterator[Stored]:
    """The datasets below a group (its low-level identifier), every object checked before it is used."""
    import h5py

    _check(depth <= MAX_DEPTH, f"{path or '/'} is nested deeper than {MAX_DEPTH} groups")
    _once(group, path, seen)
    _check_attributes(group, path)
    count = group.get_num_objs()
    _check(count + len(seen) <= MAX_OBJECTS, f"{path or '/'} has {count} entries; a checkpoint has fewer")
    for name in [group.get_objname_by_idx(number) for number in range(count)]:
        shown = f"{path}/{name.decode(errors='replace')}"
        kind = group.links.get_info(name).type
        _check(kind == h5py.h5l.TYPE_HARD, f"{shown} is a soft or external link")
        entry = h5py.h5o.open(group, name)
        if isinstance(entry, h5py.h5g.GroupID):
            yield from _walk(entry, shown, size, seen, depth + 1)
            continue
        _check(isinstance(entry, h5py.h5d.DatasetID), f"{shown} is neither a group nor a dataset")
        _once(entry, shown, seen)
        _check_attributes(entry, shown)
        yield _dataset(entry, shown, size)


def _once(entry: Any, path: str, seen: set[tuple[int, int]]) -> None:
    """Refuse an object that was met before: a loop, or one thing under two names."""
    import h5py

    facts = h5py.h5o.get_info(entry)
    key = (facts.fileno, facts.addr)
    _check(key not in seen, f"{path or '/'} is the same object as another one: a loop of links")
    seen.add(key)


def _check_attributes(entry: Any, path: str) -> None:
    """Refuse attributes that a reader would stumble over; none is read."""
    import h5py

    count = h5py.h5a.get_num_attrs(entry)
    _check(count <= MAX_ATTRIBUTES, f"{path or '/'} has {count} attributes; at most {MAX_ATTRIBUTES} are allowed")
    for number in range(count):
        facts = h5py.h5a.get_info(entry, index=number)
        text = f"{path or '/'} has an attribute of {facts.data_size} bytes; at most {MAX_ATTRIBUTE_BYTES} are allowed"
        _check(facts.data_size <= MAX_ATTRIBUTE_BYTES, text)


def _dataset(entry: Any, path: str, size: int) -> Stored:
    """Description of a dataset that has nothing unusual."""
    import h5py

    creation = entry.get_create_plist()
    layout = creation.get_layout()
    _check(layout != h5py.h5d.VIRTUAL, f"{path} is a virtual dataset, which shows other files")
    _check(creation.get_external_count() == 0, f"{path} has its values in another file")
    for place in range(creation.get_nfilters()):
        code = creation.get_filter(place)[0]
        allowed = ", ".join(FILTERS.values())
        _check(code in FILTERS, f"{path} uses the filter number {code}; allowed: {allowed}")
    dtype = _number_type(entry.get_type(), path)
    space = entry.get_space()
    _check(space.get_simple_extent_type() == h5py.h5s.SIMPLE, f"{path} is no plain array")
    shape = tuple(int(n) for n in space.get_simple_extent_dims())
    _check(len(shape) <= MAX_AXES, f"{path} has {len(shape)} axes; at most {MAX_AXES} are allowed")
    nbytes = int(dtype[1])
    for n in shape:
        nbytes *= n
    # Judged by the size of the file: to add up the chunks of a hostile one would take the library for ever.
    _check(nbytes <= MOST_COMPRESSION * size, f"{path} declares {nbytes} bytes in a file of {size}")
    offset = -1
    if layout == h5py.h5d.CONTIGUOUS and nbytes:
        offset = entry.get_offset() or -1
        stored = entry.get_storage_size()
        _check(stored == nbytes and 0 <= offset <= size - nbytes, f"{path} declares {nbytes} bytes that are not there")
    return Stored(path, dtype[0], shape, offset, nbytes)


def _number_type(kind: Any, path: str) -> tuple[str, int]:
    """Name and bytes of a number type on the list."""
    import h5py

    whole, real = h5py.h5t.INTEGER, h5py.h5t.FLOAT
    _check(kind.get_class() in (whole, real), f"{path} holds no plain numbers; allowed: {', '.join(DTYPES)}")
    known = {name: h5py.h5t.py_create(name) for name in DTYPES}
    found = [name for name, one in known.items() if one.equal(kind)]
    _check(bool(found), f"{path} holds numbers of an unusual type; allowed: {', '.join(DTYPES)}")
    return found[0], known[found[0]].get_size()


def _check(ok: bool, reason: str) -> None:
    if not ok:
        raise _Refused(reason)


def main() -> int:
    """Examine the files named on the command line with bounded memory, and print what is found as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump([examine(path) for path in sys.argv[1:]], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
