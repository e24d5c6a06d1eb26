"""Finds a run that hangs, says which rank is the odd one, and ends it with exit code 86.

A thread per rank looks whether the loop still beats. When a rank overruns it writes its phase, beat count and the
stacks of all threads to a file, waits a moment for the others to do the same, and compares: a rank that cannot report
is stopped, and a rank in another phase, another place or at another beat than the majority is the one that left the
common order. The thread calls no MPI, so it works while the library is stuck.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

EXIT_CODE = 86
_PAUSED_FACTOR, _PAUSED_LEAST_S = 10.0, 1800.0
_OURS = f"{os.sep}hpcsim{os.sep}comm{os.sep}"


class RankReport(NamedTuple):
    """What one rank says when it overruns."""

    rank: int
    phase: str
    beats: int
    place: str


class Watchdog:
    """Watches the beats of the run loop on this rank.

    Parameters
    ----------
    context : Context
        All ranks; creation is collective.
    limit_s : float
        Longest time between beats, seconds. While paused it is ten times as long, and at least half an hour.
    log_dir : path
        Where stacks and reports go; common to all ranks.

    Examples
    --------
    >>> import tempfile
    >>> from hpcsim.comm.context import Context
    >>> with Watchdog(Context.serial(), 60.0, tempfile.mkdtemp()) as watchdog:
    ...     watchdog.beat("step")
    ...     with watchdog.pause():
    ...         pass
    """

    def __init__(self, context: Context, limit_s: float, log_dir: str | os.PathLike[str]) -> None:
        self.rank, self.size, self.hosts = context.rank, context.size, context.hosts
        self.limit_s = float(limit_s)
        self.paused_s = max(_PAUSED_FACTOR * self.limit_s, _PAUSED_LEAST_S)
        self.grace_s = min(5.0, 0.5 + 0.25 * self.limit_s)
        self.directory = Path(log_dir)
        self.directory.mkdir(parents=True, exist_ok=True)
        # Reports of an earlier run in the same directory carry another token and are not mistaken for ours.
        self._token = context.bcast_text(f"{os.getpid()}-{time.monotonic_ns()}")
        self.beats = 0
        self.phase = "start"
        self._paused = 0
        self._lock = threading.Lock()
        self._main = threading.current_thread().ident
        self._stopping = threading.Event()
        # Open from now on: at an overrun there may be no descriptor or memory left to open it.
        stacks = self.directory / f"watchdog.rank{self.rank:05d}.stacks"
        self._stacks: Any = open(stacks, "w", encoding="utf-8")  # noqa: SIM115
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def beat(self, phase: str) -> None:
        """Say that the loop is alive and what it does now; two attribute stores."""
        self.phase = phase
        self.beats += 1

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Take the longer limit `paused_s` on this rank, during compilation or long input and output."""
        with self._lock:
            self._paused += 1
            self.beats += 1
            faulthandler.cancel_dump_traceback_later()
        try:
            yield
        finally:
            self._paused -= 1
            self.beats += 1

    def stop(self) -> None:
        """End the thread; harmless the second time."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()
            self._stacks.close()
            # Nothing was dumped: thousands of ranks would leave as many empty files.
            Path(self._stacks.name).unlink(missing_ok=True)
            with suppress(OSError):
                self.directory.rmdir()

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()

    def _watch(self) -> None:
        """Look ten times per limit; the clock is monotone and never compared between ranks."""
        tick = min(1.0, self.limit_s / 10)
        seen, since = self.beats, time.monotonic()
        while not self._stopping.wait(tick):
            # If compiled code keeps the interpreter lock this thread cannot run: a plain C timer then ends the process.
            with self._lock:
                limit = self.paused_s if self._paused else self.limit_s
                faulthandler.dump_traceback_later(2 * limit + self.grace_s, exit=True, file=self._stacks)
            if self.beats != seen:
                seen, since = self.beats, time.monotonic()
            elif time.monotonic() - since > limit:
                self._overrun(limit)

    def _overrun(self, limit: float) -> None:
        try:
            self._report()
            time.sleep(self.grace_s)
            reports = self._collect()
            if min(report.rank for report in reports) == self.rank:
                os.write(2, self._verdict(reports, limit).encode(errors="replace"))
            else:
                # The lowest reporting rank prints; the first exit makes the launcher end all others.
                time.sleep(1.0)
        finally:
            os._exit(EXIT_CODE)

    def _report(self) -> None:
        faulthandler.dump_traceback(file=self._stacks, all_threads=True)
        self._stacks.flush()
        entry = RankReport(self.rank, self.phase, self.beats, self._place())
        final = self.directory / f"watchdog.rank{self.rank:05d}.json"
        partial = final.with_suffix(".tmp")
        partial.write_text(json.dumps({"token": self._token, **entry._asdict()}), encoding="utf-8")
        partial.replace(final)

    def _place(self) -> str:
        """File, line and function where the main thread is, leaving out the communication layer itself."""
        frame = sys._current_frames().get(self._main or 0)
        stack = traceback.extract_stack(frame) if frame is not None else []
        for entry in reversed(stack):
            if _OURS not in entry.filename and not entry.filename.startswith("<"):
                return f"{entry.filename}:{entry.lineno} in {entry.name}"
        return "unknown"

    def _collect(self) -> list[RankReport]:
        reports = [RankReport(self.rank, self.phase, self.beats, self._place())]
        for path in self.directory.glob("watchdog.rank*.json"):
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if found.pop("token", None) == self._token and found["rank"] != self.rank:
                reports.append(RankReport(**found))
        return sorted(reports)

    def _verdict(self, reports: Sequence[RankReport], limit: float) -> str:
        odd, why = find_odd(reports, self.size)
        lines = [f"hpcsim: watchdog: no progress for {limit:g} s; the run is ended with exit code {EXIT_CODE}"]
        if odd:
            named = ", ".join(f"rank {rank} on {self.hosts[rank]}" for rank in odd[:8])
            lines.append(f"odd one out: {named}{', ...' if len(odd) > 8 else ''}: {why}")
        else:
            lines.append("all ranks are at the same place; none is the odd one")
        groups: dict[tuple[str, str], list[int]] = {}
        for report in reports:
            groups.setdefault((report.phase, report.place), []).append(report.rank)
        for (phase, place), ranks in sorted(groups.items(), key=lambda item: item[1]):
            shown = ",".join(map(str, ranks[:16])) + (",..." if len(ranks) > 16 else "")
            lines.append(f"  rank {shown}: phase '{phase}', {place}")
        return "\n".join([*lines, f"stacks of all threads: {self.directory}/watchdog.rank*.stacks", ""])


def find_odd(reports: Sequence[RankReport], size: int) -> tuple[list[int], str]:
    """The ranks that differ from the majority and how; empty if all agree.

    Parameters
    ----------
    reports : sequence of RankReport
        Those that could report.
    size : int
        Number of ranks of the run.

    Examples
    --------
    >>> at = [RankReport(r, "exchange", 7, "loop.py:10 in run") for r in (0, 1, 3)]
    >>> find_odd([*at, RankReport(2, "output", 7, "writer.py:5 in write")], 4)
    ([2], "in phase 'output' while the others are in 'exchange'")
    >>> find_odd(at, 4)[0]
    [2]
    """
    missing = sorted(set(range(size)) - {report.rank for report in reports})
    if missing:
        return missing, "gave no report: stopped, killed, or still busy in work that does not beat"
    for name, text in (
        ("beats", "at beat {} while the others are at {}"),
        ("phase", "in phase '{}' while the others are in '{}'"),
        ("place", "at {} while the others are at {}"),
    ):
        counts = Counter(getattr(report, name) for report in reports)
        if len(counts) > 1:
            common = max(counts, key=lambda value: (counts[value], -_first(reports, name, value)))
            odd = [report for report in reports if getattr(report, name) != common]
            return [report.rank for report in odd], text.format(getattr(odd[0], name), common)
    return [], ""


def _first(reports: Sequence[RankReport], name: str, value: Any) -> int:
    """Lowest rank with a value; ties between equally large groups go to the group that holds it."""
    return min(report.rank for report in reports if getattr(report, name) == value)
