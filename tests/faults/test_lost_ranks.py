"""Runs whose ranks or launcher are killed go on from the newest good checkpoint, with the same bits (F-03, F-04)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.errors import DiskError
from hpcsim.output.history import read_history
from tests.faults import restarts
from tests.faults.commandline import record
from tests.faults.driver import descendants
from tests.faults.restarts import checkpoints, restart, results, run, step_now, wait_for
from tests.faults.test_stop import is_python


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run without a fault gives."""
    directory = tmp_path_factory.mktemp("reference")
    outcome = run(0, directory, pace_s=0.0)
    assert outcome.code == 0, outcome.err
    return results(directory)


def kill(directory: Path, step: int, whole: bool, chosen: random.Random) -> Any:
    """A job hook that kills one rank, or the launcher with all of them, once the run has come so far."""

    def during(job: subprocess.Popen) -> None:
        # The news of an earlier start are none.
        (directory / "out" / "status.json").unlink(missing_ok=True)
        wait_for(lambda: step_now(directory) >= step)
        time.sleep(chosen.uniform(0.0, 0.15))
        ranks = [pid for pid in descendants(job.pid) if is_python(pid)] or [job.pid]
        for pid in [job.pid, *ranks] if whole else [chosen.choice(ranks)]:
            os.kill(pid, signal.SIGKILL)

    return during


@pytest.mark.parametrize("seed", range(3))
def test_a_rank_is_killed(seed: int, tmp_path: Path, reference: dict[str, Any]) -> None:
    """F-03, NODEFAIL: at a random instant; the job ends, and the restart on another rank count has the same bits."""
    chosen = random.Random(seed)
    start = time.monotonic()
    outcome = run(2, tmp_path, during=kill(tmp_path, 30, False, chosen))
    assert outcome.code != 0 and time.monotonic() - start < 40.0
    assert record(tmp_path / "out")["status"] == "running" and checkpoints(tmp_path)
    before = record(tmp_path / "out")
    assert not before["finished"]
    outcome = restart(3 - seed, tmp_path)
    assert outcome.code == 0, outcome
    assert results(tmp_path) == reference


@pytest.mark.parametrize("ranks", [0, 2])
def test_everything_is_killed(ranks: int, tmp_path: Path, reference: dict[str, Any]) -> None:
    """F-04, F-13: the launcher too; the lock that stays is taken over."""
    outcome = run(ranks, tmp_path, during=kill(tmp_path, 45, True, random.Random(5)))
    assert outcome.code != 0 and (tmp_path / "out" / "lock").exists()
    outcome = restart(2, tmp_path)
    assert outcome.code == 0 and "took over the lock" in outcome.err + outcome.out, outcome
    assert results(tmp_path) == reference


def test_three_kills_in_a_row(tmp_path: Path, reference: dict[str, Any]) -> None:
    """NODEFAIL: killed, restarted, killed again, three times."""
    chosen = random.Random(3)
    assert run(2, tmp_path, during=kill(tmp_path, 25, False, chosen)).code != 0
    for number in (1, 2):
        hook = kill(tmp_path, step_of_newest(tmp_path) + 25, False, chosen)
        assert restart(1 + number, tmp_path, pace_s=restarts.PACE_S, during=hook).code != 0
    assert restart(2, tmp_path).code == 0
    assert results(tmp_path) == reference
    assert len(record(tmp_path / "out")["starts"]) == 4


def step_of_newest(directory: Path) -> int:
    """Step of the newest checkpoint."""
    return int(checkpoints(directory)[-1].removeprefix("step-"))


def test_no_row_is_written_twice(tmp_path: Path, reference: dict[str, Any]) -> None:
    """F-46: killed between an output and a checkpoint; the series rises, without gap or duplicate."""

    def row_beyond() -> bool:
        try:
            return 7 <= read_history(tmp_path / "out")["step"][-1] - step_of_newest(tmp_path) <= 30
        except (DiskError, IndexError):
            return False

    def during(job: subprocess.Popen) -> None:
        wait_for(row_beyond)
        os.kill(job.pid, signal.SIGKILL)

    outcome = run(0, tmp_path, "--set", "checkpoint.every=50 steps", during=during)
    assert outcome.code != 0
    rows = read_history(tmp_path / "out")["step"]
    assert rows[-1] > step_of_newest(tmp_path)
    assert restart(0, tmp_path, "--set", "checkpoint.every=20 steps").code == 0
    assert results(tmp_path)["series"] == reference["series"]
    steps = read_history(tmp_path / "out")["step"]
    assert (np.diff(steps) > 0).all() and len(set(steps.tolist())) == len(steps)
    assert list((tmp_path / "out").glob("history.after-*.csv"))


