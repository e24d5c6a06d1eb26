"""A running case that hangs is ended by the watchdog, which names the right rank (F-21, F-23)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.commandline import harmful_run, record
from tests.faults.driver import descendants

LIMIT = "run.watchdog_s=1.0"


@pytest.mark.parametrize(("kind", "rank"), [("hang", "2"), ("skip", "1")])
def test_rank_out_of_step_is_named(kind: str, rank: str, tmp_path: Path) -> None:
    """F-21: a rank that stays in a callback, and one that skips a collective: exit code 86 and the stacks of all."""
    outcome = harmful_run(3, tmp_path, kind, rank, LIMIT, "run.check_finite_every=5")
    assert outcome.code == 86 and outcome.seconds <= 1.0 + 8.0, outcome
    assert re.search(rf"odd one out: rank {rank} on \S+: ", outcome.err), outcome.err
    assert outcome.err.count("hpcsim: watchdog") == 1
    stacks = sorted((tmp_path / "out/watchdog").glob("watchdog.rank*.stacks"))
    assert len(stacks) == 3 and all("runner.py" in path.read_text() for path in stacks)
    assert (" in harm\n" in outcome.err) == (kind == "hang")
    assert not record(tmp_path / "out")["finished"]


def rank_pid(job: subprocess.Popen, rank: int) -> int:
    """Process id of a rank, from the environment of the processes below the launcher."""
    for pid in descendants(job.pid):
        if f"OMPI_COMM_WORLD_RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return pid
    raise AssertionError(f"no process of rank {rank}")


def test_stopped_rank_is_named(tmp_path: Path) -> None:
    """F-23: SIGSTOP of one rank in the middle of the steps."""
    series = tmp_path / "out/history.csv"

    def stop(job: subprocess.Popen) -> None:
        limit = time.monotonic() + 20.0
        while not series.exists() or series.read_text().count("\n") < 4:
            assert time.monotonic() < limit and job.poll() is None
            time.sleep(0.05)
        os.kill(rank_pid(job, 1), signal.SIGSTOP)

    settings = ("run.steps=3000", 'diagnostics.every="5 steps"', LIMIT)
    outcome = harmful_run(3, tmp_path, "", "", *settings, environment={"PAUSE_S": "0.002"}, during=stop)
    assert outcome.code == 86, outcome
    assert re.search(r"odd one out: rank 1 on \S+: gave no report", outcome.err), outcome.err
    assert series.read_text().count("\n") >= 3 and not record(tmp_path / "out")["finished"]
