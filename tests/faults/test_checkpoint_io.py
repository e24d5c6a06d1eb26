"""Checkpoints under kills and on full disks: what is accepted is right, the rest leaves nothing (F-02, 04 to 06, 40).

"Restorable" means: the newest checkpoint ever accepted loads without a fallback, and every value of it is right.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.layout import make_layout
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.load import restore
from hpcsim.output.checkpoint.modes import MODES
from hpcsim.output.checkpoint.store import CheckpointStore
from tests.faults.cases.checkpoint import NAMES, lattice, values
from tests.faults.driver import Outcome, descendants, run_ranks
from tests.unit.output.checkpoint.writing import CALLS, WAYS, Run, left_over

# Large enough that a kill at a random time falls into a checkpoint.
CELLS = 64
TO_END_S = 5.0
DISK_BYTES = 20 << 20
FULL_CELLS = 92
LAYERS = ("ompio", "romio321")
REFUSING_LOCKS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
int flock(int fd, int how) { errno = ENOLCK; return -1; }
static int locks(int what) {
    return what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK || what == F_OFD_SETLKW;
}
int fcntl(int fd, int what, ...) {
    va_list list; va_start(list, what); void *given = va_arg(list, void *); va_end(list);
    if (locks(what)) { errno = ENOLCK; return -1; }
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl"))(fd, what, given);
}
int fcntl64(int fd, int what, ...) {
    va_list list; va_start(list, what); void *given = va_arg(list, void *); va_end(list);
    if (locks(what)) { errno = ENOLCK; return -1; }
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64"))(fd, what, given);
}
"""


def reports(outcome: Outcome) -> list[dict[str, Any]]:
    """What rank 0 said of each checkpoint."""
    return [json.loads(line) for line in outcome.out.splitlines() if line.startswith("{") and line.endswith("}")]


def restored_step(directory: Path, cells: int) -> int:
    """Step of the checkpoint that a restart takes, after every value was compared; a fallback is a failure."""
    store, lines = CheckpointStore(directory), []
    held = {name: np.full((cells,) * 3, np.nan) for name in NAMES}
    layout = make_layout(lattice(cells), 1)
    specs = {name: FieldSpec(name) for name in NAMES}
    names, _ = store.candidates()
    with Context.serial() as context:
        manifest = restore(context, store, names, layout, specs, lambda name, block: [held[name]], lines.append)
    assert not lines
    for name in NAMES:
        expected = values((0,) * 3, (cells,) * 3, name, manifest.step)
        wrong = int((held[name] != expected).sum())
        assert wrong == 0, f"{wrong} wrong values of {name} at step {manifest.step}"
    return manifest.step


class Killer:
    """Kills one rank, or all of the job, some time after its first checkpoint is there."""

    def __init__(self, directory: Path, ranks: int, wait_s: float, victims: str = "one") -> None:
        self.directory = directory
        self.ranks = ranks
        self.wait_s = wait_s
        self.victims = victims
        self.at = 0.0

    def __call__(self, job: subprocess.Popen) -> None:
        for path in self.directory.glob(".pid-*"):
            path.unlink()
        end = time.monotonic() + 20
        while len(list(self.directory.glob(".pid-*"))) < self.ranks or not (self.directory / "CURRENT").exists():
            assert time.monotonic() < end and job.poll() is None, "the job never began"
            time.sleep(0.002)
        time.sleep(self.wait_s)
        if self.victims == "one":
            chosen = [int((self.directory / f".pid-{random.randrange(self.ranks)}").read_text())]
        else:
            # The launcher first: nobody is left to tell the ranks.
            chosen = [job.pid, *descendants(job.pid)]
        self.at = time.monotonic()
        for pid in chosen:
            os.kill(pid, signal.SIGKILL)