def test_run_goes_on_when_told_to(tmp_path: Path, reference: dict[str, Any]) -> None:
    """`run --resume` goes on where there is a checkpoint and starts afresh where there is none."""
    outcome = run(0, tmp_path, "--resume", during=kill(tmp_path, 45, True, random.Random(2)))
    assert outcome.code != 0
    outcome = run(2, tmp_path, "--resume", pace_s=0.0)
    assert outcome.code == 0 and "goes on from step-" in outcome.out, outcome
    assert results(tmp_path) == reference


def test_two_jobs_in_one_directory(tmp_path: Path) -> None:
    """F-14: the second is refused at once, the first one is not disturbed."""
    second: list[Any] = []

    def during(job: subprocess.Popen) -> None:
        wait_for(lambda: checkpoints(tmp_path))
        second.append(restart(0, tmp_path))

    outcome = run(0, tmp_path, during=during)
    assert outcome.code == 0 and results(tmp_path)
    assert second[0].code == 6 and "is in use by" in second[0].err and second[0].seconds < 5.0


def test_nothing_to_restart_from(tmp_path: Path) -> None:
    """F-11: no checkpoint at all is code 4 and says what to do."""
    outcome = restart(2, tmp_path)
    assert outcome.code == 4 and "no checkpoint" in outcome.err and "hpcsim run" in outcome.err, outcome


def test_a_finished_run_is_extended(tmp_path: Path) -> None:
    """ENG-01, ERS: to half, then on to the end: the bits, rows and snapshots of the longer run."""
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run(0, whole, "--set", "run.steps=150", pace_s=0.0).code == 0
    assert run(2, tmp_path, "--set", "run.steps=75", pace_s=0.0).code == 0
    assert restart(0, tmp_path).code == 0
    outcome = restart(3, tmp_path, "--set", "run.steps=150")
    assert outcome.code == 0 and "run.steps changed from 75 to 150" in outcome.out, outcome
    assert results(tmp_path) == results(whole)


def test_retries_recover_by_themselves(tmp_path: Path, reference: dict[str, Any]) -> None:
    """NODEFAIL, issue B.9: a rank is killed, the ranks are started again, the results are the same."""
    killed: list[int] = []

    def during(job: subprocess.Popen) -> None:
        for step in (45, 130):
            wait_for(lambda: step_now(tmp_path) >= step)  # noqa: B023 (called before the loop goes on)
            ranks = [pid for pid in descendants(job.pid) if is_rank(pid)]
            os.kill(ranks[-1], signal.SIGKILL)
            killed.append(ranks[-1])

    outcome = run(0, tmp_path, "--retries", "3", "--ranks", "2", during=during)
    assert outcome.code == 0 and len(killed) == 2, outcome
    assert "starts again from step" in outcome.err
    assert results(tmp_path) == reference


def is_rank(pid: int) -> bool:
    """Whether a process is a rank under a launcher."""
    try:
        return b"OMPI_COMM_WORLD_RANK" in Path(f"/proc/{pid}/environ").read_bytes() and is_python(pid)
    except OSError:
        return False


def test_retries_end_without_progress(tmp_path: Path) -> None:
    """Issue B.9: a run that dies before its first checkpoint is started twice, not for ever."""
    outcome = run(0, tmp_path, "--retries", "9", "--ranks", "2", environment={"PACE_DIE": "1"})
    assert outcome.code != 0 and outcome.err.count("starts again from") == 1, outcome
    assert "2 starts without progress" in outcome.err


def test_retries_under_a_launcher_are_refused(tmp_path: Path) -> None:
    outcome = run(2, tmp_path, "--retries", "3")
    assert outcome.code == 3 and "--retries starts the ranks itself" in outcome.err
