#!/usr/bin/env python3
"""Run the faults, restarts and overheads again and write the figures into docs/reliability.md.

scripts/reliability.py               CI size, some minutes
scripts/reliability.py --nightly     every kill and flip of the specification, on 256^3 cells, for hours
scripts/reliability.py --only kills  the rows whose name holds a word
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
RANKS = (1, 2, 3, 4)
LIMIT_S = 14_400
CASE = """
[lattice]
shape = [{n}, {n}, {n}]
boundary = "periodic"
[model]
name = "klein_gordon"
[initial]
E = "exp(-((x - {n}/2)**2 + (y - {n}/2)**2 + (z - {n}/2)**2)/40)"
[run]
steps = {steps}
[output]
every = "end"
[checkpoint]
at_end = false
"""


@dataclass
class Outcome:
    """What some tests did, summed up.

    Attributes
    ----------
    passed, failed : int
        Tests.
    numbers : dict of str to list of float
        Properties that the tests recorded: ``tried``, ``bad``, ``seconds``, ...
    """

    passed: int = 0
    failed: int = 0
    numbers: dict[str, list[float]] = field(default_factory=dict)

    def total(self, name: str) -> float:
        """Sum of a property; without it every test counts as one try, every failure as bad."""
        if name in self.numbers:
            return sum(self.numbers[name])
        return float({"tried": self.passed + self.failed, "bad": self.failed}.get(name, 0))


@dataclass(frozen=True)
class Row:
    """One figure from tests.

    Attributes
    ----------
    name : str
        What is tried.
    cases : str
        Identifiers of the fault table.
    paths : tuple of str
        Files of tests.
    words : str
        Selection of tests, as for ``pytest -k``.
    show : callable
        The figure from the outcome.
    on_ranks : bool
        Whether the tests run under ``mpirun`` on 1 to 4 ranks.
    """

    name: str
    cases: str
    paths: tuple[str, ...]
    words: str
    show: Callable[[Outcome], str]
    on_ranks: bool = False


def bad_of_tried(what: str) -> Callable[[Outcome], str]:
    """Figure ``0 what of 500``."""
    return lambda found: f"{found.total('bad'):.0f} {what} of {found.total('tried'):.0f}"


def good_of_all(found: Outcome) -> str:
    """Figure ``12 of 12``."""
    return f"{found.passed} of {found.passed + found.failed}"


FAULTS = "tests/faults"
DISK = f"{FAULTS}/test_checkpoint_io.py"
FILES = f"{FAULTS}/test_checkpoint_files.py"
LADDER = ("tests/parallel/test_ladder.py", "tests/parallel/test_restart_ladder.py")
ROWS = (
    Row("a rank, or all with their launcher, killed while a checkpoint is written", "F-02, F-04", (DISK,),
        "killed_at_any or launcher", bad_of_tried("bad restarts")),
    Row("a process killed at each single call to the disk", "F-02", (DISK,), "killed_at_every",
        bad_of_tried("bad restarts")),
    Row("a rank or the whole job killed between steps", "F-03, F-04, F-46, NODEFAIL",
        (f"{FAULTS}/test_lost_ranks.py",), "", good_of_all),
    Row("each single call to the disk fails, on each of 1 to 4 ranks", "F-01, F-07",
        ("tests/parallel/test_checkpoint_write.py",), "every_single_call", bad_of_tried("bad restarts"), True),
    Row("the disk is full, or files may not grow", "F-05, F-06", (DISK,), "full_disk or size_limit", good_of_all),
    Row("one bit flipped in a file of a checkpoint", "F-09", (FILES,), "flip and not would_fail",
        bad_of_tried("silent")),
    Row("a file cut off at a random byte", "F-08", (FILES,), "truncated", bad_of_tried("silent")),
    Row("hostile and damaged HDF5 files", "F-36, F-37", ("tests/unit/output/checkpoint/test_guard.py",), "",
        good_of_all),
    Row("stops by signal, file and end of time", "F-15, F-16", (f"{FAULTS}/test_stop.py",), "", good_of_all),
    Row("one rank fails, vanishes, leaves", "F-20", (f"{FAULTS}/test_one_rank_leaves.py",
        f"{FAULTS}/test_run_one_rank.py"), "", good_of_all),
    Row("the watchdog names the right rank", "F-21 to F-23", (f"{FAULTS}/test_hang.py", f"{FAULTS}/test_run_hang.py"),
        "", good_of_all),
    Row("same answer, rung by rung, 1 to 4 ranks", "REP, PEM, LAY, NAN, ERS, IRT, ERR, ERP, ERIO", LADDER,
        "not notice", good_of_all, True),
    Row("same answer in processes of their own, up to 8 ranks", "PEA, PET, PEM, DIM", ("tests/ladder",), "",
        good_of_all),
    Row("faults put in on purpose that the ladder notices", "TEST-OF-TEST", LADDER, "notice", good_of_all, True),
    Row("hostile formulas that are executed", "F-34, F-35", (f"{FAULTS}/test_case_file.py",), "hostile",
        bad_of_tried("executed")),
    Row("configurations with misspelt keys, each key in turn", "F-32", (f"{FAULTS}/test_case_file.py",), "misspelt",
        good_of_all),
)  # fmt: skip


def environment() -> dict[str, str]:
    """Ranks may outnumber the processors; one thread each."""
    return {
        **os.environ, "PYTHONPATH": str(ROOT), "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none", "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def run_tests(row: Row, nightly: bool) -> Outcome:
    """Run the tests of a row and read what they recorded."""
    found = Outcome()
    for ranks in RANKS if row.on_ranks else (0,):
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "report.xml"
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--junitxml={report}",
                *row.paths,
            ]
            command += ["-m", "" if nightly else "not nightly"] + (["-k", row.words] if row.words else [])
            if ranks:
                command = ["mpirun", "-n", str(ranks), *command, "--with-mpi"]
            subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, timeout=LIMIT_S, check=False)
            if not report.exists():
                raise SystemExit(f"the tests of '{row.name}' did not run: {' '.join(command)}")
            _add(found, ElementTree.parse(report))
    return found


def _add(found: Outcome, report: ElementTree.ElementTree) -> None:
    for case in report.iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        found.failed += failed
        found.passed += not failed
        for item in case.iter("property"):
            try:
                found.numbers.setdefault(item.attrib["name"], []).append(float(item.attrib["value"]))
            except ValueError:
                continue


@contextmanager
def case_directory(n: int, steps: int) -> Iterator[Path]:
    """A directory with the case of the overheads."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as directory:
        (Path(directory) / "case.toml").write_text(CASE.format(n=n, steps=steps))
        yield Path(directory)


