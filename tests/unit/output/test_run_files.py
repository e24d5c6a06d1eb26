"""The run directory, its record, logs, progress and provenance (F-05, F-33, need 29, need 33)."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError
from hpcsim.output import provenance
from hpcsim.output.directory import RunDirectory, safe_path
from hpcsim.output.files import preallocate, write_all
from hpcsim.output.log import Log, parse_ranks
from hpcsim.output.progress import Progress
from hpcsim.output.record import RunRecord, config_digest, read_record


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/passwd", "", "a\0b", "~/a", "a\nb", "x" * 300, "out/a", ".."]
)
def test_paths_that_leave_are_refused(tmp_path, name):
    """F-33."""
    (tmp_path / "run").mkdir()
    os.symlink(tmp_path, tmp_path / "run" / "out")
    with pytest.raises(ConfigError, match="file name"):
        safe_path(tmp_path / "run", name)


def test_devices_are_refused(tmp_path):
    """F-33: opening a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="device"):
        safe_path(tmp_path, "pipe")


@pytest.mark.parametrize("name", ["a.csv", "deep/b-1.txt", "größe.csv", "with blank"])
def test_paths_inside_are_taken(tmp_path, name):
    assert RunDirectory(tmp_path).inside(name) == tmp_path / name


def test_directory_is_made_and_tried(tmp_path):
    directory = RunDirectory(tmp_path / "a b" / "ü")
    with Context.serial() as context:
        directory.create(context)
        directory.create(context)
        assert directory.root.is_dir() and not list(directory.root.iterdir())
        (tmp_path / "file").touch()
        with pytest.raises(DiskError, match="cannot make the run directory .*file"):
            RunDirectory(tmp_path / "file" / "run").create(context)
    places = {directory.record, directory.lock, directory.watchdog, directory.config, directory.history("hdf5")}
    assert {p.name for p in places} == {"run.json", "lock", "watchdog", "config.toml", "history.h5"}


def test_record_has_its_keys_from_the_start(tmp_path):
    record = RunRecord(tmp_path / "run.json", ranks=4, threads=2, config_digest=config_digest("a"))
    record.update(status="running")
    promised = "finished steps time ranks threads wall_s steps_wall_s compile_s cells_per_s bytes_per_cell_step digest"
    found = read_record(tmp_path)
    assert set(promised.split()) <= set(found) and {"status", "reason", "config_digest"} <= set(found)
    assert found["finished"] is False and found["ranks"] == 4
    record.finish(steps=np.int64(7), time=np.float64(0.5), digest={"u": "ff"}, out=Path("a"))
    found = read_record(tmp_path / "run.json")
    assert (found["finished"], found["status"], found["steps"], found["digest"]) == (True, "finished", 7, {"u": "ff"})


def test_record_is_never_seen_half_written(tmp_path):
    """A reader in a loop sees whole records only."""
    record = RunRecord(tmp_path / "run.json", filler="x" * 100_000)
    record.update(steps=0)
    faults = []
    done = threading.Event()

    def read():
        while not done.is_set():
            try:
                faults.extend([] if len(read_record(tmp_path)["filler"]) == 100_000 else ["short"])
            except DiskError as error:
                faults.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(50):
        record.update(steps=step)
    done.set()
    reader.join()
    assert not faults and [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_record_that_cannot_be_written_keeps_the_old_one(tmp_path, monkeypatch):
    """F-05."""
    record = RunRecord(tmp_path / "run.json")
    record.update(steps=1)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="run.json: No space"):
        record.update(steps=2)
    assert read_record(tmp_path)["steps"] == 1 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_what_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DiskError, match="no run record"):
        read_record(tmp_path)


def test_only_the_first_rank_prints_and_each_keeps_a_log(tmp_path, capsys):
    """Need 29."""
    for rank in range(3):
        log = Log(rank, tmp_path / "logs")
        log.info(f"hello from {rank}")
        log.note("for the file")
        log.warn("odd")
        log.close()
    shown = capsys.readouterr()
    assert shown.out == "hello from 0\n" and shown.err == "warning: odd\n"
    assert sorted(p.name for p in (tmp_path / "logs").iterdir()) == [f"rank-{n}.log" for n in range(3)]
    lines = (tmp_path / "logs" / "rank-2.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["hello from 2", "for the file", "warning: odd"]


def test_chosen_ranks_print_with_their_number(capsys):
    for rank in range(3):
        Log(rank, ranks=parse_ranks("0,2", 3)).info("here")
    assert capsys.readouterr().out == "[0] here\n[2] here\n"


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path, capsys):
    (tmp_path / "logs").touch()
    log = Log(0, tmp_path / "logs")
    log.info("one")
    log.info("two")
    shown = capsys.readouterr()
    assert shown.out == "one\ntwo\n" and shown.err.count("keeps no log") == 1


