"""Kernels on disk: two first runs at once, damaged and read-only caches, changed equations (F-38, F-39)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsim.native.store import cache_directory
from tests.faults.commandline import hpcsim, record, write_case
from tests.faults.driver import ROOT

# One kernel: the compilation of a case is what costs time here.
COMPILED = """
[lattice]
shape = [32]
boundary = "periodic"
[model]
name = "equations"
fields.u = {}
parameters.D = 0.5
equations."dt(u)" = "D*laplacian(u)"
[initial]
u = "sin(2*pi*x/32)"
[run]
steps = 4
dt = 0.1
integrator = "euler"
"""


@pytest.fixture(scope="module", params=["loops", pytest.param("empty", marks=pytest.mark.nightly)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Two first runs of one case at once into a shared cache; case, cache and the digest of the NumPy backend.

    The cache is empty, or holds what this machine has of the loops that do not depend on the case.
    """
    directory = tmp_path_factory.mktemp("cache")
    case, cache = write_case(directory, COMPILED), directory / "kernels"
    reference = run(case, directory / "reference", cache, "--set", "run.backend=numpy")
    assert not any(cache.rglob("*.*"))
    if request.param == "loops":
        usual = cache_directory()
        shutil.copytree(usual, cache, ignore=shutil.ignore_patterns("*.py", "*.nbi", "*.nbc"), dirs_exist_ok=True)
    jobs = [start(case, directory / name, cache) for name in ("a", "b")]
    for name, job in zip(("a", "b"), jobs, strict=True):
        assert job.wait(timeout=60) == 0
        assert record(directory / name)["digest"]["u"] == reference
    assert any(cache.rglob("*"))
    return case, cache, reference


def start(case: Path, output: Path, cache: Path) -> subprocess.Popen:
    """A run in the background."""
    words = ["run", case, "--output-dir", output, "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HPCSIM_CACHE_DIR": str(cache)}
    return subprocess.Popen([sys.executable, "-m", "hpcsim", *map(str, words)], env=environment)


def run(case: Path, output: Path, cache: Path, *more: str) -> str:
    """Digest of a run with a cache."""
    outcome = hpcsim(
        0, "run", case, "--output-dir", output, "--quiet", *more,
        environment={"HPCSIM_CACHE_DIR": str(cache)}, limit_s=60.0,
    )  # fmt: skip
    assert outcome.code == 0 and not outcome.err, outcome
    digest: str = record(output)["digest"]["u"]
    return digest


def files(cache: Path) -> list[Path]:
    """What the cache holds, in a fixed order."""
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_two_first_runs_share_a_cache(filled: tuple[Path, Path, str], tmp_path: Path) -> None:
    """F-38: both compiled at the same time without disturbing each other; the next run compiles nothing."""
    case, cache, reference = filled
    before = {path: path.stat().st_mtime_ns for path in files(cache)}
    assert run(case, tmp_path / "out", cache) == reference
    assert {path: path.stat().st_mtime_ns for path in files(cache)} == before


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="half-written"),
        pytest.param(lambda data: b"", id="empty", marks=pytest.mark.nightly),
        pytest.param(lambda data: os.urandom(len(data)), id="garbage", marks=pytest.mark.nightly),
        pytest.param(
            lambda data: data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 1]) + data[len(data) // 3 + 1 :],
            id="bit", marks=pytest.mark.nightly,
        ),
    ],
)  # fmt: skip
def test_damaged_cache_is_compiled_anew(damage, filled: tuple[Path, Path, str], tmp_path: Path) -> None:
    """F-38: whatever the files hold, the run has the right answer, and the cache is whole again afterwards."""
    case, cache, reference = filled
    # The kernels of the case are the newest, so these and some of the loops are hit.
    stored = sorted((path for path in files(cache) if path.suffix == ".o"), key=lambda path: path.stat().st_mtime_ns)
    for path in stored[-3:]:
        path.write_bytes(damage(path.read_bytes()))
    assert run(case, tmp_path / "out", cache) == reference
    assert run(case, tmp_path / "again", cache) == reference


def test_cache_that_cannot_be_written(filled: tuple[Path, Path, str], tmp_path: Path) -> None:
    """F-38: a path that is a file, and no usable place at all, cost time and nothing else."""
    case, _, reference = filled
    blocked = tmp_path / "file"
    blocked.touch()
    outcome = hpcsim(
        0, "run", case, "--output-dir", tmp_path / "out", "--quiet", limit_s=60.0,
        environment={"HPCSIM_CACHE_DIR": str(blocked), "HOME": "/proc/self", "TMPDIR": "/nonexistent"},
    )  # fmt: skip
    assert outcome.code == 0 and record(tmp_path / "out")["digest"]["u"] == reference, outcome


def test_changed_equation_never_uses_an_old_kernel(filled: tuple[Path, Path, str], tmp_path: Path) -> None:
    """F-39: another equation in the same cache has its own answer, equal to that of the NumPy backend."""
    case, cache, reference = filled
    change = ("--set", 'model.equations.dt(u)="D*laplacian(u) + u*(1 - u)"')
    compiled = run(case, tmp_path / "numba", cache, *change)
    assert compiled == run(case, tmp_path / "numpy", cache, *change, "--set", "run.backend=numpy") != reference
    assert run(case, tmp_path / "first", cache) == reference
