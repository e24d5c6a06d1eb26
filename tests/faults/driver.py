"""Runs a script on several ranks with a time limit, and leaves no process behind; ends only processes it started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parents[2]
# Settings of a launcher around the tests themselves would reach the inner job.
_INHERITED = ("OMPI_", "PMIX_", "PMI_", "ORTE_", "SLURM_", "PRTE_")
_SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}


class Outcome(NamedTuple):
    """How a job ended; ``seconds`` counts from the fault if the script printed when it happened."""

    code: int
    out: str
    err: str
    seconds: float


def run_ranks(ranks: int, case: str, *arguments: str, **options: Any) -> Outcome:
    """Run a script of ``cases/`` under mpirun, or alone with ``ranks=0``; options as in `run_python`."""
    return run_python(ranks, str(CASES / f"{case}.py"), *arguments, **options)


def run_python(
    ranks: int,
    *arguments: str,
    limit_s: float = 30.0,
    environment: Mapping[str, str] | None = None,
    during: Callable[[subprocess.Popen], None] | None = None,
) -> Outcome:
    """Run Python under mpirun, or alone with ``ranks=0``; raises TimeoutError with all output if it does not end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED)}
    python = [sys.executable, *arguments]
    command = ["mpirun", "-n", str(ranks), *python] if ranks else python
    start = time.monotonic()
    job = subprocess.Popen(
        command,
        env={**inherited, **_SETTINGS, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        if during is not None:
            during(job)
        out, err = job.communicate(timeout=limit_s)
    except BaseException as error:
        out, err = _end(job)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise TimeoutError(f"{arguments} did not end in {limit_s} s\n{out}\n{err}") from None
    return Outcome(job.returncode, out, err, time.monotonic() - _fault_time(out, start))


def _fault_time(out: str, start: float) -> float:
    """Monotone time (one clock for the machine) at which the script says the fault happened."""
    marks = [float(mark) for mark in re.findall(r"fault at (\d+\.\d+)", out)]
    return min(marks, default=start)


def _end(job: subprocess.Popen) -> tuple[str, str]:
    """End the launcher and everything below it, by process id."""
    family = [*descendants(job.pid), job.pid]
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return job.communicate()


def descendants(pid: int) -> list[int]:
    """Process ids below a process, deepest last, read from /proc."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [below for child in found for below in descendants(child)]