@pytest.mark.parametrize("text", ["", "a", "4", "2-1", "1-2-3", "0,,1", "-1"])
def test_ranks_that_do_not_exist_are_refused(text):
    with pytest.raises(ConfigError, match="log-ranks"):
        parse_ranks(text, 4)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_progress_lines_in_batch():
    """Need 29: a line per interval, no control characters."""
    stream, clock = io.StringIO(), Clock()
    progress = Progress(100, 1000, interval_s=10, bytes_per_cell_step=16, bandwidth=1.6e5, stream=stream, clock=clock)
    for step in range(1, 51):
        clock.now = step * 0.5
        progress.update(step, 0.01 * step)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3 and "\r" not in stream.getvalue()
    assert lines[0] == "step 20/100  t = 0.2  ETA 0:40  2 kcells/s  20 % of memory bandwidth"
    assert lines[-1].startswith("step 50/100  t = 0.5  ETA 0:25")


def test_progress_bar_on_a_terminal():
    stream, clock = Terminal(), Clock()
    progress = Progress(100, 1000, first=50, stream=stream, clock=clock)
    clock.now = 0.1
    progress.update(51, 0.0)
    assert stream.getvalue() == ""
    clock.now = 5.0
    progress.update(75, 1.0)
    assert stream.getvalue().startswith("\r[############............] step 75/100") and "ETA 0:05" in stream.getvalue()
    progress.close()
    assert stream.getvalue().endswith("\n") and "bandwidth" not in stream.getvalue()


def make_git(folder: Path) -> Path:
    git = folder / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    return git


def test_commit_from_the_files_of_git(tmp_path):
    """Need 33, need 37: no process is started."""
    assert provenance.commit(tmp_path) is None or (tmp_path.parents[0] / ".git").exists()
    git, inner = make_git(tmp_path), tmp_path / "src" / "deep"
    inner.mkdir(parents=True)
    assert provenance.commit(inner) is None
    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/other\n{'b' * 40} refs/heads/main\n")
    assert provenance.commit(inner) == "b" * 40
    (git / "refs" / "heads" / "main").write_text("c" * 40 + "\n")
    assert provenance.commit(inner) == "c" * 40
    (git / "HEAD").write_text("d" * 40 + "\n")
    assert provenance.commit(inner) == "d" * 40


def test_commit_of_a_linked_working_copy(tmp_path):
    git = make_git(tmp_path / "main")
    (git / "refs" / "heads" / "topic").write_text("e" * 40)
    own = git / "worktrees" / "w"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/topic\n")
    (own / "commondir").write_text("../..\n")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_text(f"gitdir: {own}\n")
    assert provenance.commit(tmp_path / "w") == "e" * 40


def test_provenance_is_json(monkeypatch):
    monkeypatch.setenv("LOADEDMODULES", "gcc/12:openmpi/4")
    with Context.serial() as context:
        facts = provenance.provenance(context)
    assert json.loads(json.dumps(facts)) == facts and facts["modules"] == ["gcc/12", "openmpi/4"]
    assert {"hpcsim", "python", "numpy", "numba", "mpi4py", "h5py", "mpi", "hdf5"} <= set(facts["versions"])
    assert facts["versions"]["numpy"] == np.__version__ and len(facts["hosts"]) == len(facts["binding"]) == 1


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, offset: real(handle, data[:3], offset))
    with open(tmp_path / "f", "wb") as stream:
        write_all(stream.fileno(), np.arange(10, dtype=np.int32), 4)
    assert np.array_equal(np.fromfile(tmp_path / "f", np.int32)[1:], np.arange(10))


@pytest.mark.parametrize("native", [True, False])
def test_reservation(tmp_path, monkeypatch, native):
    """Space is there afterwards, what was written stays, and more than the disk has is refused."""
    if not native:
        monkeypatch.setattr("hpcsim.output.files._native_fallocate", lambda: None)
    with open(tmp_path / "f", "w+b") as stream:
        stream.write(b"abc")
        stream.flush()
        preallocate(stream.fileno(), 100_000)
        assert os.fstat(stream.fileno()).st_size == 100_000 and os.pread(stream.fileno(), 4, 0) == b"abc\0"
        with pytest.raises(OSError):
            preallocate(stream.fileno(), 1 << 60)
