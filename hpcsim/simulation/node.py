"""Memory that a node offers to this run: what it has, what its control group allows, what the job was given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

# Limits beyond this are the kernel's way to say that there is none.
_NO_LIMIT = 1 << 60
_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def node_memory(environ: Mapping[str, str] | None = None, groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """Bytes that all processes of this run on this node may use together.

    Parameters
    ----------
    environ : mapping, optional
        Environment with the variables of SLURM; by default that of the process.
    groups, mount : Path
        File that names the control groups of the process, and where their limits are found.

    Returns
    -------
    int
        The smallest of: physical memory, the limits of the control group and of those above it, the memory of the job.
    """
    environ = os.environ if environ is None else environ
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limits += group_limits(groups, mount)
    limits += job_limits(environ)
    return min(limits)


def job_limits(environ: Mapping[str, str]) -> Iterator[int]:
    """Memory on this node that SLURM gave the job; nothing without a limit (``--mem=0`` is all of the node).

    Examples
    --------
    >>> list(job_limits({"SLURM_MEM_PER_CPU": "2000", "SLURM_CPUS_ON_NODE": "8"}))
    [16777216000]
    """
    whole, each, cpus = (
        int(environ[name]) if environ.get(name, "").isdecimal() else 0
        for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE")
    )
    # SLURM counts in units of 2**20 bytes.
    if whole:
        yield whole << 20
    if each and cpus:
        yield each * cpus << 20


def group_limits(groups: Path, mount: Path) -> Iterator[int]:
    """Limits of the control group of this process and of every group above it, of either version."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            yield from _upwards(mount / "memory", path, "memory.limit_in_bytes")
        elif not controllers:
            for root in (mount, mount / "unified"):
                yield from _upwards(root, path, "memory.max")


def _upwards(root: Path, path: str, file: str) -> Iterator[int]:
    names = [name for name in path.split("/") if name not in ("", ".", "..")]
    # Inside a container the path is that of the host, and only the root can be seen.
    for count in range(len(names), -1, -1):
        try:
            text = root.joinpath(*names[:count], file).read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and 0 < int(text) < _NO_LIMIT:
            yield int(text)
