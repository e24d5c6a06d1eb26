"""Facts about this computer: processors, memory, file systems, launcher, and what each library says about itself."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Variables by which a launcher talks to its tasks; a probe must not take part in the job.
LAUNCHER_PREFIXES = (
    "OMPI_COMM_", "OMPI_UNIVERSE", "OMPI_MCA_ess", "OMPI_MCA_orte", "PMI_", "PMIX_", "PRTE_", "MPI_LOCAL", "SLURM_",
)  # fmt: skip
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "afs", "ceph", "fuse.sshfs", "9p"}


def run_probes(names: Iterable[str], limit_s: float = 60.0, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts of several libraries, each asked in its own process, two at a time.

    Parameters
    ----------
    names : iterable of str
        Probes of `hpcsim.machine.probe`.
    limit_s : float
        Seconds after which a probe is ended.
    extra : mapping of str to str, optional
        Environment variables to add.

    Returns
    -------
    dict
        Probe name to its facts; ``{"error": text, "absent": bool}`` where the library cannot be used.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHER_PREFIXES)}
    environment.update(extra or {})
    facts: dict[str, Any] = {}
    waiting = list(names)
    while waiting:
        batch, waiting = waiting[:2], waiting[2:]
        processes = {name: _start(name, environment) for name in batch}
        facts.update({name: _answer(process, limit_s) for name, process in processes.items()})
    return facts


def _start(name: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start one probe."""
    command = [sys.executable, "-m", "hpcsim.machine.probe", name]
    # The package may not be installed but on the path of this process only.
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [source, environment.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        command,
        env={**environment, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(process: subprocess.Popen[str], limit_s: float) -> dict[str, Any]:
    """Wait for a probe; a crash or an overrun is an answer as well."""
    try:
        output, complaint = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"error": f"no answer within {limit_s:g} s", "absent": False}
    lines = output.strip().splitlines()
    try:
        return dict(json.loads(lines[-1]))
    except (IndexError, ValueError):
        last = (complaint.strip().splitlines() or ["no message"])[-1]
        return {"error": f"ended with code {process.returncode}: {last}", "absent": False}


def affinity() -> list[int]:
    """Numbers of the processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def host() -> str:
    """Name of this computer."""
    return socket.gethostname()


def memory_bytes() -> int:
    """Physical memory in bytes, 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def launched_rank(environ: Mapping[str, str]) -> int:
    """Number of this task according to the launcher, 0 without one."""
    return next((int(environ[name]) for name in RANK_VARIABLES if environ.get(name, "").isdigit()), 0)


def launcher_version() -> str | None:
    """First line of ``mpirun --version``, or None where there is no mpirun."""
    command = shutil.which("mpirun")
    if command is None:
        return None
    environment = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHER_PREFIXES)}
    try:
        answer = subprocess.run(
            [command, "--version"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "no answer"
    return (answer.stdout.strip().splitlines() or ["no answer"])[0]


def filesystem(path: Path) -> str:
    """Type of the file system that holds a path (``ext4``, ``lustre`` ...), empty where the system does not tell."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    target = path.resolve()
    holding = [(len(point), kind) for point, kind in mounts if target.is_relative_to(point)]
    return max(holding, default=(0, ""), key=lambda pair: pair[0])[1]


def can_write(directory: Path) -> str:
    """Why a file cannot be made in a directory (made if missing); empty if it can."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def can_lock(directory: Path) -> str:
    """Why files in a directory cannot be locked; empty if they can."""
    try:
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return ""
    except OSError as error:
        return error.strerror or str(error)