def killed_again_and_again(
    directory: Path, mode: str, kills: int, *words: str, victims: str = "one"
) -> tuple[list[float], int]:
    """Kill jobs that go on in one directory. A bad restart is a failed assertion.

    Gives the seconds that each took to end, and how many were killed within a checkpoint.
    """
    rng, seconds, last, within = random.Random(mode), [], 0, 0
    directory.mkdir()
    for number in range(kills):
        ranks = 2 + number % 3
        killer = Killer(directory, ranks, rng.uniform(0.0, 0.6), victims)
        arguments = (str(directory), mode, "1", str(CELLS), "forever", *words)
        outcome = run_ranks(ranks, "checkpoint", *arguments, during=killer)
        seconds.append(time.monotonic() - killer.at)
        assert outcome.code != 0 and seconds[-1] <= TO_END_S, (outcome, seconds[-1])
        within += any(name.startswith(".tmp-") for name in os.listdir(directory))
        accepted = [int(report["name"][5:]) for report in reports(outcome) if report["accepted"]]
        step = restored_step(directory, CELLS)
        # One more than was reported may be accepted: the rank may be killed before it can say so.
        assert max([last, *accepted]) <= step <= max([last, *accepted]) + 1
        last = step
    outcome = run_ranks(3, "checkpoint", str(directory), mode, "1", str(CELLS), *words)
    assert outcome.code == 0 and restored_step(directory, CELLS) == last + 1
    assert not [name for name in left_over(directory) if not name.startswith(".pid")]
    return seconds, within


KILLS = [("shards", ()), ("shards", ("beside",)), ("collective", ())]


@pytest.mark.parametrize(("mode", "words"), KILLS)
def test_a_rank_killed_at_any_time(tmp_path: Path, mode: str, words: tuple[str, ...], record_property: Any) -> None:
    """F-02: the job ends within 5 s, and the newest accepted checkpoint is restorable on one rank."""
    kills = 5 if mode == "shards" else 10
    record_property("tried", kills)
    killed_again_and_again(tmp_path / "ckpt", mode, kills, *words)


@pytest.mark.nightly
@pytest.mark.parametrize(("mode", "words"), KILLS)
def test_a_rank_killed_at_any_time_200_times(
    tmp_path: Path, mode: str, words: tuple[str, ...], capsys: Any, record_property: Any
) -> None:
    """F-02 in full."""
    record_property("tried", 200)
    seconds, within = killed_again_and_again(tmp_path / "ckpt", mode, 200, *words)
    assert within >= 50
    with capsys.disabled():
        print(
            f"\n{mode} {' '.join(words)}: 200 kills, 0 bad, median {np.median(seconds):.2f} s, max {max(seconds):.2f} s"
        )


@pytest.mark.parametrize("mode", MODES.names())
def test_the_launcher_and_all_ranks_killed(tmp_path: Path, mode: str, record_property: Any) -> None:
    """F-04: as F-02, and what was left is cleared by the next start."""
    record_property("tried", 3)
    killed_again_and_again(tmp_path / "ckpt", mode, 3, victims="all")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("torn", [False, True], ids=["before the call", "in the middle of a write"])
@pytest.mark.parametrize("options", [{}, {"incremental": True, "full_every": 3}], ids=["full", "increment"])
def test_killed_at_every_single_call(
    tmp_path: Path, way: str, torn: bool, options: dict[str, Any], record_property: Any
) -> None:
    """F-02: the process is killed at its i-th call to the disk, i = 1, 2, ... until it ends by itself."""
    with Context.serial() as context:
        run = Run(context, tmp_path / "ckpt", 2, few=True, **options)
        assert run.write(1).accepted
        number, step = 0, 1
        while True:
            number, step = number + 1, step + 1
            pid = os.fork()
            if pid == 0:
                _die_in_a_write(run, number, step, way, torn)
            _, status = os.waitpid(pid, 0)
            name = run.store.candidates()[0][0]
            assert not run.faults(name) and not run.wrong(name, int(name[5:])), (number, name)
            run.store.clean()
            run.store.prune(2)
            assert not left_over(run.store.root)
            if os.WIFEXITED(status):
                break
            # The next one begins like a restart from what is there.
            run.writer = run.new_writer(**options, protect=frozenset({name}))
        assert os.WEXITSTATUS(status) == 0 and name == f"step-{step:08d}"
        assert number > (6 if torn else 40)
        record_property("tried", number)