def stepping_seconds(directory: Path, *settings: str) -> float:
    """Seconds of the steps of a run, with what they waited for checkpoints and checks."""
    changes = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "hpcsim", "run", "case.toml", "--quiet", "--output-dir", "out", *changes]
    subprocess.run(command, cwd=directory, env=environment(), check=True, capture_output=True, timeout=LIMIT_S)
    record = json.loads((directory / "out" / "run.json").read_text())
    regions = record["regions_s"]
    return float(record["steps_wall_s"] + regions.get("checkpoint", 0.0) + regions.get("diagnostics", 0.0))


def overhead(settings: tuple[str, ...], without: tuple[str, ...], n: int, steps: int, rounds: int) -> str:
    """Extra time of some settings over others, in turn, median of the rounds."""
    with case_directory(n, steps) as directory:
        stepping_seconds(directory, *without)
        ratios = []
        for _ in range(rounds):
            base = stepping_seconds(directory, *without)
            ratios.append(stepping_seconds(directory, *settings) / base - 1.0)
    return f"{100 * statistics.median(ratios):.1f} % (from {100 * min(ratios):.1f} to {100 * max(ratios):.1f})"


def nan_check_share(n: int, rounds: int) -> str:
    """Time of one look for NaN over the time of 50 steps, in turn; too small for whole runs to show it."""
    script = (
        "import time\nfrom hpcsim.comm.context import Context\nfrom hpcsim.config.load import load\n"
        "from hpcsim.diagnostics.finite import check_finite\nfrom hpcsim.simulation.build import build\n"
        "with build(load('case.toml'), Context.serial()) as simulation:\n"
        f"    for turn in range({rounds} + 1):\n"
        "        begin = time.perf_counter()\n        simulation.advance(50)\n"
        "        middle = time.perf_counter()\n"
        "        check_finite(simulation.context, simulation.state, simulation.case.specs, simulation.step)\n"
        "        print('share', (time.perf_counter() - middle) / (middle - begin))\n"
    )
    with case_directory(n, 50) as directory:
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=directory, env=environment(), capture_output=True, text=True,
            check=True, timeout=LIMIT_S,
        )  # fmt: skip
    shares = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("share")][1:]
    return f"{100 * statistics.median(shares):.2f} % (from {100 * min(shares):.2f} to {100 * max(shares):.2f})"


