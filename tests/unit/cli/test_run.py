"""`hpcsim run` as scripts and people use it: record, files, options, output, exit codes (contract of the verb)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hpcsim.cli.main import main
from hpcsim.config.load import load
from hpcsim.output.history import read_history
from hpcsim.output.read import Snapshot

CASE = """
[lattice]
shape = [24, 18]
boundary = "periodic"
[model]
name = "diffusion"
[initial]
u = "sin(2*pi*x/24)"
[run]
steps = 40
backend = "numpy"
[output]
every = "20 steps"
[diagnostics]
every = "10 steps"
"""
NUMBERS = ("steps", "time", "ranks", "threads", "wall_s", "steps_wall_s", "compile_s", "cells_per_s",
           "bytes_per_cell_step")  # fmt: skip


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text(CASE)
    return path


def run(case: Path, *more: str) -> int:
    return main(["run", str(case), "--output-dir", str(case.parent / "out"), *more])


def test_record_has_the_keys_that_scripts_read(case: Path) -> None:
    assert run(case, "--quiet") == 0
    record = json.loads((case.parent / "out/run.json").read_text())
    assert record["finished"] is True and record["status"] == "finished" and record["reason"] == ""
    assert all(isinstance(record[name], int | float) for name in NUMBERS)
    assert (record["steps"], record["ranks"], record["threads"]) == (40, 1, 1)
    assert record["time"] == pytest.approx(40 * record["dt"])
    assert 0 < record["steps_wall_s"] <= record["wall_s"]
    assert record["cells_per_s"] == pytest.approx(24 * 18 * 40 / record["steps_wall_s"])
    assert record["bytes_per_cell_step"] > 0
    assert set(record["digest"]) == {"u"} and re.fullmatch(r"[0-9a-f]{32}", record["digest"]["u"])


def test_files_of_a_run(case: Path) -> None:
    assert run(case, "--quiet") == 0
    output = case.parent / "out"
    snapshots = sorted((output / "snapshots").glob("step-*"))
    assert [Snapshot(path).step for path in snapshots] == [0, 20, 40]
    assert read_history(output)["step"].tolist() == [0, 10, 20, 30, 40]
    assert load(output / "config.toml").digest() == load(case).digest()
    assert not (output / "lock").exists() and not list(output.glob(".*"))


def test_set_changes_a_key_and_the_record_of_the_case(case: Path) -> None:
    assert run(case, "--quiet", "--set", "run.steps=20", "--set", "output.every=end") == 0
    assert json.loads((case.parent / "out/run.json").read_text())["steps"] == 20
    assert load(case.parent / "out/config.toml").output.every == "end"


def test_plugin_adds_a_model(case: Path, capsys) -> None:
    plugin = case.parent / "own.py"
    plugin.write_text(
        "from hpcsim.models import MODELS\nfrom hpcsim.models.diffusion import diffusion\n"
        "MODELS.register('own_model_of_this_test', diffusion)\n"
    )
    words = ["--quiet", "--set", "model.name=own_model_of_this_test"]
    assert run(case, *words) == 2 and "unknown model 'own_model_of_this_test'" in capsys.readouterr().err
    assert run(case, *words, "--plugin", str(plugin)) == 0


@pytest.mark.parametrize("name", ["none.py", "case.toml", "."])
def test_plugin_that_is_no_python_file(case: Path, name: str, capsys) -> None:
    assert run(case, "--plugin", str(case.parent / name)) == 2
    assert "a Python file is needed" in capsys.readouterr().err


def test_printed_lines_are_plain_and_quiet_prints_none(case: Path, capsys) -> None:
    """Need 29: output of a batch job is lines, each with its end, without carriage returns or escapes."""
    assert run(case) == 0
    said = capsys.readouterr()
    assert said.err == "" and "\r" not in said.out and "\x1b" not in said.out and said.out.endswith("\n")
    lines = said.out.splitlines()
    assert lines[0].startswith("diffusion: 24 x 18 cells, order 2, rk4, dt = ")
    assert any(re.match(r"step 40/40  t = \S+  ETA 0:00  \S+ [kMG]?cells/s", line) for line in lines), lines
    digest = json.loads((case.parent / "out/run.json").read_text())["digest"]["u"]
    assert f"digest u {digest}" in lines and lines[-1] == f"results in {case.parent / 'out'}"
    assert run(case, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_field_without_initial_values_is_said(case: Path, capsys) -> None:
    case.write_text(CASE.replace('u = "sin(2*pi*x/24)"', ""))
    assert run(case) == 0
    assert "no initial values given: u starts at zero\n" in capsys.readouterr().out


def test_log_of_the_rank_and_ranks_that_print(case: Path, capsys) -> None:
    assert run(case, "--log-ranks", "all") == 0
    assert "diffusion: " in capsys.readouterr().out
    log = (case.parent / "out/logs/rank-0.log").read_text()
    assert "wrote step-000040.vtkhdf at step 40" in log
    assert run(case, "--log-ranks", "0,7") == 2
    assert "'7' is not within the ranks 0 to 0" in capsys.readouterr().err


def test_case_faults_begin_with_the_file_and_mark_overrides(case: Path, capsys) -> None:
    """Need 15: faults of the file, of the model and of the initial state look alike."""
    for word, where in (
        ("run.stpes=3", "run.stpes: unknown key 'stpes'; did you mean 'steps'?"),
        ("output.fields=[U]", "output.fields: unknown field 'U'; did you mean 'u'?"),
        ("model.parameters.d=3", "model.parameters.d: unknown parameter 'd'; did you mean 'D'?"),
        ("lattice.boundary=perodic", "lattice.boundary.x: unknown boundary condition 'perodic'; did you mean 'perio"),
        ("initial.u=1/(x - 0.5)", "initial.u: the initial value is inf at x = 0.5, y = 0.5"),
        ("initial.dt(u)=0", 'initial."dt(u)": a first rate is given for second-order equations'),
        ("model.parameters.D=1/(x - 0.5)", "model.parameters.D: the formula is inf at x = 0.5, y = 0"),
        ("run.dt=3", "run.dt: 3 is above the linear stability limit 0.348"),
        ("diagnostics.quantities.step={max='u'}", "diagnostics.quantities.step: every series has this column"),
        ("lattice.shape=[200000, 200000]", "lattice.shape: 200000 x 200000 cells need "),
    ):
        assert run(case, "--set", word) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"hpcsim: {case}: ") and f"\n  {where}" in message, message
        assert message.count(where) == 1 and "(from --set)" in message
    assert not (case.parent / "out/run.json").exists()


def test_compare_codes(case: Path, capsys) -> None:
    """0 for the same bits, 1 for a difference, 6 where there is nothing to compare."""
    output = case.parent / "out"
    assert run(case, "--quiet") == 0 and run(case, "--quiet", "--set", "run.exchange=blocking") == 0
    assert main(["compare", str(output), str(output / "earlier-1")]) == 0
    assert run(case, "--quiet", "--set", "model.parameters.D=1.5", "--set", "run.dt=0.1") == 0
    assert main(["compare", str(output), str(output / "earlier-2")]) == 1
    assert main(["compare", str(output), str(output / "nothing")]) == 6
    assert "there is no" in capsys.readouterr().err


def test_plot_makes_pictures(case: Path, capsys) -> None:
    assert run(case, "--quiet") == 0
    assert main(["plot", str(case.parent / "out")]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.name for path in paths} == {"u-000040.png", "history.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert main(["plot", str(case.parent / "out"), "--step", "7"]) == 2
    assert "there are those of steps 0, 20, 40" in capsys.readouterr().err
    assert main(["plot", str(case.parent / "none")]) == 6
    assert f"there is no file {case.parent / 'none'}" in capsys.readouterr().err
