"""Runs that hang end by the watchdog, which names the odd rank (F-21, F-22, F-23)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.driver import run_ranks

LIMIT_S = 1.5


@pytest.mark.parametrize(("kind", "rank"), [("skip", 1), ("order", 2), ("order", 0)])
def test_skipped_collective_names_the_rank(kind: str, rank: int, tmp_path: Path) -> None:
    """F-21: a rank that skips a collective, or does another one, is named; exit code 86; stacks of every rank."""
    outcome = run_ranks(4, "hang", kind, str(rank), str(LIMIT_S), str(tmp_path))
    assert outcome.code == 86, outcome
    assert outcome.seconds <= LIMIT_S + 4.0, outcome
    assert re.search(rf"odd one out: rank {rank} on \S+: ", outcome.err), outcome.err
    assert outcome.err.count("hpcsim: watchdog") == 1
    stacks = sorted(tmp_path.glob("watchdog.rank*.stacks"))
    assert len(stacks) == 4 and all("hang.py" in path.read_text() for path in stacks)


def test_stopped_rank_is_named(tmp_path: Path) -> None:
    """F-23: a rank under SIGSTOP cannot report; the others end the job and say so."""

    def stop(job: subprocess.Popen) -> None:
        files = [tmp_path / f"pid.{rank}" for rank in range(3)]
        while not all(path.exists() for path in files):
            assert job.poll() is None and time.monotonic() - start < 30.0, "the ranks did not start"
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(int(files[1].read_text()), signal.SIGSTOP)

    start = time.monotonic()
    outcome = run_ranks(3, "hang", "none", "-1", str(LIMIT_S), str(tmp_path), during=stop)
    assert outcome.code == 86 and time.monotonic() - start <= LIMIT_S + 8.0
    assert re.search(r"odd one out: rank 1 on \S+: gave no report", outcome.err), outcome.err


def test_rank_that_keeps_the_interpreter_lock_ends_too(tmp_path: Path) -> None:
    """F-21: compiled code that never gives the lock back cannot stop the other ranks from ending the job."""
    outcome = run_ranks(2, "hang", "lock", "1", "1.0", str(tmp_path))
    assert outcome.code == 86 and re.search(r"odd one out: rank 1 on \S+: gave no report", outcome.err), outcome


def test_lone_process_that_keeps_the_lock_ends(tmp_path: Path) -> None:
    """F-21: with one process only the C timer is left; it writes the stack and ends the process."""
    outcome = run_ranks(0, "hang", "lock", "0", "0.5", str(tmp_path))
    assert outcome.code == 1 and outcome.seconds < 6.0
    assert "hang.py" in (tmp_path / "watchdog.rank00000.stacks").read_text()


def test_slow_rank_is_left_alone(tmp_path: Path) -> None:
    """F-22: a rank that is slow but within the limit sets off nothing."""
    outcome = run_ranks(3, "hang", "slow", "1", "2.5", str(tmp_path))
    assert outcome.code == 0 and outcome.out.count("finished") == 3 and "watchdog" not in outcome.err


def test_pause_suspends_the_limit(tmp_path: Path) -> None:
    """F-22: compilation or output inside a pause may last longer than the limit, even if it keeps the lock."""
    outcome = run_ranks(0, "hang", "pause", "0", "0.4", str(tmp_path))
    assert outcome.code == 0 and "finished" in outcome.out, outcome
