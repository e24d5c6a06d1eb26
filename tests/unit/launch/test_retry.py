"""Recovery from outside of MPI: start again while that helps, judge by the record, stop without progress."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpcsim.launch import retry
from hpcsim.launch.retry import Supervisor, without_options


class Job(Supervisor):
    """A supervisor whose starts are played from a list of (exit code, newest checkpoint after it)."""

    def __init__(self, root: Path, plays: list[tuple[int, int]], retries: int, asked: int = 0) -> None:
        self.lines: list[str] = []
        self.started: list[str] = []
        super().__init__(root, ["first"], ["again"], retries, self.lines.append, lambda: asked)
        self._plays, self._step = plays, -1

    def _newest(self) -> int:
        return self._step

    def _start(self, command: list[str]) -> int:
        self.started += command
        code, self._step = self._plays[len(self.started) - 1]
        return code

    def _outcome(self, code: int, before: object) -> int:
        return code


def test_a_good_run_starts_once(tmp_path):
    job = Job(tmp_path, [(0, 10)], 3)
    assert job.run() == 0 and job.started == ["first"] and not job.lines


def test_goes_on_from_the_checkpoint(tmp_path):
    job = Job(tmp_path, [(137, 10), (137, 20), (0, 30)], 3)
    assert job.run() == 0 and job.started == ["first", "again", "again"]
    assert "starts again from step 10 (retry 1 of 3)" in job.lines[0]


def test_without_a_checkpoint_it_begins_again(tmp_path):
    job = Job(tmp_path, [(137, -1), (0, 5)], 3)
    assert job.run() == 0 and job.started == ["first", "first"] and "the beginning" in job.lines[0]


def test_two_starts_without_progress_are_enough(tmp_path):
    """Issue B.9: the second start that comes no further is the last."""
    job = Job(tmp_path, [(137, 10), (137, 10), (137, 10), (0, 20)], 9)
    assert job.run() == 137 and len(job.started) == 3
    assert "2 starts without progress beyond step 10" in job.lines[-1]


def test_retries_are_counted(tmp_path):
    job = Job(tmp_path, [(1, 10), (1, 20), (1, 30)], 1)
    assert job.run() == 1 and len(job.started) == 2


@pytest.mark.parametrize("code", sorted(retry.FINAL))
def test_some_ends_are_final(tmp_path, code):
    job = Job(tmp_path, [(code, 10)], 5)
    assert job.run() == code and job.started == ["first"]


def test_a_stop_that_was_asked_for_is_no_loss(tmp_path):
    job = Job(tmp_path, [(143, 10)], 5, asked=15)
    assert job.run() == 143 and job.started == ["first"]


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        ("finished", 1, 0),
        ("stopped", 1, 75),
        ("running", 137, 137),
        ("running", 0, 70),
        ("failed", 5, 5),
        (None, 0, 70),
    ],
)
def test_the_record_decides(tmp_path, status, code, outcome):
    """F-19: success without a finished record is none."""
    if status is not None:
        (tmp_path / "run.json").write_text(f'{{"status": "{status}"}}')
    assert Supervisor(tmp_path, ["run"], ["restart"], 0, print)._outcome(code, {}) == outcome


@pytest.mark.parametrize(("code", "outcome"), [(0, 70), (1, 1), (137, 137)])
def test_the_record_of_an_earlier_run_says_nothing(tmp_path, code, outcome):
    """F-19: the start died before it wrote a record; the one that is there is old."""
    (tmp_path / "run.json").write_text('{"status": "finished"}')
    job = Supervisor(tmp_path, ["run"], ["restart"], 0, print)
    assert job._outcome(code, job._record()) == outcome


def test_going_on_with_a_run_that_had_ended_is_success(tmp_path):
    (tmp_path / "run.json").write_text('{"status": "finished"}')
    job = Supervisor(tmp_path, ["restart"], ["restart"], 0, print)
    assert job._outcome(0, job._record()) == 0


def test_exit_code_of_a_killed_process(tmp_path):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert Supervisor(tmp_path, [], [], 0, print)._start([sys.executable, "-c", kill]) == 137


def test_options_are_left_out_with_their_values():
    given = ["a.toml", "--set", "run.steps=3", "--ranks", "4", "--retries=2", "--launcher", "srun -n 4", "--quiet"]
    assert without_options(given, retry_options()) == ["a.toml", "--set", "run.steps=3", "--quiet"]


def retry_options() -> list[str]:
    """The options that only the supervisor understands."""
    return ["--retries", "--ranks", "--launcher"]
