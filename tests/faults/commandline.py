"""Runs whole cases through the command line, for the fault tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.driver import CASES, Outcome, run_python

PLUGIN = CASES / "harm.py"
CASE = """
[lattice]
shape = [24, 18]
boundary = { x = "periodic", y = "harmful" }
[model]
name = "diffusion"
[initial]
u = "sin(2*pi*x/24) + 0.1*y"
[run]
steps = 60
backend = "numpy"
[output]
every = "end"
"""
PLAIN = CASE.replace('{ x = "periodic", y = "harmful" }', '"periodic"')


def write_case(directory: Path, text: str = PLAIN, name: str = "case.toml") -> Path:
    """A case file in a directory."""
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def hpcsim(ranks: int, *arguments: str | Path, **options: Any) -> Outcome:
    """One command line on some ranks, or without a launcher with ``ranks=0``; options as in `run_python`."""
    return run_python(ranks, "-m", "hpcsim", *map(str, arguments), **options)


def harmful_run(
    ranks: int, directory: Path, kind: str, odd: str, *settings: str, environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Outcome:  # fmt: skip
    """Run the case whose walls or messages do harm on a rank; the results are in ``out`` of the directory."""
    case = write_case(directory, CASE)
    changes = [word for setting in settings for word in ("--set", setting)]
    given = {"HARM": kind, "HARM_RANK": odd, **(environment or {})}
    output = directory / "out"
    return hpcsim(
        ranks, "run", case, "--plugin", PLUGIN, "--output-dir", output, *changes, environment=given, **options
    )


def record(directory: Path) -> dict[str, Any]:
    """The run record in a run directory."""
    found: dict[str, Any] = json.loads((directory / "run.json").read_text())
    return found


def said(outcome: Outcome) -> str:
    """What hpcsim itself wrote to standard error, without the words of the launcher."""
    return "\n".join(line for line in outcome.err.splitlines() if line.startswith(("hpcsim:", "  ", "warning:")))