def _die_in_a_write(run: Run, number: int, step: int, way: str, torn: bool) -> None:
    """In a child process: write a checkpoint and be killed at a call; exits with 0 if that call never comes."""
    count = 0

    def deadly(name: str, call: Any) -> Any:
        def act(*arguments: Any) -> Any:
            nonlocal count
            count += not torn or name == "pwrite"
            if count == number and (not torn or name == "pwrite"):
                if torn:
                    handle, data, offset = arguments
                    raw = memoryview(data).cast("B")
                    call(handle, raw[: len(raw) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return act

    try:
        for name in CALLS:
            setattr(io, name, deadly(name, getattr(io, name)))
        os._exit(0 if run.write(step, way).accepted else 2)
    except BaseException:
        os._exit(3)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MB, which only root can make."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "hpcsim-test", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here; RLIMIT_FSIZE is tested in its place")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def used(path: Path) -> int:
    """Bytes in use on a disk."""
    facts = os.statvfs(path)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def full_disk_is_survived(outcome: Outcome, directory: Path, said: str) -> None:
    """The first checkpoint is good and stays; the others are refused with a reason and leave nothing."""
    assert outcome.code == 0 and "egmentation" not in outcome.err, outcome
    first, *others = reports(outcome)
    assert first["accepted"] and len(others) == 2
    for report in others:
        assert not report["accepted"] and said in report["problem"], report
        assert [n for n in report["left"] if not n.startswith(".pid")] == ["CURRENT", "step-00000001"]
    assert restored_step(directory, FULL_CELLS) == 1


FULL = {
    (): "MB are free",
    ("blind",): "No space left on device",
    ("blind", "unreserved"): "No space left on device",
    ("blind", "thin"): "",
}


@pytest.mark.parametrize("words", FULL, ids=" ".join)
@pytest.mark.parametrize("way", ["", "beside"])
def test_full_disk_with_shards(small_disk: Path, words: tuple[str, ...], way: str) -> None:
    """F-05: known from the free space, by the reservation, or by a write: refused, space given back, run goes on."""
    outcome = run_ranks(4, "checkpoint", str(small_disk), "shards", "3", str(FULL_CELLS), *words, way)
    full_disk_is_survived(outcome, small_disk, FULL[words] or "No space left on device")
    size = sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file())
    assert used(small_disk) <= size + (64 << 10)


@pytest.mark.parametrize("words", FULL, ids=" ".join)
@pytest.mark.parametrize("layer", LAYERS)
def test_full_disk_with_parallel_hdf5(small_disk: Path, words: tuple[str, ...], layer: str) -> None:
    """F-06: a full disk is found before MPI-IO writes; what Open MPI's own layer loses is found by the read-back."""
    environment = {"OMPI_MCA_io": layer}
    arguments = (str(small_disk), "collective", "3", str(FULL_CELLS), *words)
    outcome = run_ranks(4, "checkpoint", *arguments, environment=environment)
    if "thin" in words and layer == "romio321":
        # ROMIO raises on one rank and leaves the others waiting inside HDF5: the run is ended with the code for disks.
        assert outcome.code == 6 and outcome.seconds <= 15 and "mode 'shards'" in outcome.err, outcome
        assert restored_step(small_disk, FULL_CELLS) == 1
        CheckpointStore(small_disk).clean()
        assert used(small_disk) < DISK_BYTES * 0.7
        return
    full_disk_is_survived(outcome, small_disk, FULL[words] or "does not read back as it was written")
    size = sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file())
    assert used(small_disk) <= size + (64 << 10)


@pytest.mark.parametrize("mode", MODES.names())
def test_file_size_limit(tmp_path: Path, mode: str) -> None:
    """F-05 without root: a limit on the size of files is met like a full disk."""
    outcome = run_ranks(2, "checkpoint", str(tmp_path), mode, "3", str(FULL_CELLS), "small")
    full_disk_is_survived(outcome, tmp_path, "ulimit -f")


@pytest.mark.parametrize("mode", MODES.names())
@pytest.mark.parametrize("setting", ["TRUE", "FALSE"])
def test_file_locks_refused(tmp_path: Path, mode: str, setting: str) -> None:
    """F-40: on a disk that refuses every lock checkpoints work, whatever HDF5 is told about locks."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed"
    (tmp_path / "locks.c").write_text(REFUSING_LOCKS)
    library = tmp_path / "locks.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "locks.c", "-ldl"], check=True)
    environment = {"HDF5_USE_FILE_LOCKING": setting, "LD_PRELOAD": str(library)}
    (tmp_path / "ckpt").mkdir()
    arguments = (str(tmp_path / "ckpt"), mode, "2", "24")
    outcome = run_ranks(2, "checkpoint", *arguments, environment=environment)
    assert outcome.code == 0 and [report["accepted"] for report in reports(outcome)] == [True, True], outcome
    assert restored_step(tmp_path / "ckpt", 24) == 2