def files_at_start() -> str:
    """Files that a warm run of a small case opens, counted by an audit hook."""
    script = (
        "import sys\ncount = [0]\n"
        "sys.addaudithook(lambda event, values: count.__setitem__(0, count[0] + (event == 'open')))\n"
        "from hpcsim.cli.main import main\nmain(['run', 'case.toml', '--quiet', '--output-dir', 'out'])\n"
        "print('opened', count[0])\n"
    )
    with case_directory(16, 4) as directory:
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", script], cwd=directory, env=environment(), capture_output=True, text=True,
                check=True, timeout=300,
            )  # fmt: skip
    return done.stdout.split("opened")[-1].strip()


def measured(nightly: bool) -> dict[tuple[str, str], Callable[[], str]]:
    """Figures that are measured: name and cases to what measures them."""
    n, rounds = (256, 5) if nightly else (96, 3)
    off, no_check = ("checkpoint.enabled=false", "run.check_finite_every=0"), ("run.check_finite_every=0",)
    return {
        (f"checkpoint every 100 steps, {n}^3 Klein-Gordon", "PERF-06"): lambda: overhead(
            ('checkpoint.every="100 steps"', *no_check), off, n, 400, rounds
        ),
        (f"checkpoint every 300 steps, {n}^3 Klein-Gordon", "PERF-06"): lambda: overhead(
            ('checkpoint.every="300 steps"', *no_check), off, n, 900, rounds
        ),
        (f"look for NaN every 50 steps, {n}^3", "F-24"): lambda: nan_check_share(n, rounds),
        (f"checkpoints, NaN check and sealed messages on against off, {n}^3", "issue B"): lambda: overhead(
            ('checkpoint.every="300 steps"', "run.check_finite_every=50", "run.check_messages=true"),
            off,
            n,
            900,
            rounds,
        ),
        ("files opened at a warm start", "F-41"): files_at_start,
    }


def figures(nightly: bool, only: str) -> Iterator[tuple[str, str, str]]:
    """Every figure: what is tried, the cases it belongs to, the result."""
    for row in ROWS:
        if only in row.name:
            yield row.name, row.cases, row.show(run_tests(row, nightly))
    for (name, cases), measure in measured(nightly).items():
        if only in name:
            yield name, cases, measure()


def write_row(name: str, cases: str, result: str, nightly: bool) -> None:
    """Put a figure into the table of the page, in place of the older one of that name."""
    head, rest = PAGE.read_text().split(BEGIN)
    table, tail = rest.split(END)
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines() if line.startswith("| ")}
    rows.pop("tried", None)
    size = "nightly" if nightly else "CI size"
    rows[name] = f"| {name} | {cases} | {result} | {size}, {date.today():%d %B %Y} |"
    order = [row.name for row in ROWS]
    names = sorted(rows, key=lambda known: (order.index(known) if known in order else len(order), known))
    lines = ["| tried | cases | found | run |", "|---|---|---|---|", *(rows[known] for known in names)]
    PAGE.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + tail)


def main() -> None:
    """Run what is asked for and renew these rows of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nightly", action="store_true", help="every kill and flip, large lattices")
    parser.add_argument("--only", default="", metavar="WORD", help="only the rows whose name holds a word")
    args = parser.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    for name, cases, result in figures(args.nightly, args.only):
        print(f"{name} | {cases} | {result}", flush=True)
        write_row(name, cases, result, args.nightly)


if __name__ == "__main__":
    main()
