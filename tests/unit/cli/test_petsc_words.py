"""Words after `--` are options of PETSc: they reach the configuration of every verb that reads a case."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from hpcsim.cli import retry, start
from hpcsim.cli.main import main

CASE = """
[lattice]
shape = [8]
[model]
name = "diffusion"
[initial]
u = "x"
[run]
steps = 4
dt = 0.1
integrator = "backward_euler"
[petsc]
ksp_type = "cg"
"""
WORDS = ("--", "-ksp_monitor", "-step_ksp_rtol", "1e-9", "-ksp_type", "gmres")
OPTIONS = {"ksp_type": "gmres", "ksp_monitor": True, "step_ksp_rtol": "1e-9"}


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text(CASE)
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[start.Start]:
    """What would have been run."""
    found: list[start.Start] = []

    def execute(context: Any, what: start.Start, *_: Any) -> int:
        found.append(what)
        return 0

    monkeypatch.setattr(start, "execute", execute)
    return found


def test_run_takes_them_into_the_resolved_case(case: Path, started: list[start.Start]) -> None:
    assert main(["run", str(case), "--quiet", "--set", "run.steps=5", *WORDS]) == 0
    (found,) = started
    assert found.config.petsc == OPTIONS
    assert found.config.run.steps == 5
    # A restart reads the resolved case, so it has them without saying them again.
    assert '[petsc]\nksp_type = "gmres"\nksp_monitor = true\nstep_ksp_rtol = "1e-9"\n' in found.config.to_toml()


def test_restart_keeps_the_recorded_ones_and_adds_its_own(case: Path, started: list[start.Start], monkeypatch) -> None:
    from hpcsim.cli import restart
    from hpcsim.config.load import load

    kept = load(case, ['petsc.ksp_max_it="7"'])

    def newest(root: Path, names: object, overrides: list[str]) -> Any:
        from hpcsim.config.load import load_text

        return load_text(kept.to_toml(), "the checkpoint", root, overrides)

    monkeypatch.setattr(restart, "candidates", lambda root, source: (["step-00000001"], ""))
    monkeypatch.setattr(restart, "best_config", newest)
    assert main(["restart", str(case.parent), *WORDS]) == 0
    assert main(["restart", str(case.parent), "--case", str(case), *WORDS]) == 0
    assert started[0].config.petsc == {**OPTIONS, "ksp_max_it": "7"}
    assert started[1].config.petsc == OPTIONS


@pytest.mark.parametrize("verb", ["check", "inspect"])
def test_other_verbs_of_a_case_take_them(case: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--stage", "equation"] if verb == "inspect" else []
    assert main([verb, str(case), *more, *WORDS]) == 0
    assert main([verb, str(case), *more, "--"]) == 0
    assert main([verb, str(case), *more, "--", "-ksp-type", "cg"]) == 2
    assert "petsc.ksp-type: the text 'ksp-type' is not the name of a PETSc option" in capsys.readouterr().err
    assert main([verb, str(case), *more, "--", "cg"]) == 2
    assert "after --: expected an option of PETSc" in capsys.readouterr().err


def test_verbs_without_a_case_know_no_such_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--", "-ksp_type"]) != 0
    assert "PETSc" not in capsys.readouterr().err


def test_starts_again_pass_them_on(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words stay behind all other arguments, also where the case becomes an option of `restart`."""
    commands: list[list[str]] = []

    def supervisor(root: Path, first: list[str], again: list[str], *_: Any) -> Any:
        commands.extend([first, again])
        return types.SimpleNamespace(run=lambda: 0)

    monkeypatch.setattr(retry, "Supervisor", supervisor)
    assert main(["run", str(case), "--retries", "2", "--quiet", "--resume", *WORDS]) == 0
    first, again = commands
    assert first[first.index("run") :] == ["run", str(case), "--quiet", "--resume", *WORDS]
    assert again[again.index("restart") :] == ["restart", "runs/case", "--quiet", "--case", str(case), *WORDS]
