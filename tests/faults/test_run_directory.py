"""One run per directory, results never mixed, disks that fill up (F-05, F-13, F-14, F-33 and the rerun of a case)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hpcsim.cli.main import main
from hpcsim.output.lock import Holder
from hpcsim.output.read import Snapshot
from tests.faults.commandline import CASE, PLAIN, PLUGIN, hpcsim, record, write_case
from tests.faults.driver import ROOT

SERIES = PLAIN.replace('every = "end"', 'every = "20 steps"') + '[diagnostics]\nevery = "10 steps"\n'


def run_here(case: Path, output: Path, *more: str) -> int:
    """One run in this process."""
    return main(["run", str(case), "--output-dir", str(output), "--quiet", *more])


def start_long_run(directory: Path) -> subprocess.Popen:
    """A run that is under way, and that takes far longer than the test."""
    case = write_case(directory, CASE, "long.toml")
    words = ["run", case, "--plugin", PLUGIN, "--output-dir", directory / "out", "--set", "run.steps=100000"]
    job = subprocess.Popen(
        [sys.executable, "-m", "hpcsim", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PAUSE_S": "0.001"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 20.0
    while not (directory / "out/run.json").exists():
        assert job.poll() is None and time.monotonic() < limit
        time.sleep(0.02)
    return job


def test_second_run_is_refused_and_a_killed_one_is_taken_over(tmp_path: Path, capsys) -> None:
    """F-13, F-14: code 6 and the holder's number while it lives; after a kill -9 the lock is taken over."""
    case, output = write_case(tmp_path), tmp_path / "out"
    job = start_long_run(tmp_path)
    try:
        before = (output / "run.json").read_bytes()
        start = time.monotonic()
        assert run_here(case, output) == 6 and time.monotonic() - start < 2.0
        assert f"{output} is in use by process {job.pid} on " in capsys.readouterr().err
        assert (output / "run.json").read_bytes() == before and not (output / "earlier-1").exists()
        assert job.poll() is None
    finally:
        job.kill()
        job.wait()
    assert (output / "lock").exists()
    assert main(["run", str(case), "--output-dir", str(output)]) == 0
    said = capsys.readouterr()
    assert f"warning: took over the lock {output}/lock: process {job.pid} on " in said.err
    assert not (output / "lock").exists() and record(output)["finished"]
    assert not record(output / "earlier-1")["finished"]


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', "[" * 100_000, "\0\xff"])
def test_lock_that_cannot_be_understood_is_refused(content: str, tmp_path: Path, capsys) -> None:
    """F-13: a damaged lock, or one of another host: asked for a decision, never waited for."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "lock").write_text(content)
    assert run_here(write_case(tmp_path), output) == 6
    assert f"If you are sure that no run writes to {output}, remove {output}/lock" in capsys.readouterr().err
    (output / "lock").write_text(json.dumps({**Holder.current().__dict__, "host": "elsewhere"}))
    assert run_here(write_case(tmp_path), output) == 6
    assert "may be in use by process" in capsys.readouterr().err


def test_two_runs_at_once_one_wins(tmp_path: Path) -> None:
    """F-14: started together, one does all and the other leaves nothing."""
    case, output = write_case(tmp_path, CASE), tmp_path / "out"
    words = ["-m", "hpcsim", "run", str(case), "--plugin", str(PLUGIN), "--output-dir", str(output), "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PAUSE_S": "0.003"}
    jobs = [subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    said = [job.communicate(timeout=30)[1].decode() for job in jobs]
    assert sorted(job.returncode for job in jobs) == [0, 6], said
    assert record(output)["finished"] and not (output / "earlier-1").exists()


def test_rerun_never_mixes_results(tmp_path: Path, capsys) -> None:
    """A shorter run after a longer one: the old results are moved aside whole, and said so; a third run moves again."""
    output = tmp_path / "out"
    case = write_case(tmp_path, SERIES)
    assert main(["run", str(case), "--output-dir", str(output)]) == 0
    assert "earlier run" not in capsys.readouterr().out
    main(["plot", str(output)])
    (output / "notes.txt").write_text("mine")
    long = {str(p.relative_to(output)): p.read_bytes() for p in output.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert main(["run", str(case), "--output-dir", str(output), "--set", "run.steps=20"]) == 0
    assert f"results of an earlier run moved to {output}/earlier-1\n" in capsys.readouterr().out
    assert sorted(p.name for p in (output / "snapshots").iterdir()) == [
        "series.vtkhdf", "step-000000.vtkhdf", "step-000020.vtkhdf",
    ]  # fmt: skip
    assert (output / "history.csv").read_text().count("\n") == 1 + 3
    aside = output / "earlier-1"
    kept = {str(p.relative_to(aside)): p.read_bytes() for p in aside.rglob("*") if p.is_file()}
    assert kept == {name: data for name, data in long.items() if name != "notes.txt"}
    assert (output / "notes.txt").exists()
    assert run_here(case, output) == 0 and record(output / "earlier-2")["steps"] == 20
    assert record(output)["steps"] == record(output / "earlier-1")["steps"] == 60


def test_blown_up_run_leaves_no_trace_in_the_next(tmp_path: Path, capsys) -> None:
    """The crash dump and the failed record go aside too; a refused case moves nothing."""
    output = tmp_path / "out"
    case = write_case(tmp_path)
    bad = ["--set", "run.dt=50.0", "--set", "run.allow_unstable=true", "--set", "run.steps=500"]
    assert run_here(case, output, *bad) == 5 and (output / "crash").is_dir()
    assert run_here(case, output, "--set", "run.dt=50.0") == 2
    assert record(output)["status"] == "blown up" and not (output / "earlier-1").exists()
    assert run_here(case, output) == 0
    assert record(output)["finished"] and not (output / "crash").exists()
    assert (output / "earlier-1/crash/rank-0.json").is_file()


def test_interrupted_move_is_completed_by_the_next_run(tmp_path: Path) -> None:
    """Killed after the record was moved: what is left has no record, cannot look finished, and goes aside next time."""
    output, case = tmp_path / "out", write_case(tmp_path, SERIES)
    assert run_here(case, output) == 0
    (output / "earlier-1").mkdir()
    (output / "run.json").rename(output / "earlier-1/run.json")
    assert run_here(case, output, "--set", "run.steps=20") == 0
    assert (output / "earlier-2/snapshots/step-000060.vtkhdf").exists()
    assert not (output / "snapshots/step-000060.vtkhdf").exists()


def test_case_file_is_not_overwritten_by_its_own_run(tmp_path: Path, capsys) -> None:
    """A case that is called config.toml, run into its own directory."""
    case = write_case(tmp_path, name="config.toml")
    text = case.read_text()
    assert run_here(case, tmp_path) == 2 and "choose another directory" in capsys.readouterr().err
    assert case.read_text() == text and [p.name for p in tmp_path.iterdir()] == ["config.toml"]
    other = write_case(tmp_path, name="other.toml")
    assert run_here(other, tmp_path) == 0 and (tmp_path / "earlier-1/config.toml").read_text() == text


@pytest.mark.parametrize("ranks", [0, 2])
def test_full_disk_at_a_snapshot(ranks: int, tmp_path: Path) -> None:
    """F-05: a file size limit met by the third snapshot: code 6 without a crash at exit; the first two stay good."""
    case, output = write_case(tmp_path, SERIES.replace("shape = [24, 18]", "shape = [64, 64]")), tmp_path / "out"
    plugin = tmp_path / "limit.py"
    # The limit is lowered when the second snapshot is there: it stands for a disk that fills up during the run.
    plugin.write_text(
        "import resource, hpcsim.output.snapshot as s\nwrite, count = s.write_snapshot, [0]\n"
        "def limited(*arguments):\n    count[0] += 1\n    if count[0] == 3:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))\n"
        "    return write(*arguments)\ns.write_snapshot = limited\n"
    )
    outcome = hpcsim(ranks, "run", case, "--output-dir", output, "--plugin", plugin)
    assert outcome.code == 6 and outcome.seconds < 10.0, outcome
    wanted = f"hpcsim: cannot write the snapshot {output}/snapshots/step-000040.vtkhdf: File too large; "
    assert outcome.err.count(wanted) == 1 and "Traceback" not in outcome.err
    state = record(output)
    assert state["status"] == "failed" and "step-000040" in state["reason"] and not state["finished"]
    left = sorted((output / "snapshots").iterdir())
    assert [path.name for path in left] == ["step-000000.vtkhdf", "step-000020.vtkhdf"]
    assert [Snapshot(path).step for path in left] == [0, 20]


def test_record_that_cannot_be_written_does_not_hide_the_first_fault(tmp_path: Path, capsys, monkeypatch) -> None:
    """F-05: the disk is full for the crash dump and the record as well: the blow-up is still what is reported."""
    case, output = write_case(tmp_path), tmp_path / "out"
    plugin = tmp_path / "limit.py"
    plugin.write_text(
        "import hpcsim.simulation.runner as r\nfrom hpcsim.errors import DiskError\n"
        "class Record(r.RunRecord):\n    def update(self, **values):\n"
        "        if values.get('status') == 'blown up':\n            raise DiskError('no space for the record')\n"
        "        super().update(**values)\n"
        "def dump(*arguments):\n    raise DiskError('no space for the dump')\n"
        "r.RunRecord, r.write_crash_dump = Record, dump\n"
    )
    words = ["--set", "run.dt=50.0", "--set", "run.allow_unstable=true", "--set", "run.steps=500"]
    outcome = hpcsim(0, "run", case, "--output-dir", output, "--plugin", plugin, *words)
    assert outcome.code == 5 and "field 'u' is " in outcome.err, outcome
    assert "warning: no space for the dump" in outcome.err and "warning: no space for the record" in outcome.err


@pytest.mark.parametrize(
    ("where", "said"),
    [("file/below", "Not a directory"), ("file", "a file of this name is in the way"), ("/proc/run", "cannot make")],
)
def test_directory_that_cannot_be_made(where: str, said: str, tmp_path: Path, capsys) -> None:
    """F-07: code 6 and what is in the way."""
    (tmp_path / "file").touch()
    assert run_here(write_case(tmp_path), tmp_path / where) == 6
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../secret.npy", "may lead out"),
        ("{root}/secret.npy", "may lead out"),
        ("sub/../../secret.npy", "may lead out"),
        ("~/secret.npy", "may lead out"),
        ("link.npy", "is a link that leads out"),
        ("sub/secret.npy", "is a link that leads out"),
        ("/dev/zero", "may lead out"),
        ("pipe", "is not a regular file"),
        ("sub", ""),
        ("a\x00b", "control character"),
        ("", "empty"),
    ],
)
def test_initial_file_stays_beside_the_case(name: str, said: str, tmp_path: Path, capsys) -> None:
    """F-33: a case cannot make the program read elsewhere, even what would fit, nor wait for a pipe or a device."""
    inner = tmp_path / "inner"
    inner.mkdir()
    np.save(tmp_path / "secret.npy", np.ones((24, 18)))
    (inner / "link.npy").symlink_to(tmp_path / "secret.npy")
    (inner / "sub").symlink_to(tmp_path)
    np.save(inner / "own.npy", np.ones((24, 18)))
    os.mkfifo(inner / "pipe")

    def reading(path: str) -> Path:
        given = f'u = {{ kind = "file", path = {json.dumps(path)} }}'
        return write_case(inner, PLAIN.replace('u = "sin(2*pi*x/24) + 0.1*y"', given))

    assert main(["check", str(reading("own.npy"))]) == 0
    case = reading(name.format(root=tmp_path))
    start = time.monotonic()
    assert main(["check", str(case)]) == 2 and run_here(case, tmp_path / "out") == 2
    assert time.monotonic() - start < 2.0
    message = capsys.readouterr().err
    assert message.count("initial.u.path: ") == 2 and said in message and not (tmp_path / "out").exists(), message


@pytest.mark.nightly
@pytest.mark.parametrize("wait_s", [0.2, 0.5, 0.8, 1.1])
def test_killed_run_leaves_a_directory_that_can_be_used(wait_s: float, tmp_path: Path) -> None:
    """F-04: kill -9 at several moments; the next run finishes and nothing of the killed one is in its way."""
    case, output = write_case(tmp_path, SERIES), tmp_path / "out"
    for _ in range(5):
        words = ["run", str(case), "--output-dir", str(output), "--set", "run.steps=4000"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        job = subprocess.Popen([sys.executable, "-m", "hpcsim", *words], env=environment, stdout=subprocess.DEVNULL)
        time.sleep(wait_s)
        job.send_signal(signal.SIGKILL)
        job.wait()
    assert run_here(case, output) == 0
    assert len(list((output / "snapshots").glob("step-*"))) == 4
