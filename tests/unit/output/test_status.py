"""What ``hpcsim status`` knows of a run: alive, lost, ended, how far, how fast."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hpcsim.cli.main import main
from hpcsim.errors import DiskError
from hpcsim.output.lock import RunLock
from hpcsim.output.record import RunRecord
from hpcsim.output.status import StatusFile, describe_status, read_status

FACTS = {
    "step": 50, "first_step": 10, "last_step": 90, "time": 5.0, "stop_time": None, "ranks": 2, "wall_s": 8.0,
    "steps_wall_s": 4.0, "cells": 1000, "checkpoint": "step-00000040",
}  # fmt: skip


def live_run(root: Path, status: str = "running", **facts: object) -> Path:
    """A run directory as a live run leaves it."""
    RunRecord(root / "run.json", status=status, steps=10, checkpoint="step-00000010").update()
    StatusFile(root / "status.json").update(**{**FACTS, **facts})
    return root


def test_a_live_run_tells_speed_and_time_to_go(tmp_path):
    facts = read_status(live_run(tmp_path))
    assert facts["step"] == 50 and facts["steps_per_s"] == pytest.approx(5.0)
    assert facts["cells_per_s"] == pytest.approx(1000 * 40 / 4.0) and facts["checkpoint"] == "step-00000040"
    assert facts["age_s"] < 60.0


def test_a_run_whose_process_is_gone_is_lost(tmp_path):
    facts = read_status(live_run(tmp_path))
    assert facts["status"] == "lost" and facts["eta_s"] is None
    assert "hpcsim restart" in describe_status(facts)


def test_a_run_whose_process_lives_is_running(tmp_path):
    with RunLock(tmp_path / "lock", print):
        facts = read_status(live_run(tmp_path))
    assert facts["status"] == "running" and facts["eta_s"] == pytest.approx(8.0)
    assert "0:08" in describe_status(facts)


def test_time_to_go_of_adaptive_steps_follows_the_time(tmp_path):
    with RunLock(tmp_path / "lock", print):
        facts = read_status(live_run(tmp_path, last_step=None, stop_time=10.0))
    # Half of the time took 50 steps; 50 more at 5 steps a second.
    assert facts["eta_s"] == pytest.approx(10.0)


def test_an_ended_run_says_how(tmp_path):
    RunRecord(tmp_path / "run.json", status="stopped", reason="SIGUSR1", steps=30, time=3.0).update()
    text = describe_status(read_status(tmp_path))
    assert "stopped (SIGUSR1)" in text and "30" in text and "none yet" in text


def test_news_come_at_most_once_a_second(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    status = StatusFile(tmp_path / "status.json")
    for step in range(10):
        status.update(step=step)
        now[0] += 0.3
    assert json.loads(status.path.read_text())["step"] == 8
    status.update(step=99, force=True)
    assert json.loads(status.path.read_text())["step"] == 99


def test_a_full_disk_does_not_end_a_run(tmp_path, monkeypatch):
    """F-05: news are not worth a run."""

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    StatusFile(tmp_path / "status.json").update(step=1)
    assert not list(tmp_path.iterdir())


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(DiskError, match="no run record"):
        read_status(tmp_path)


def test_the_verb(tmp_path, capsys):
    assert main(["status", str(live_run(tmp_path)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 50
