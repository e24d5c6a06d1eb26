"""A case long enough to be stopped, killed and restarted, and what must be the same at its end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.faults.commandline import hpcsim, record, write_case
from tests.faults.driver import Outcome

STEPS = 300
# Damped waves with a step paced by a slow plug-in, so that signals and kills arrive in the middle on any machine.
CASE = f"""
[lattice]
shape = [20, 18, 16]
boundary = "periodic"
[model]
name = "klein_gordon"
parameters = {{ chi = "0.2 + 0.1*cos(2*pi*x/20)", damping = 0.01 }}
kernels = ["pace"]
[initial]
E = "exp(-((x - 10)**2 + (y - 9)**2 + (z - 8)**2)/8)"
[run]
steps = {STEPS}
[output]
every = "100 steps"
[diagnostics]
every = "7 steps"
quantities = {{ peak = {{ max = "E" }}, size = {{ norm2 = "E" }} }}
[checkpoint]
every = "20 steps"
"""
PLUGIN = Path(__file__).parent / "cases" / "pace.py"
PACE_S = 0.02


def run(ranks: int, directory: Path, *arguments: str, pace_s: float = PACE_S, **options: Any) -> Outcome:
    """Start the case afresh in ``out`` of a directory."""
    case = directory / "case.toml"
    if not case.exists():
        write_case(directory, CASE)
    words = ["run", str(case), "--output-dir", str(directory / "out"), "--plugin", str(PLUGIN), *arguments]
    return _paced(ranks, words, pace_s, options)


def restart(ranks: int, directory: Path, *arguments: str, pace_s: float = 0.0, **options: Any) -> Outcome:
    """Go on with it."""
    return _paced(ranks, ["restart", str(directory / "out"), "--plugin", str(PLUGIN), *arguments], pace_s, options)


def _paced(ranks: int, words: list[str], pace_s: float, options: dict[str, Any]) -> Outcome:
    given = {"PACE_S": str(pace_s), **options.pop("environment", {})}
    return hpcsim(ranks, *words, environment=given, limit_s=options.pop("limit_s", 60.0), **options)


def wait_for(condition: Any, limit_s: float = 30.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the run never came so far")
        time.sleep(0.01)


def step_now(directory: Path) -> int:
    """Step of the live run, -1 before its first news."""
    try:
        return int(json.loads((directory / "out" / "status.json").read_text())["step"])
    except (OSError, ValueError, KeyError):
        return -1


def checkpoints(directory: Path) -> list[str]:
    """Names of the checkpoints."""
    return sorted(path.name for path in (directory / "out" / "ckpt").glob("step-*"))


def results(directory: Path) -> dict[str, Any]:
    """What must not depend on stops and restarts: digests, step, time, series, names of the snapshots."""
    out = directory / "out"
    state = record(out)
    assert state["finished"], state
    snapshots = sorted(path.name for path in (out / "snapshots").glob("step-*"))
    return {
        "digest": state["digest"], "steps": state["steps"], "time": state["time"], "dt": state["dt"],
        "series": (out / "history.csv").read_text(), "snapshots": snapshots,
    }  # fmt: skip
