"""Runs that are asked to stop, by a signal, a file or the end of their time, and go on as if nothing had been."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import restarts
from tests.faults.commandline import record
from tests.faults.driver import descendants
from tests.faults.restarts import checkpoints, restart, results, run, step_now, wait_for

STOPPED = 75


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run without a stop gives."""
    directory = tmp_path_factory.mktemp("reference")
    outcome = run(0, directory, pace_s=0.0)
    assert outcome.code == 0, outcome.err
    return results(directory)


def send(number: int, directory: Path, step: int, twice: bool = False, to_ranks: bool = False) -> Any:
    """A job hook that sends a signal once the run has come so far."""

    def during(job: subprocess.Popen) -> None:
        wait_for(lambda: step_now(directory) >= step)
        # Signals of a launcher go to its ranks; some tests address these themselves, as SLURM does.
        targets = [pid for pid in descendants(job.pid) if is_python(pid)] if to_ranks else [job.pid]
        for _ in range(1 + twice):
            for pid in targets:
                os.kill(pid, number)
            time.sleep(0.02)

    return during


def is_python(pid: int) -> bool:
    """Whether a process is one of ours."""
    return b"hpcsim" in Path(f"/proc/{pid}/cmdline").read_bytes()


def check_stop(outcome: Any, directory: Path, reason: str) -> int:
    """A clean stop: record, checkpoint of the very step, no lock; the step."""
    state = record(directory / "out")
    assert state["status"] == "stopped" and state["reason"] == reason and not state["finished"], (state, outcome)
    assert checkpoints(directory)[-1] == state["checkpoint"] == f"step-{state['steps']:08d}"
    assert not (directory / "out" / "lock").exists()
    assert 0 < state["steps"] < restarts.STEPS
    return int(state["steps"])


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_signal_without_a_launcher(
    number: signal.Signals, twice: bool, tmp_path: Path, reference: dict[str, Any]
) -> None:
    """F-15: one process; a second signal does no harm; code 75; the restart ends with the same results."""
    outcome = run(0, tmp_path, during=send(number, tmp_path, 30, twice))
    assert outcome.code == STOPPED and "Traceback" not in outcome.err, outcome
    check_stop(outcome, tmp_path, number.name)
    assert outcome.err.count("stops after this step") == 1
    assert restart(0, tmp_path).code == 0
    assert results(tmp_path) == reference


@pytest.mark.parametrize("twice", [False, True])
def test_usr1_to_the_launcher(twice: bool, tmp_path: Path, reference: dict[str, Any]) -> None:
    """F-15: mpirun hands USR1 to all ranks; same step everywhere, code 75."""
    outcome = run(3, tmp_path, during=send(signal.SIGUSR1, tmp_path, 30, twice))
    assert outcome.code == STOPPED, outcome
    check_stop(outcome, tmp_path, "SIGUSR1")
    assert restart(2, tmp_path).code == 0
    assert results(tmp_path) == reference


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signal_to_every_rank(number: signal.Signals, tmp_path: Path, reference: dict[str, Any]) -> None:
    """F-15: as SLURM does; twice, for mpirun passes it on as well."""
    outcome = run(2, tmp_path, during=send(number, tmp_path, 30, twice=True, to_ranks=True))
    assert outcome.code == STOPPED, outcome
    check_stop(outcome, tmp_path, number.name)
    assert restart(3, tmp_path).code == 0
    assert results(tmp_path) == reference


def test_signal_to_one_rank_stops_all(tmp_path: Path) -> None:
    """F-15: one rank is told, all stop at the same step."""

    def during(job: subprocess.Popen) -> None:
        wait_for(lambda: step_now(tmp_path) >= 30)
        os.kill([pid for pid in descendants(job.pid) if is_python(pid)][-1], signal.SIGUSR1)

    outcome = run(3, tmp_path, during=during)
    assert outcome.code == STOPPED, outcome
    check_stop(outcome, tmp_path, "SIGUSR1")


def test_term_to_the_launcher(tmp_path: Path, reference: dict[str, Any]) -> None:
    """F-15: mpirun kills its ranks a second after TERM; what counts is that the checkpoints are good."""
    outcome = run(2, tmp_path, during=send(signal.SIGTERM, tmp_path, 45))
    assert outcome.code != 0
    assert record(tmp_path / "out")["status"] in ("stopped", "running")
    assert restart(2, tmp_path).code == 0
    assert results(tmp_path) == reference


def early(number: int, delay_s: float) -> Any:
    """A job hook that sends a signal so long after the start."""

    def during(job: subprocess.Popen) -> None:
        time.sleep(delay_s)
        if job.poll() is None:
            os.kill(job.pid, number)

    return during


@functools.cache
def delays() -> list[float]:
    """Times after the start at which signals come: while modules load, kernels load, steps run."""
    chosen = random.Random(11)
    return [round(chosen.uniform(0.1, 0.9), 3) for _ in range(40)]


@pytest.mark.parametrize(
    ("place", "number"),
    [
        pytest.param(place, number, marks=[pytest.mark.nightly] * (place > 3))
        for place in range(40)
        for number in (signal.SIGUSR1, signal.SIGINT)
        if place % 2 == (number == signal.SIGINT)
    ],
)
def test_signal_at_any_time(place: int, number: signal.Signals, tmp_path: Path) -> None:
    """F-15: during import, compilation, the first output: stopped cleanly with a checkpoint, never half."""
    outcome = run(0, tmp_path, during=early(number, delays()[place]))
    assert outcome.code == STOPPED and "Traceback" not in outcome.err, outcome
    state = record(tmp_path / "out")
    assert state["status"] == "stopped" and checkpoints(tmp_path)[-1] == state["checkpoint"]
    assert state["steps"] == int(state["checkpoint"].removeprefix("step-"))


def test_stop_file(tmp_path: Path, reference: dict[str, Any]) -> None:
    """A file named stop in the run directory works like USR1, and is gone afterwards."""

    def during(job: subprocess.Popen) -> None:
        wait_for(lambda: step_now(tmp_path) >= 30)
        (tmp_path / "out" / "stop").touch()

    outcome = run(2, tmp_path, during=during)
    assert outcome.code == STOPPED, outcome
    check_stop(outcome, tmp_path, "stop file")
    assert not (tmp_path / "out" / "stop").exists()
    assert restart(2, tmp_path).code == 0
    assert results(tmp_path) == reference


def test_end_of_the_wall_time(tmp_path: Path, reference: dict[str, Any]) -> None:
    """F-16: stops with a margin before the time is over, no step lost."""
    start = time.monotonic()
    outcome = run(2, tmp_path, "--walltime", "5", pace_s=0.02)
    seconds = time.monotonic() - start
    assert outcome.code == STOPPED and seconds < 5.5, outcome
    check_stop(outcome, tmp_path, "end of the wall time")
    assert restart(2, tmp_path).code == 0
    assert results(tmp_path) == reference


def test_end_of_the_slurm_job(tmp_path: Path) -> None:
    """F-16: SLURM's end time is known without an option."""
    ends = {"SLURM_JOB_END_TIME": str(int(time.time()) + 5)}
    outcome = run(0, tmp_path, pace_s=0.02, environment=ends)
    assert outcome.code == STOPPED, outcome
    check_stop(outcome, tmp_path, "end of the wall time")


@pytest.mark.parametrize("text", ["soon", "-1", "0"])
def test_walltime_that_is_none(text: str, tmp_path: Path) -> None:
    outcome = run(0, tmp_path, f"--walltime={text}")
    assert outcome.code == 2 and "--walltime" in outcome.err and not (tmp_path / "out" / "run.json").exists()
