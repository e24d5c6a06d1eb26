"""``hpcsim doctor``: is this installation and this launch sound, and if not, what to do."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpcsim import __version__
from hpcsim.errors import HpcsimError, LaunchError
from hpcsim.machine import detect, placement, stack
from hpcsim.machine.stack import Finding
from hpcsim.native.store import cache_directory

PROBES = ("numba", "petsc", "mpi", "h5py", "numpy", "scipy", "pydantic", "xxhash", "matplotlib", "xarray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Report on the first rank; 0 unless something failed."""
    first = detect.launched_rank(os.environ) == 0
    # Probes start processes, which must happen before this process starts MPI.
    findings = examine() if first else []
    findings += examine_launch()
    if first:
        print(as_json(findings) if args.json else as_table(findings))
    return LaunchError.exit_code if stack.worst(findings) == "fail" else 0


def examine() -> list[Finding]:
    """All findings that need no partner ranks."""
    facts = detect.run_probes(PROBES)
    forced = None
    if facts["h5py"].get("parallel") is False and "H5PY_ALWAYS_USE_MPI" not in os.environ:
        forced = detect.run_probes(["h5py"], extra={"H5PY_ALWAYS_USE_MPI": "1"})["h5py"]
    processors = detect.affinity()
    root = placement.check_root(os.environ, facts["mpi"].get("vendor", ""))
    return [
        Finding("hpcsim", "ok", f"{__version__}, Python {platform.python_version()}, {sys.executable}"),
        *stack.check_required(facts),
        stack.check_numba(facts["numba"]),
        *stack.check_mpi(facts["mpi"], detect.launcher_version()),
        stack.check_h5py(facts["h5py"], forced),
        stack.check_petsc(facts["petsc"]),
        stack.check_one_mpi(facts),
        *stack.check_optional(facts),
        placement.check_affinity(processors, os.cpu_count() or 1),
        placement.check_threads(os.environ, processors),
        *([root] if root else []),
        placement.check_cache(os.environ, cache_directory()),
        placement.check_working_directory(Path.cwd()),
    ]


def examine_launch() -> list[Finding]:
    """Whether the ranks the launcher started found each other, and how they sit on the nodes; collective."""
    from hpcsim.comm.context import Context
    from hpcsim.comm.launch_check import expected_tasks

    tasks, variable = expected_tasks(os.environ)
    if tasks == 1:
        return [Finding("launch", "ok", "one rank", "to check a launch: mpirun -n 2 hpcsim doctor")]
    try:
        with Context.launch() as context:
            notes = context.gather_text("\n".join(context.warnings))
            size, nodes = context.size, len(set(context.hosts))
    except HpcsimError as error:
        return [Finding("launch", "fail", f"{variable}={tasks}", str(error))]
    if notes is None:
        return []
    odd = sorted({line for note in notes for line in note.splitlines()})
    return [
        Finding("launch", "ok", f"{size} ranks on {nodes} node{'s' if nodes > 1 else ''} found each other"),
        *(Finding("launch", "warn", *line.split("; ", 1)) for line in odd),
    ]


def as_json(findings: list[Finding]) -> str:
    """The report for programs."""
    report: dict[str, Any] = {
        "status": stack.worst(findings),
        "host": detect.host(),
        "memory_bytes": detect.memory_bytes(),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(report, indent=2)


def as_table(findings: list[Finding]) -> str:
    """The report for people: one line a finding, the remedy below it."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:<4}  {finding.name:<{width}}  {finding.found}")
        indent = " " * (width + 8)
        lines += textwrap.wrap(finding.remedy, 100, initial_indent=indent + "-> ", subsequent_indent=indent + "   ")
    counts = {status: sum(f.status == status for f in findings) for status in ("ok", "warn", "fail")}
    return "\n".join([*lines, "", ", ".join(f"{count} {status}" for status, count in counts.items())])
