"""Where a process runs: threads, usable processors, directories; findings for the doctor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcsim.machine.detect import NETWORK_FILESYSTEMS, can_lock, can_write, filesystem
from hpcsim.machine.stack import Finding

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def check_threads(environ: Mapping[str, str], processors: Sequence[int]) -> Finding:
    """No library may start more threads than this process has processors."""
    asked = {name: environ[name] for name in THREAD_VARIABLES if environ.get(name)}
    text = ", ".join(f"{name}={value}" for name, value in asked.items()) or "no thread variable is set"
    wrong = [name for name, value in asked.items() if not value.isdigit() or int(value) > len(processors)]
    if wrong:
        remedy = f"set {', '.join(wrong)} to 1..{len(processors)}, the processors of this process"
        return Finding("threads", "warn", text, remedy)
    return Finding("threads", "ok", text)


def check_affinity(processors: Sequence[int], machine: int) -> Finding:
    """How many of the machine's processors this process may use."""
    return Finding("processors", "ok", f"{len(processors)} of {machine} usable")


def check_root(environ: Mapping[str, str], vendor: str) -> Finding | None:
    """Open MPI refuses to start as root unless told twice."""
    allowed = environ.get("OMPI_ALLOW_RUN_AS_ROOT") and environ.get("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
    if vendor != "Open MPI" or allowed or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    return Finding("root", "warn", "Open MPI will refuse to start as root", ". scripts/env.sh, or work as another user")


def check_cache(environ: Mapping[str, str], directory: Path) -> Finding:
    """Compiled kernels are kept here: the directory asked for must be usable and should belong to the node.

    Parameters
    ----------
    environ : mapping of str to str
        Environment; HPCSIM_CACHE_DIR names the directory asked for.
    directory : Path
        The directory that is used, another one where that cannot be written.
    """
    wanted = environ.get("HPCSIM_CACHE_DIR")
    if wanted and Path(wanted) != directory:
        text = f"HPCSIM_CACHE_DIR={wanted} cannot be used ({can_write(Path(wanted)) or 'others may write to it'})"
        remedy = f"name a directory that only you may write; until then {directory} is used"
        return Finding("kernel cache", "warn", text, remedy)
    reason = can_write(directory)
    if reason:
        remedy = "set HPCSIM_CACHE_DIR to a directory you may write"
        return Finding("kernel cache", "fail", f"{directory}: {reason}", remedy)
    kind = filesystem(directory)
    if kind in NETWORK_FILESYSTEMS:
        remedy = "set HPCSIM_CACHE_DIR to a directory of the node, e.g. under /tmp"
        return Finding("kernel cache", "warn", f"{directory} on {kind}, shared between nodes", remedy)
    return Finding("kernel cache", "ok", f"{directory}" + (f" on {kind}" if kind else ""))


def check_working_directory(directory: Path) -> Finding:
    """Results are written here: writing and file locking must work."""
    reason = can_write(directory)
    if reason:
        return Finding("directory", "warn", f"{directory}: {reason}", "start runs where you may write")
    reason = can_lock(directory)
    if reason:
        remedy = "export HDF5_USE_FILE_LOCKING=FALSE"
        return Finding("directory", "warn", f"{directory}: files cannot be locked ({reason})", remedy)
    return Finding("directory", "ok", f"{directory} writable, locking works")
