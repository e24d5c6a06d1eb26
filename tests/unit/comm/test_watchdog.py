"""Which rank the watchdog calls the odd one, and that it uses monotone clocks only (F-21, F-42)."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

import hpcsim
from hpcsim.comm.context import Context
from hpcsim.comm.watchdog import RankReport, Watchdog, find_odd

HERE, THERE = "loop.py:10 in run", "writer.py:5 in write"


def reports(*rows: tuple[str, int, str]) -> list[RankReport]:
    """Reports of ranks 0, 1, ..."""
    return [RankReport(rank, *row) for rank, row in enumerate(rows)]


@pytest.mark.parametrize("odd", range(4))
def test_minority_is_named(odd: int) -> None:
    """F-21: by beat, by phase, by place, or by silence."""
    usual = ("exchange", 5, HERE)
    for strange, word in (
        (("exchange", 7, HERE), "beat 7"),
        (("output", 5, HERE), "'output'"),
        (("exchange", 5, THERE), "writer"),
    ):
        ranks, why = find_odd(reports(*(strange if rank == odd else usual for rank in range(4))), 4)
        assert ranks == [odd] and word in why
    silent = [report for report in reports(*[usual] * 4) if report.rank != odd]
    assert find_odd(silent, 4)[0] == [odd]
    assert find_odd(reports(*[usual] * 4), 4) == ([], "")


def test_old_reports_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    """Files that an earlier run left in the directory carry another token."""
    (tmp_path / "watchdog.rank00003.json").write_text('{"token": "x", "rank": 3, "phase": "", "beats": 0, "place": ""}')
    (tmp_path / "watchdog.rank00004.json").write_text("{half")
    with Watchdog(Context.serial(), 60.0, tmp_path) as watchdog:
        assert [report.rank for report in watchdog._collect()] == [0]


def test_beat_is_cheap(tmp_path: Path) -> None:
    """Twenty microseconds would show in a run of small steps; a beat is two stores."""
    with Watchdog(Context.serial(), 60.0, tmp_path) as watchdog:
        start = time.perf_counter()
        for _ in range(10_000):
            watchdog.beat("step")
        assert time.perf_counter() - start < 0.05
        assert watchdog.beats == 10_000 and watchdog.phase == "step"
    watchdog.stop()


def test_clock_jump_sets_off_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-42: with the wall clock running backwards the watchdog and the ranks' waiting go on as before."""
    jumps = iter(range(10**9, 0, -86400))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    with Watchdog(Context.serial(), 0.3, tmp_path) as watchdog:
        for _ in range(8):
            time.sleep(0.05)
            watchdog.beat("step")
    assert not list(tmp_path.glob("*.json"))


def test_no_wall_clock_in_the_source() -> None:
    """F-42: the communication layer and the timers read monotone clocks only."""
    package = Path(hpcsim.__file__).parent
    wall = []
    for path in [*package.glob("comm/*.py"), package / "timing.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {
                "time.time",
                "time.time_ns",
                "datetime.now",
                "datetime.datetime.now",
            }:
                wall.append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime"}:
                wall.append(f"{path.name}:{node.lineno} imports from {node.module}")
    assert not wall
