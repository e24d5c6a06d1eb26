"""Compression from the configuration: each key changes what is written, and the record tells what came of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hpcsim.cli.main import main
from hpcsim.output.compare import compare_results
from hpcsim.output.read import Snapshot, list_snapshots

CASE = """
[lattice]
shape = [40, 36]
upper = [1.0, 1.0]
[model.fields]
u = {}
v = {}
[model.equations]
"dt(u)" = "0.1*laplacian(u)"
"dt(v)" = "0.1*laplacian(v)"
[initial]
u = "exp(-((x - 0.5)**2 + (y - 0.5)**2)/0.05)"
v = "100*sin(2*pi*x)*cos(2*pi*y)"
[run]
steps = 4
backend = "numpy"
[output]
every = "2 steps"
"""


@pytest.fixture
def run(tmp_path):
    """Runs the case with some settings; its directory."""
    case = tmp_path / "case.toml"
    case.write_text(CASE)

    def go(name: str, *settings: str, code: int = 0):
        arguments = [part for setting in settings for part in ("--set", f"output.{setting}")]
        folder = tmp_path / name
        assert main(["run", str(case), "--quiet", "--output-dir", str(folder), *arguments]) == code
        return folder

    return go


def worst(run, other, field: str) -> float:
    """Largest difference of a field over all snapshots of two runs."""
    pairs = zip(list_snapshots(run), list_snapshots(other), strict=True)
    return max(float(np.abs(Snapshot(a).read(field) - Snapshot(b).read(field)).max()) for a, b in pairs)


def size(folder) -> int:
    """Bytes of the snapshots."""
    return sum(path.stat().st_size for path in list_snapshots(folder))


def test_each_key_changes_what_is_written(run, capsys):
    """ENG-15, 000-B13b, 003-H15a: codec, error for all fields or each, and ratio."""
    plain = run("plain")
    assert json.loads((plain / "run.json").read_text())["compression"] == {}
    deflated = run("deflated", "compression=deflate")
    assert size(deflated) < size(plain) and compare_results(plain, deflated).identical
    exact = run("exact", "format=packed", "compression=zstd")
    assert compare_results(plain, exact).identical and size(exact) < size(plain)
    auto = run("auto", "format=packed", "compression=auto", "error=1e-3")
    assert 1e-4 < worst(plain, auto, "u") <= 1e-3 and 1e-4 < worst(plain, auto, "v") <= 1e-3
    each = run("each", "format=packed", "compression=wavelet", "error={u = 1e-2}")
    assert main(["check", str(each / "config.toml")]) == 0
    assert 1e-3 < worst(plain, each, "u") <= 1e-2 and worst(plain, each, "v") == 0.0
    ratio = run("ratio", "format=packed", "compression=wavelet", "ratio=0.05")
    record = json.loads((ratio / "run.json").read_text())["compression"]
    assert record["u"]["ratio"] <= 0.06 and worst(plain, ratio, "u") == pytest.approx(record["u"]["max_error"])
    assert size(ratio) < size(auto) < size(exact)


def test_the_record_and_the_log_tell_what_was_reached(run):
    """ENG-15: errors, ratio, codecs and reasons of all snapshots, in run.json and in the log."""
    folder = run("run", "format=packed", "compression=auto", "error=1e-4")
    record = json.loads((folder / "run.json").read_text())["compression"]
    found = [Snapshot(path).compression for path in list_snapshots(folder)]
    assert len(found) == 3
    for field in ("u", "v"):
        assert record[field]["max_error"] == max(one[field]["max_error"] for one in found) <= 1e-4
        assert record[field]["bytes"] == sum(one[field]["bytes"] for one in found)
        assert record[field]["codecs"] == {"wavelet": 3} and record[field]["reasons"] == {"smooth": 3}
    log = (folder / "logs" / "rank-0.log").read_text()
    assert "wrote step-000004.packed" in log and "with errors up to" in log


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["compression=zstd"], "set compression = 'deflate', or format = 'packed'"),
        (["format=packed", "compression=wavlet", "error=1e-3"], "did you mean 'wavelet'"),
        (["format=packed", "compression=wavelet"], "give error"),
        (["format=packed", "compression=auto", "error={w = 1.0}"], "output.error.w: unknown field 'w'"),
        (["format=packed", "compression=zstd", "error=1.0"], "is lossless"),
        (["format=packed", "compression=auto", "error=-1.0"], "output.error"),
        (["format=packed", "compression=wavelet", "ratio=1.5"], "output.ratio"),
    ],
)
def test_what_cannot_work_is_refused_before_the_run(run, capsys, settings, message):
    folder = run("refused", *settings, code=2)
    assert message in capsys.readouterr().err and not (folder / "snapshots").exists()


def test_a_restarted_run_has_the_same_packed_snapshots(run, tmp_path):
    """ENG-12: snapshots in the packed format that are later than the checkpoint are made again, none is left twice."""
    whole = tmp_path / "whole"
    begun = run("begun", "format=packed", "compression=zstd")
    assert main(["restart", str(begun), "--quiet", "--set", "run.steps=8"]) == 0
    assert [path.name for path in list_snapshots(begun)] == [f"step-{n:06d}.packed" for n in (0, 2, 4, 6, 8)]
    settings = ["run.steps=8", "output.format=packed", "output.compression=zstd"]
    given = [part for setting in settings for part in ("--set", setting)]
    assert main(["run", str(tmp_path / "case.toml"), "--quiet", "--output-dir", str(whole), *given]) == 0
    assert len(list_snapshots(whole)) == 5
    for path in list_snapshots(whole):
        other = Snapshot(begun / "snapshots" / f"{path.stem}.packed")
        assert all(np.array_equal(Snapshot(path).read(name), other.read(name)) for name in ("u", "v"))
