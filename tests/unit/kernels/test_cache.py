"""The cache of generated kernels survives damage, races and full disks, and is never stale (F-38, F-39, ENG-32)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numba.core import event

from hpcsim.kernels.cache import load_module, source_digest
from hpcsim.kernels.loopnest import Assignment, LoopNest, make_nest
from hpcsim.kernels.numba.source import kernel_source
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage
from hpcsim.native.store import cache_directory
from hpcsim.symbolic.expr import Access, Num, Symbol

ROOT = Path(__file__).parents[3]
# Runs u <- 3 u + a in a process of its own; prints the result and how often a compiler ran.
WORKER = """
import sys
import numpy as np
from numba.core import event
from hpcsim.kernels.backend import BACKENDS
from hpcsim.kernels.tiles import BlockBox, box_table
from tests.unit.kernels.test_cache import Count, example, storage
from hpcsim.kernels.backend import BACKENDS

count = Count()
exec(sys.argv[1]) if len(sys.argv) > 1 else None
with event.install_listener("numba:compile", count):
    kernel = BACKENDS.get("numba")(storage(), 1).compile(example())
    u = np.arange(float(storage().sites))
    kernel([u], box_table([BlockBox(0, (1,), (5,))], 1), np.array([0.5]))
print(u[:6].tolist(), count.starts, sep="|")
"""
ANSWER = "[0.0, 3.5, 6.5, 9.5, 12.5, 5.0]"


def example(factor: float = 3.0) -> LoopNest:
    u = Access("u", 0, (0,))
    return make_nest(1, "float64", [Assignment(u, Num(factor) * u + Symbol("a"))], {}, ("h_x",))


def storage() -> Storage:
    return Storage.build(make_layout(Domain((4,), (0.0,), (1.0,), (True,)), 1), 0, 1, False, 8)


class Count(event.Listener):
    """Counts compilations; loading from disk is none."""

    def __init__(self) -> None:
        self.starts = 0

    def on_start(self, event: object) -> None:
        self.starts += 1

    def on_end(self, event: object) -> None:
        pass


def start(directory: Path | str, code: str = "", **environment: str) -> subprocess.Popen:
    own = {**os.environ, "HPCSIM_CACHE_DIR": str(directory), **environment}
    own.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", WORKER, *([code] if code else [])]
    return subprocess.Popen(command, env=own, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(job: subprocess.Popen) -> int:
    """Compilations of a worker, which must end well with the right answer."""
    out, err = job.communicate(timeout=60)
    assert job.returncode == 0, err
    answer, compilations = out.strip().split("|")
    assert answer == ANSWER
    return int(compilations)


def work(directory: Path | str, code: str = "", **environment: str) -> int:
    return finish(start(directory, code, **environment))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that two processes filled at the same time, from nothing."""
    directory = tmp_path_factory.mktemp("kernels") / "new"
    for job in [start(directory), start(directory)]:
        finish(job)
    # After a race the stamp of a module may be newer than the code of the first writer.
    work(directory)
    return directory


def copy_of(directory: Path, target: Path) -> Path:
    # Machine code may be tied to the time stamp of its module, so that has to stay.
    subprocess.run(["cp", "-a", str(directory), str(target)], check=True)
    return target


def files(directory: Path) -> list[Path]:
    found = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    assert found
    return found


def test_two_processes_at_once_then_none_compiles(filled: Path) -> None:
    """F-38, ENG-32: a race ends with right answers, leaves no litter, and whoever comes later compiles nothing."""
    assert work(filled) == 0
    assert not [path for path in files(filled) if path.name.startswith("tmp") or path.suffix == ".pyc"]


