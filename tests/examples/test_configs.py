"""Every case in configs/ is sound and runs for a few steps."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from hpcsim.cli.main import main
from hpcsim.config.load import load
from hpcsim.config.toml import write_toml
from hpcsim.output.history import read_history
from hpcsim.output.read import Snapshot, list_snapshots
from hpcsim.output.record import read_record
from hpcsim.simulation.case import make_case

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
STEPS = 4


def moves(path: Path) -> bool:
    """Whether a case has time derivatives; others are solved at the start and take no steps."""
    return bool(make_case(load(path)).system.equations)


def shortened(path: Path, directory: Path) -> Path:
    """A copy of a case that ends after a few steps and writes at every second."""
    case = tomllib.loads(path.read_text())
    if moves(path):
        case["run"].pop("stop_time", None)
        case["run"]["steps"] = STEPS
    case.setdefault("output", {})["every"] = "2 steps"
    case.setdefault("diagnostics", {})["every"] = "1 step"
    copy = directory / path.name
    copy.write_text(write_toml(case))
    return copy


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_says_what_it_is(path: Path) -> None:
    """The first line is a comment of a whole sentence for a person who looks for a case."""
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ") and len(first.split()) > 5


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_is_sound(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(path)]) == 0
    assert "no faults" in capsys.readouterr().out


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["run", str(shortened(path, tmp_path)), "--quiet", "--output-dir", str(run)]) == 0
    record = read_record(run)
    steps = STEPS if moves(path) else 0
    assert record["finished"] and record["steps"] == steps
    snapshots = [Snapshot(file) for file in list_snapshots(run)]
    assert [snapshot.step for snapshot in snapshots] == list(range(0, steps + 1, 2))
    changed = False
    for name, field in snapshots[-1].fields.items():
        for component in range(field.components):
            first, last = (snapshot.read(name, component) for snapshot in (snapshots[0], snapshots[-1]))
            assert np.isfinite(last).all()
            changed |= bool((first != last).any() if steps else np.ptp(last))
    assert changed, "nothing happens in this case"
    assert read_history(run)["step"].tolist() == list(range(steps + 1))


def test_there_is_one_case_for_every_built_in_model() -> None:
    from hpcsim.models import MODELS

    used = {tomllib.loads(path.read_text())["model"].get("name", "equations") for path in CONFIGS}
    assert used == set(MODELS.names())
