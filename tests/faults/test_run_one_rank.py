"""One rank of a running case fails and all end within 5 s; bad values and messages are found (F-20, F-24, F-26)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.faults.commandline import harmful_run, record

# Kind -> exit code, what the one report must hold.
KINDS = {
    "exception": (70, "ValueError: broken wall"),
    "memory": (70, "out of memory on this rank"),
    "interrupt": (130, "KeyboardInterrupt"),
    "exit": (9, "sys.exit on one rank"),
}
NIGHTLY = ("memory", "interrupt", "exit")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.nightly] * (k in NIGHTLY)) for k in KINDS])
def test_failing_wall_on_one_rank_ends_the_run(kind: str, tmp_path: Path) -> None:
    """F-20: one traceback, the code of the error, the place in the rank's log, and no finished run."""
    code, text = KINDS[kind]
    outcome = harmful_run(3, tmp_path, kind, "1")
    assert outcome.code == code and outcome.seconds <= 5.0, outcome
    assert outcome.err.count("Traceback (most recent call last)") == 1, outcome.err
    assert outcome.err.count("hpcsim: rank 1 of 3 on ") == 1 and text in outcome.err
    assert "in fill_block" in outcome.err and "finished:" not in outcome.out
    assert not record(tmp_path / "out")["finished"]
    assert text in (tmp_path / "out/logs/rank-1.log").read_text()


def test_vanished_rank_ends_the_run(tmp_path: Path) -> None:
    """F-20: os._exit of one rank."""
    outcome = harmful_run(3, tmp_path, "os_exit", "1")
    assert outcome.code == 11 and outcome.seconds <= 5.0, outcome
    assert not record(tmp_path / "out")["finished"] and "finished:" not in outcome.out


def test_failure_of_all_ranks_is_shown_once(tmp_path: Path) -> None:
    """F-20: the same fault on all ranks prints one traceback; without a launcher too, with the same code."""
    outcome = harmful_run(2, tmp_path, "exception", "all")
    assert outcome.code == 70 and outcome.err.count("broken wall") == 2, outcome.err  # source line and message
    alone = harmful_run(0, tmp_path, "exception", "0")
    assert alone.code == 70 and alone.err.count("Traceback") == 1
    state = record(tmp_path / "out")
    assert state["status"] == "failed" and state["reason"] == "ValueError: broken wall" and not state["finished"]


def test_interrupt_without_a_launcher(tmp_path: Path) -> None:
    """F-20: Ctrl-C of a run on a laptop is a word, not a traceback; the lock is gone."""
    outcome = harmful_run(0, tmp_path, "interrupt", "0")
    assert outcome.code == 130 and outcome.err == "hpcsim: interrupted\n"
    assert record(tmp_path / "out")["status"] == "interrupted" and not (tmp_path / "out/lock").exists()


@pytest.mark.parametrize("ranks", [0, 3])
def test_bad_value_of_one_cell_is_found(ranks: int, tmp_path: Path) -> None:
    """F-24: found at the next check; field, site, rank and host; code 5; a dump, and no snapshot of the bad state."""
    odd = "2" if ranks else "0"
    settings = ('output.every="10 steps"', "run.check_finite_every=2", "run.steps=100")
    outcome = harmful_run(ranks, tmp_path, "nan", odd, *settings)
    assert outcome.code == 5 and "Traceback" not in outcome.err and outcome.seconds <= 10.0, outcome
    place = r"field 'u' is nan at site \(x=(\d+), y=(\d+)\) of block \d+, "
    found = re.search(rf"(?m)^hpcsim: step (\d+): {place}", outcome.err)
    assert found and f"rank {odd} on " in outcome.err and outcome.err.count("field 'u' is nan") == 1, outcome.err
    state = record(tmp_path / "out")
    assert state["status"] == "blown up" and not state["finished"] and state["steps"] == int(found[1])
    # The harm begins in the first step that reaches t = 5; two steps later at most it is found.
    first = int(5.0 / state["dt"]) + 1
    assert first <= int(found[1]) <= first + 2
    assert [path.name for path in sorted((tmp_path / "out/snapshots").glob("step-*"))] == [
        f"step-{step:06d}.vtkhdf" for step in range(0, first, 10)
    ]
    described = json.loads((tmp_path / f"out/crash/rank-{odd}.json").read_text())
    assert described["step"] == state["steps"] and described["kind"] == "crash dump, not a restart file"
    dumps = [np.load(tmp_path / "out/crash" / entry["file"]) for entry in described["arrays"]]
    site, origin = (int(found[2]), int(found[3])), described["arrays"][0]["lo"]
    assert np.isnan(dumps[0][tuple(np.subtract(site, origin))])


def test_expression_that_becomes_bad_stops_a_run_without_checks_at_the_next_output(tmp_path: Path) -> None:
    """F-24: with the regular check off, no snapshot holds a bad value and the run is no success."""
    settings = ('model.parameters.reaction="where(t > 3, log(-1 - u*u), 0)"', "run.check_finite_every=0")
    outcome = harmful_run(0, tmp_path, "", "", *settings, "run.dt=0.2", 'output.every="10 steps"')
    assert outcome.code == 5 and "step 20: field 'u' is nan at site (x=0, y=0)" in outcome.err, outcome
    assert {path.name for path in (tmp_path / "out/snapshots").glob("step-*")} == {
        "step-000000.vtkhdf", "step-000010.vtkhdf",
    }  # fmt: skip


def test_altered_message_ends_the_run(tmp_path: Path) -> None:
    """F-26: a flipped bit in a ghost message of the running program is caught with check_messages, and only then."""
    settings = ('run.exchange="flipping"', "lattice.partition=cartesian")
    outcome = harmful_run(2, tmp_path, "flip", "1", *settings, "run.check_messages=true")
    assert outcome.code == 70 and outcome.seconds <= 8.0, outcome
    assert re.search(r"exchange 30: the message of \d+ bytes from rank 1 to rank 0 arrived altered", outcome.err)
    assert "Traceback" not in outcome.err and "finished:" not in outcome.out
    unchecked = harmful_run(2, tmp_path, "flip", "1", *settings)
    assert unchecked.code == 0 and record(tmp_path / "out")["finished"]