DAMAGE = {
    "empty": lambda raw: b"",
    "half": lambda raw: raw[: len(raw) // 2],
    "garbage": lambda raw: bytes(range(256)) * 4,
    "pickle of nothing": lambda raw: b"\x80\x04N.",
    "pickle that raises": lambda raw: b"\x80\x04\x8c\x06nobody\x8c\x06nobody\x93.",
}


QUICK = ("half", "pickle that raises")
MARKED = [pytest.param(name, marks=() if name in QUICK else pytest.mark.nightly) for name in DAMAGE]


@pytest.mark.parametrize("damage", MARKED)
def test_damaged_files_are_made_anew(filled: Path, tmp_path: Path, damage: str) -> None:
    """F-38: half-written or foreign files cost a compilation, never a crash or a wrong answer."""
    directory = copy_of(filled, tmp_path / "damaged")
    for path in files(directory):
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert work(directory) > 0
    assert work(directory) == 0


@pytest.mark.nightly
@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damaged_file_by_itself(filled: Path, tmp_path: Path, damage: str) -> None:
    """F-38: the same with one file at a time."""
    for number in range(len(files(filled))):
        directory = copy_of(filled, tmp_path / str(number))
        path = files(directory)[number]
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
        work(directory)
        assert work(directory) == 0


@pytest.mark.nightly
def test_code_for_another_processor(filled: Path, tmp_path: Path) -> None:
    """F-38: compiled for one processor, run as another: right answers, whether code is kept apart or made anew."""
    directory = copy_of(filled, tmp_path / "foreign")
    work(directory, NUMBA_CPU_NAME="generic")
    work(directory)


def test_a_directory_that_cannot_be_made() -> None:
    """F-38: a place that is read-only, for root too, is replaced by another one."""
    work("/proc/hpcsim", HOME="/proc", XDG_CACHE_HOME="/proc/none")


def test_no_space_left_anywhere(tmp_path: Path) -> None:
    """F-38: with no room for a single byte the kernel lives in memory."""
    assert work(tmp_path / "full", "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))") > 0


def test_room_for_some_files_only(tmp_path: Path) -> None:
    """F-38: a quota that is reached while machine code is written; nothing half-written is left to load."""
    directory = tmp_path / "quota"
    work(directory, "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))")
    work(directory)
    assert work(directory) == 0


@pytest.mark.nightly
def test_a_killed_writer_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """F-38: ended at some moments of compiling, the next process always gets the right answer."""
    directory = tmp_path / "killed"
    for moment in (0.3, 0.6, 0.9, 1.2, 1.5, 2.0, 3.0):
        job = start(directory)
        try:
            job.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            job.kill()
            job.communicate()
    work(directory)
    assert work(directory) == 0


def test_directories_that_others_can_write_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-38: machine code is loaded from there, so the directory must be ours alone."""
    open_to_all, private = tmp_path / "open", tmp_path / "private"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(private))
    monkeypatch.setenv("HPCSIM_CACHE_DIR", str(open_to_all))
    assert cache_directory() == private / "hpcsim"
    open_to_all.chmod(0o700)
    assert cache_directory() == open_to_all
    assert (private / "hpcsim").stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cache_directory() not in (open_to_all, private / "hpcsim")


def test_a_changed_equation_has_a_new_key(tmp_path: Path) -> None:
    """F-39: the key is the source; another factor, type or dimension is another kernel."""
    sources = [kernel_source(example(factor), False) for factor in (3.0, 3.0000000000000004, 2.0)]
    assert len({source_digest(source) for source in sources}) == 3
    modules = [load_module(source, tmp_path) for source in sources]
    assert len({module.__file__ for module in modules}) == 3
    assert [Path(str(m.__file__)).read_text() for m in modules] == sources


@pytest.mark.parametrize(
    "what", ["numpy.__version__", "numba.__version__", "platform.python_version", "platform.machine"]
)
def test_versions_and_machine_are_in_the_key(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-39: a new version or another machine never meets old code."""
    before = source_digest("x")
    monkeypatch.setattr(what, (lambda: "other") if what.startswith("platform") else "other")
    assert source_digest("x") != before


def test_what_a_file_holds_is_never_run(tmp_path: Path) -> None:
    """A module that was tampered with is replaced by the text that was generated."""
    source = kernel_source(example(), False)
    path = Path(str(load_module(source, tmp_path).__file__))
    path.write_text(source + "\nSTOLEN = True\n")
    module = load_module(source, tmp_path)
    assert not hasattr(module, "STOLEN")
    assert path.read_text() == source
    assert np.dtype(module.F) == np.float64
