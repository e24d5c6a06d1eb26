"""Checkpoints of a run loop: when they come, what they cost, what a failure does (F-05, F-45, issue B.1)."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Simulation
from hpcsim.cli.main import main
from hpcsim.errors import BlowUpError, DiskError
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.verify import verify
from hpcsim.output.read import Snapshot
from hpcsim.output.record import read_record

CASE = """
[lattice]
shape = [24, 20]
boundary = "periodic"
[model]
name = "diffusion"
[initial]
u = "sin(2*pi*x/24)"
[run]
steps = 100
backend = "numpy"
"""


OFF = 'checkpoint.background="off"'


def run(directory: Path, *settings: str, case: str = CASE) -> int:
    """Run the case with some settings of the section ``[checkpoint]`` and others; the exit code."""
    path = directory / "case.toml"
    path.write_text(case)
    changes = [word for setting in settings for word in ("--set", setting)]
    return main(["run", str(path), "--quiet", "--output-dir", str(directory / "out"), *changes])


def steps(directory: Path) -> list[int]:
    """Steps of the checkpoints, the oldest first; each of them must be good."""
    store = CheckpointStore(directory / "out" / "ckpt")
    assert all(not verify(store, name) for name in store.names())
    return sorted(store.read_manifest(name).step for name in store.names())


def test_every_so_many_steps_and_at_the_end(tmp_path):
    assert run(tmp_path, 'checkpoint.every="30 steps"', "checkpoint.keep=9", OFF) == 0
    assert steps(tmp_path) == [30, 60, 90, 100]
    record = read_record(tmp_path / "out")
    assert record["checkpoints"]["accepted"] == 4 and record["checkpoint"] == "step-00000100"
    assert 0.0 < record["checkpoints"]["stall_s"] < record["wall_s"]


@pytest.mark.parametrize("background", ["on", "auto"])
def test_in_the_background(tmp_path, background):
    """The first one comes at its step; one that is due while another is being written comes as soon as it can."""
    settings = ['checkpoint.every="30 steps"', "checkpoint.keep=9", f'checkpoint.background="{background}"']
    assert run(tmp_path, *settings) == 0
    found = steps(tmp_path)
    assert found[0] == 30 and found[-1] == 100 and len(found) >= 2


def test_by_simulated_time(tmp_path):
    assert run(tmp_path, 'checkpoint.every="t=5"', "checkpoint.keep=99", "run.dt=0.2", OFF) == 0
    assert steps(tmp_path) == [25, 50, 75, 100]


def test_by_wall_time(tmp_path):
    assert run(tmp_path, 'checkpoint.every="0.001 s"', "checkpoint.keep=99") == 0
    assert len(steps(tmp_path)) > 2


def test_only_at_the_end(tmp_path):
    assert run(tmp_path, 'checkpoint.every="end"', "checkpoint.at_end=false") == 0
    assert steps(tmp_path) == [100]


def test_not_at_the_end(tmp_path):
    assert run(tmp_path, 'checkpoint.every="40 steps"', "checkpoint.at_end=false", OFF) == 0
    assert steps(tmp_path) == [40, 80]


def test_never(tmp_path):
    assert run(tmp_path, "checkpoint.enabled=false") == 0
    assert not (tmp_path / "out" / "ckpt").exists()


def test_the_newest_stay(tmp_path):
    assert run(tmp_path, 'checkpoint.every="10 steps"', "checkpoint.keep=3", OFF) == 0
    assert steps(tmp_path) == [80, 90, 100]


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ('checkpoint.mode="shard"', "did you mean 'shards'"), ('checkpoint.codec="zst"', "zst"),
        ('checkpoint.codec="wavelet"', "lossless"), ("checkpoint.keep=1", "checkpoint.keep"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_by_the_check(tmp_path, capsys, setting, place):
    path = tmp_path / "case.toml"
    path.write_text(CASE)
    assert main(["check", str(path), "--set", setting]) == 2
    assert "checkpoint." in (said := capsys.readouterr().err) and place in said


@pytest.mark.parametrize("key", ['background="on"', "writers_per_node=2"])
def test_keys_that_exclude_each_other_are_refused(tmp_path, capsys, key):
    path = tmp_path / "case.toml"
    path.write_text(CASE)
    assert main(["check", str(path), "--set", 'checkpoint.mode="collective"', "--set", f"checkpoint.{key}"]) == 2
    assert "shards" in capsys.readouterr().err


def fail_once(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let one fsync of a checkpoint fail as on a full disk."""
    fsync, count = io.fsync, [0]

    def broken(*arguments: Any) -> None:
        count[0] += 1
        if count[0] == at:
            raise OSError(28, "No space left on device")
        fsync(*arguments)

    monkeypatch.setattr(io, "fsync", broken)


