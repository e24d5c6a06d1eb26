"""The lock of a run directory: live, dead, reused and foreign holders (F-13, F-14)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from hpcsim.errors import DiskError
from hpcsim.output.lock import Holder, RunLock, process_start
from hpcsim.output.queue import job_runs


def put(path, holder: Holder) -> None:
    path.write_text(json.dumps(asdict(holder)))


def refusal(lock: RunLock) -> str:
    """Message of a refusal, which has to come at once and leave the lock as it was."""
    before, start = lock.path.read_text(), time.monotonic()
    with pytest.raises(DiskError) as caught:
        lock.acquire()
    assert time.monotonic() - start < 2 and lock.path.read_text() == before
    assert [p.name for p in lock.path.parent.iterdir()] == [lock.path.name]
    return str(caught.value)


@pytest.fixture
def lines():
    return []


@pytest.fixture
def lock(tmp_path, lines, monkeypatch):
    for key in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(key, raising=False)

    def asks(job):
        raise AssertionError(f"nobody should ask for job {job}")

    return RunLock(tmp_path / "lock", lines.append, asks)


def taken(lock: RunLock, lines: list[str]) -> str:
    """The line of a take-over, after which the lock is ours."""
    lock.acquire()
    assert Holder.parse(lock.path.read_text()) == Holder.current()
    assert [p.name for p in lock.path.parent.iterdir()] == [lock.path.name]
    (line,) = lines
    lock.release()
    assert not lock.path.exists()
    return line


def test_a_live_holder_is_not_disturbed(lock, lines):
    """F-14."""
    with RunLock(lock.path, lines.append):
        assert f"in use by process {os.getpid()}" in refusal(lock)
    lock.acquire()
    lock.release()
    assert not lines and not lock.path.exists()


def test_two_processes(lock, tmp_path):
    """F-14 with a real second process, which is killed: then its lock is stale (F-04)."""
    code = (
        "import sys, time, pathlib; from hpcsim.output.lock import RunLock\n"
        "RunLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    )
    root = os.path.join(os.path.dirname(__file__), "..", "..", "..")
    child = subprocess.Popen([sys.executable, "-c", code, str(lock.path)], stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert child.stdout.readline() == "held\n"
        assert f"process {child.pid}" in refusal(lock)
        child.kill()
        # Not waited for yet: the dead process is still in the table as a zombie.
        end = time.monotonic() + 5
        while process_start(child.pid) is not None:
            assert time.monotonic() < end
            time.sleep(0.01)
        lock.acquire()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_dead_process(lock, lines):
    """F-13."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    put(lock.path, replace(Holder.current(), pid=gone.pid))
    assert "does not exist any more" in taken(lock, lines)


def test_number_used_again(lock, lines):
    put(lock.path, replace(Holder.current(), started=Holder.current().started - 7))
    assert "belongs to a later process" in taken(lock, lines)


def test_node_started_again(lock, lines):
    put(lock.path, replace(Holder.current(), boot="another"))
    assert "started again" in taken(lock, lines)


def test_other_host_without_a_job(lock):
    put(lock.path, replace(Holder.current(), host="elsewhere"))
    message = refusal(lock)
    assert "may be in use" in message and f"remove {lock.path}" in message


@pytest.mark.parametrize(("answer", "text"), [(True, "is in use"), (None, "may be in use")])
def test_other_host_with_a_job_that_may_run(tmp_path, lines, answer, text):
    lock = RunLock(tmp_path / "lock", lines.append, lambda job: {"41": answer}[job])
    put(lock.path, replace(Holder.current(), host="elsewhere", job="41"))
    assert text in refusal(lock)


def test_other_host_with_a_job_that_ended(tmp_path, lines):
    lock = RunLock(tmp_path / "lock", lines.append, lambda job: {"41": False}[job])
    put(lock.path, replace(Holder.current(), host="elsewhere", job="41"))
    assert "job 41" in taken(lock, lines)


def test_an_earlier_start_of_this_job(lock, lines, monkeypatch):
    """A requeued job keeps its number but may come to another node."""
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    put(lock.path, replace(Holder.current(), host="elsewhere"))
    assert "is in use" in refusal(lock)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert "earlier start of this job" in taken(lock, lines)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"host": 3}', "[" * 5000])
def test_a_lock_that_says_nothing(lock, content):
    lock.path.write_text(content)
    assert "cannot be understood" in refusal(lock)


def test_a_lock_taken_between_reading_and_removing_is_given_back(lock, lines, monkeypatch):
    put(lock.path, replace(Holder.current(), boot="another"))
    live = json.dumps(asdict(Holder.current()))
    real = os.rename

    def overtaken(source, target):
        lock.path.write_text(live)
        real(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    with pytest.raises(DiskError, match="in use by"):
        lock.acquire()
    assert lock.path.read_text() == live and not lines


def test_a_lock_that_was_taken_over_is_not_released(lock):
    lock.acquire()
    put(lock.path, replace(Holder.current(), pid=1))
    lock.release()
    assert lock.path.exists()


def squeue(folder, monkeypatch, text: str) -> None:
    """A squeue that does what the text says."""
    program = folder / "squeue"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ('[ "$*" = "-h -j 41 -o %T" ] && echo RUNNING', True),
        ("echo COMPLETING", True),
        ("echo PENDING", False),
        ("echo CANCELLED", False),
        ("true", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None),
    ],
)
def test_asking_slurm(tmp_path, monkeypatch, text, runs):
    squeue(tmp_path, monkeypatch, text)
    assert job_runs("41") is runs


def test_slurm_that_does_not_answer(tmp_path, monkeypatch):
    squeue(tmp_path, monkeypatch, "exec sleep 30")
    start = time.monotonic()
    assert job_runs("41", limit_s=0.2) is None and time.monotonic() - start < 1


def test_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert job_runs("41") is None
