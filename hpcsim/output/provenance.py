"""What a result came from: versions, the commit, the machine, the command."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import hpcsim
from hpcsim.comm.context import Context

PACKAGES = (
    "numpy", "numba", "llvmlite", "mpi4py", "h5py", "scipy", "petsc4py", "numcodecs", "PyWavelets", "hdf5plugin",
)  # fmt: skip


def versions() -> dict[str, str | None]:
    """Versions of Python, of the packages in use and of the libraries under them; None if not installed.

    Nothing is imported for this: a package that is not loaded is looked up in its installation record.
    """
    found: dict[str, str | None] = {"hpcsim": hpcsim.__version__, "python": sys.version.split()[0]}
    for name in PACKAGES:
        module = sys.modules.get(name)
        found[name] = getattr(module, "__version__", None) or _installed(name)
    mpi = sys.modules.get("mpi4py.MPI")
    found["mpi"] = mpi.Get_library_version().split("\0")[0].split("\n")[0].strip() if mpi else None
    h5py = sys.modules.get("h5py")
    found["hdf5"] = h5py.version.hdf5_version if h5py else None
    return found


def _installed(name: str) -> str | None:
    """Version in the installation record of a package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit(start: Path | None = None) -> str | None:
    """Commit of the working copy that holds a directory, read from git's files: no process is started.

    Parameters
    ----------
    start : Path, optional
        Directory to begin at; that of this package by default.

    Returns
    -------
    str or None
        40 hexadecimal digits, None outside of a working copy or before its first commit.
    """
    here = (start or Path(hpcsim.__file__).parent).resolve()
    for folder in (here, *here.parents):
        entry = folder / ".git"
        if entry.exists():
            try:
                return _head(entry)
            except (OSError, UnicodeDecodeError, IndexError):
                return None
    return None


def _head(entry: Path) -> str | None:
    """Commit that HEAD points to, through branch files, packed branches and linked working copies."""
    git = entry
    if entry.is_file():
        git = (entry.parent / entry.read_text().split(":", 1)[1].strip()).resolve()
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head or None
    name = head[4:].strip()
    link = git / "commondir"
    common = (git / link.read_text().strip()).resolve() if link.exists() else git
    for folder in (git, common):
        if (folder / name).is_file():
            return (folder / name).read_text().strip() or None
    packed = common / "packed-refs"
    for line in packed.read_text().splitlines() if packed.exists() else ():
        value, _, reference = line.partition(" ")
        if reference.strip() == name:
            return value
    return None


def binding() -> str:
    """Processors this process may use, as ranges.

    Examples
    --------
    >>> _ranges([0, 1, 2, 5])
    '0-2,5'
    """
    try:
        return _ranges(sorted(os.sched_getaffinity(0)))
    except AttributeError:
        return ""


def _ranges(numbers: list[int]) -> str:
    """Sorted numbers as ranges."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def provenance(context: Context) -> dict[str, Any] | None:
    """Facts of this run for its record; collective, the result is on rank 0 and None elsewhere."""
    bindings = context.gather_text(binding())
    if bindings is None:
        return None
    return {
        "versions": versions(),
        "commit": commit(),
        "hosts": list(context.hosts),
        "command": list(sys.argv),
        "directory": os.getcwd(),
        "modules": [name for name in os.environ.get("LOADEDMODULES", "").split(":") if name],
        "binding": bindings,
        "job": os.environ.get("SLURM_JOB_ID", ""),
    }
