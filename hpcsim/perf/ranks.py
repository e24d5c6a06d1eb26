"""Measurements that need several ranks: started through mpirun from a single process, with a time limit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from hpcsim.comm.context import Context

_POLL_S = 5e-4
_LAUNCHER_VARIABLES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_LOCAL")
_MARK = "hpcsim-bench-result "


def quiet_barrier(context: Context) -> None:
    """Wait for all ranks asleep, so that a waiting rank leaves its core to the one that is measured."""
    if context.size == 1:
        return
    request = context.comm.Ibarrier()
    while not request.Test():
        time.sleep(_POLL_S)


def run_ranks(arguments: Sequence[str], ranks: int, limit_s: float) -> dict[str, Any] | str:
    """Run ``hpcsim bench`` on several ranks and take what its first rank hands back.

    Parameters
    ----------
    arguments : sequence of str
        Arguments after ``hpcsim bench``.
    ranks : int
        How many.
    limit_s : float
        Seconds after which the ranks are ended.

    Returns
    -------
    dict or str
        The result, or why there is none.
    """
    launcher = shutil.which("mpirun")
    if launcher is None:
        return "no mpirun on the path"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHER_VARIABLES)}
    environment |= {
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        # Every rank would bind its first thread to the same core.
        "OMP_PROC_BIND": "false",
    }
    if os.geteuid() == 0:
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    command = [launcher, "-n", str(ranks), sys.executable, "-m", "hpcsim", "bench", *arguments]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"{ranks} ranks did not finish in {limit_s:g} s"
    for line in output.splitlines():
        if line.startswith(_MARK):
            found: dict[str, Any] = json.loads(line[len(_MARK) :])
            return found
    return f"{ranks} ranks ended with exit code {process.returncode}: {_last_line(errors)}"


def hand_back(result: dict[str, Any]) -> None:
    """Print a result for `run_ranks`."""
    print(_MARK + json.dumps(result), flush=True)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip(" -")]
    return lines[-1] if lines else "no message"