@pytest.mark.parametrize("background", ["on", "off"])
def test_a_failure_costs_one_checkpoint(tmp_path, monkeypatch, capsys, background):
    """F-05: the older one stays, the run goes on and says so."""
    fail_once(monkeypatch, 1)
    settings = ['checkpoint.every="40 steps"', f'checkpoint.background="{background}"', "checkpoint.keep=5"]
    assert run(tmp_path, *settings) == 0
    found = steps(tmp_path)
    assert 40 not in found and found[-1] == 100
    assert read_record(tmp_path / "out")["checkpoints"]["refused"] == 1
    log = (tmp_path / "out" / "logs" / "rank-0.log").read_text()
    assert "checkpoint of step 40 was not written" in log and "No space left" in log


def test_a_failure_ends_the_run_if_told_so(tmp_path, monkeypatch, capsys):
    """F-05: policy ``stop``: code 6, nothing half-written."""
    fail_once(monkeypatch, 1)
    settings = ['checkpoint.every="40 steps"', 'checkpoint.on_failure="stop"', 'checkpoint.background="off"']
    assert run(tmp_path, *settings) == DiskError.exit_code
    assert steps(tmp_path) == [] and not read_record(tmp_path / "out")["finished"]
    assert not list((tmp_path / "out" / "ckpt").iterdir())


def test_a_state_that_is_not_finite_is_never_saved(tmp_path, capsys):
    """F-24, protocol step 1: the run ends with code 5, and what is there is from before."""
    settings = ['checkpoint.every="5 steps"', "run.check_finite_every=0", "run.dt=20.0", "run.allow_unstable=true"]
    assert run(tmp_path, *settings, "run.steps=2000", OFF) == BlowUpError.exit_code
    blown = read_record(tmp_path / "out")["steps"]
    assert steps(tmp_path)[-1] == blown - 5
    simulation = Simulation.restore(tmp_path / "out")
    assert np.isfinite(simulation["u"]).all()


def test_a_slow_disk_never_makes_a_queue(tmp_path, monkeypatch):
    """F-45: while one is being written others wait; none is lost, and the steps go on meanwhile."""
    fsync, open_now, most = io.fsync, [0], [0]

    def slow(*arguments: Any) -> None:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        time.sleep(0.05)
        fsync(*arguments)
        open_now[0] -= 1

    monkeypatch.setattr(io, "fsync", slow)
    settings = ['checkpoint.every="1 steps"', 'checkpoint.background="on"', "run.steps=2000"]
    assert run(tmp_path, *settings) == 0
    record = read_record(tmp_path / "out")["checkpoints"]
    assert most[0] == 1 and 2 <= record["accepted"] < 500
    assert steps(tmp_path)[-1] == 2000


def test_a_restart_of_a_finished_run_touches_nothing(tmp_path, capsys):
    assert run(tmp_path) == 0
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main(["restart", str(out)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_run_lost_at_its_very_end_is_finished(tmp_path):
    """F-03: killed between the last checkpoint and the record: the restart writes the last results and the record."""
    assert run(tmp_path) == 0
    out = tmp_path / "out"
    record = read_record(out)
    (out / "run.json").write_text(json.dumps({**record, "status": "running", "finished": False}))
    final = out / "snapshots" / "step-000100.vtkhdf"
    whole = Snapshot(final).read("u")
    final.unlink()
    assert main(["restart", str(out), "--quiet"]) == 0
    again = read_record(out)
    assert again["finished"] and again["digest"] == record["digest"] and len(again["starts"]) == 2
    assert (Snapshot(final).read("u") == whole).all()


def test_everything_that_matters_is_in_it(tmp_path):
    """Issue B.1: clock, schedules, positions of the results, configuration, directory of the case."""
    assert run(tmp_path, 'checkpoint.every="40 steps"') == 0
    store = CheckpointStore(tmp_path / "out" / "ckpt")
    manifest = store.read_manifest(store.names()[0])
    assert set(manifest.state) == {"clock", "case", "outputs", "checkpoints"}
    assert manifest.state["clock"]["step"] == 100 and manifest.state["case"]["directory"] == str(tmp_path)
    assert 'name = "diffusion"' in manifest.config and manifest.versions["hpcsim"]
    assert json.dumps(manifest.state)
