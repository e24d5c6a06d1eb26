"""Launches of a case that cannot be meant, and ranks that were given different things (F-27 to F-30, F-42)."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.faults.commandline import PLAIN, hpcsim, record, write_case
from tests.faults.driver import run_ranks

OTHER = PLAIN.replace("steps = 60", "steps = 61")


@pytest.mark.parametrize(
    "kind", ["file", "plugin", *(pytest.param(kind, marks=pytest.mark.nightly) for kind in ("override", "directory"))]
)
def test_rank_with_other_input_is_named(kind: str, tmp_path: Path) -> None:
    """F-27: another file, override, run directory or equation source on one rank: code 3, and nothing is written."""
    case, other = write_case(tmp_path), write_case(tmp_path, OTHER, "other.toml")
    plugin = tmp_path / "plug.py"
    plugin.write_text(
        "import os\nfrom dataclasses import replace\nfrom hpcsim.models import MODELS\n"
        "build = MODELS.get('diffusion')\n"
        "def other(*arguments, **options):\n    model = build(*arguments, **options)\n"
        "    odd = os.environ['OMPI_COMM_WORLD_RANK'] == '1'\n"
        "    return replace(model, equations={'dt(u)': '2*laplacian(u)'}) if odd else model\n"
        "other.PARAMETERS = build.PARAMETERS\nMODELS.register('other', other)\n"
    )
    output = tmp_path / "out"
    usual = ["run", str(case), "--output-dir", str(output)]
    odd = {
        "file": ["run", str(other), "--output-dir", str(output)],
        "override": [*usual, "--set", "run.seed=4"],
        "directory": ["run", str(case), "--output-dir", str(tmp_path / "else")],
        "plugin": usual,
    }[kind]
    if kind == "plugin":
        more = ["--plugin", str(plugin), "--set", "model.name=other"]
        usual, odd = [*usual, *more], [*odd, *more]
    outcome = run_ranks(3, "differ", "1", "--", *usual, "--", *odd)
    assert outcome.code == 3 and outcome.seconds < 8.0, outcome
    what = {"directory": "run directory", "plugin": "generated kernels"}.get(kind, "configuration")
    assert len(re.findall(rf"hpcsim: {what}: rank 1 \(on \S+\) of 3 differs from the others", outcome.err)) == 1
    assert "Traceback" not in outcome.err and not (output / "run.json").exists()


def test_rank_whose_file_is_missing_ends_all(tmp_path: Path) -> None:
    """F-27: a file that one rank does not see; the others are already waiting for it."""
    usual = ["run", str(write_case(tmp_path)), "--output-dir", str(tmp_path / "out")]
    odd = ["run", str(tmp_path / "cas.toml")]
    outcome = run_ranks(3, "differ", "1", "--", *usual, "--", *odd)
    assert outcome.code == 2 and outcome.seconds < 8.0, outcome
    assert "there is no file" in outcome.err and "did you mean" in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("initial.u=where(x > 18, log(-x), 0.5)", "initial.u: the initial value is nan at x = 18.5, y = 0.5"),
        ("model.parameters.D=where(x > 18, sqrt(-x), 1)", "model.parameters.D: the formula is nan at x = "),
    ],
    ids=["initial", "parameter"],
)
def test_fault_that_only_one_rank_sees_is_what_all_report(setting: str, said: str, tmp_path: Path) -> None:
    """A bad value in the blocks of the last rank: its place is told, not that some other rank has a problem."""
    outcome = hpcsim(2, "run", write_case(tmp_path), "--output-dir", tmp_path / "out", "--set", setting)
    assert outcome.code == 2 and outcome.err.count(said) == 1 and "MPI_ABORT" not in outcome.err, outcome


@pytest.mark.parametrize("environment", [{"SLURM_NTASKS": "4"}, {"OMPI_COMM_WORLD_SIZE": "4"}], ids=lambda e: [*e][0])
def test_singleton_run_is_refused_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    """F-28: a run that came up as rank 0 of 1 in a job of four."""
    outcome = hpcsim(0, "run", write_case(tmp_path), "--output-dir", tmp_path / "out", environment=environment)
    assert outcome.code == 3 and outcome.seconds < 2.0, outcome
    assert "=4 but this process is rank 0 of 1" in outcome.err and "mpirun -n 4" in outcome.err
    assert "Traceback" not in outcome.err and not (tmp_path / "out").exists()


def test_threads_beyond_the_cpus_are_refused_and_crowding_is_said(tmp_path: Path) -> None:
    """F-29: more threads than CPUs is an error with the way out; more ranks than CPUs is a warning of the run."""
    cpus = len(os.sched_getaffinity(0))
    case, output = write_case(tmp_path), tmp_path / "out"
    outcome = hpcsim(2, "run", case, "--output-dir", output, "--set", f"run.threads={cpus + 1}")
    assert outcome.code == 3 and outcome.err.count("but this process is bound to") == 1, outcome
    assert "--bind-to none" in outcome.err and "Traceback" not in outcome.err and not output.exists()
    crowded = hpcsim(cpus + 1, "run", case, "--output-dir", output)
    assert crowded.code == 0 and crowded.err.count("warning: ") == 1, crowded
    assert f"warning: {cpus + 1} ranks with 1 thread each are bound to the same" in crowded.err
    assert "bound to the same" in (output / "logs/rank-0.log").read_text()


@pytest.mark.parametrize(
    ("shape", "ranks", "said"),
    [
        ("[4, 4]", 64, "at most 16 ranks"),
        ("[8]", 64, "at most 8 ranks"),
        ("[24, 18]", 2**20, "at most 432 ranks"),
        ("[24, 18]", 2**40, "1 to 4194304"),
    ],
)
def test_too_many_ranks_are_refused_with_the_largest_useful_count(shape: str, ranks: int, said: str, capsys, tmp_path):
    """F-30: far more ranks than cells, found by check without any of them."""
    from hpcsim.cli.main import main

    text = PLAIN.replace(" + 0.1*y", "")
    case = write_case(tmp_path, text)
    start = time.monotonic()
    code = main(["check", str(case), "--set", f"lattice.shape={shape}", "--ranks", str(ranks)])
    assert code == 2 and time.monotonic() - start < 1.0
    assert said in capsys.readouterr().err
    fits = re.search(r"at most (\d+) ranks", said)
    if fits:
        assert main(["check", str(case), "--set", f"lattice.shape={shape}", "--ranks", fits[1]]) == 0


def test_blocks_below_the_ghost_width_are_refused(capsys, tmp_path):
    """F-30: the message of a run on ranks is the same as that of check, printed once."""
    from hpcsim.cli.main import main

    case = write_case(tmp_path)
    sets = ["--set", "model.order=8", "--set", "lattice.block_shape=[2, 2]"]
    assert main(["check", str(case), *sets]) == 2
    message = capsys.readouterr().err
    assert "ghost" in message and "lattice.block_shape" in message
    outcome = hpcsim(2, "run", case, *sets, "--output-dir", tmp_path / "out")
    assert outcome.code == 2 and outcome.err.count("ghost") == message.count("ghost"), outcome
    assert message.strip() in outcome.err and "Traceback" not in outcome.err


def test_wall_clock_that_jumps_changes_nothing(tmp_path: Path) -> None:
    """F-42: the clock of one rank is an hour off and jumps; times are monotone and outputs stay in order."""
    plugin = tmp_path / "clock.py"
    plugin.write_text(
        "import os, time\nreal = time.time\nodd = os.environ.get('OMPI_COMM_WORLD_RANK') == '1'\ncalls = [0]\n"
        "def jumping():\n    calls[0] += 1\n    return real() + (3600.0 if odd else -3600.0) * (calls[0] % 2)\n"
        "time.time = jumping\n"
    )
    output = tmp_path / "out"
    outcome = hpcsim(
        2, "run", write_case(tmp_path), "--plugin", plugin, "--output-dir", output,
        "--set", 'output.every="1 s"', "--set", 'diagnostics.every="10 steps"',
    )  # fmt: skip
    assert outcome.code == 0, outcome
    state = record(output)
    assert state["finished"] and 0.0 < state["steps_wall_s"] <= state["wall_s"] < 60.0
    assert len(list((output / "snapshots").glob("step-*"))) <= 2 + state["wall_s"]


def test_plugin_that_cannot_be_loaded_is_shown_once(tmp_path: Path) -> None:
    """F-20: a plug-in with a fault on all ranks: one traceback, code 70."""
    plugin = tmp_path / "broken.py"
    plugin.write_text("import no_such_module\n")
    outcome = hpcsim(2, "run", write_case(tmp_path), "--plugin", plugin, "--output-dir", tmp_path / "out")
    assert outcome.code == 70 and outcome.err.count("ModuleNotFoundError: No module named 'no_such_module'") == 1
    assert str(plugin) in outcome.err


def test_output_of_ranks_is_plain_lines(tmp_path: Path) -> None:
    """A launcher gives its ranks a terminal of their own: nothing of a progress bar reaches the output of a job."""
    outcome = hpcsim(2, "run", write_case(tmp_path), "--output-dir", tmp_path / "out", "--log-ranks", "all")
    assert outcome.code == 0 and "\x1b" not in outcome.out and "step 60/60" in outcome.out, outcome
    assert "#" not in outcome.out and "\r" not in outcome.out.replace("\r\n", "\n")
    assert {line[:4] for line in outcome.out.splitlines() if "cells, order" in line} == {"[0] ", "[1] "}
