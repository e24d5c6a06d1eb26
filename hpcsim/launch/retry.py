"""Starts the ranks of a run again from the newest good checkpoint when one of them is lost.

MPI ends all ranks when one is gone, so what starts them again lives outside of MPI: a small process that runs the
launcher, and judges by ``run.json`` and the checkpoints, not by exit codes alone.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcsim.errors import DiskError
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.record import read_record

# Exit codes after which another start would end the same way: see `hpcsim.errors`.
FINAL = frozenset({0, 2, 3, 4, 5, 6, 75})
OUTCOMES = {"finished": 0, "stopped": 75}
IDLE_STARTS = 2
FORWARDED = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.05


class Supervisor:
    """Runs a job until it has ended for good.

    Parameters
    ----------
    root : Path
        Run directory.
    first, again : sequence of str
        Command of the first start, and of those that go on from a checkpoint.
    retries : int
        Starts beyond the first.
    say : callable
        Gets a line for every new start.
    asked : callable
        Number of the signal that asks for a stop, 0 if none.
    """

    def __init__(
        self,
        root: Path,
        first: Sequence[str],
        again: Sequence[str],
        retries: int,
        say: Callable[[str], None],
        asked: Callable[[], int] = lambda: 0,
    ) -> None:
        self._root, self._first, self._again = root, list(first), list(again)
        self._retries, self._say, self._asked = retries, say, asked

    def run(self) -> int:
        """Start, and start again while that helps; the exit code of the run."""
        idle = 0
        for start in range(self._retries + 1):
            before = self._newest()
            record, fresh = self._record(), not start or before < 0
            code = self._outcome(self._start(self._first if fresh else self._again), record)
            if code in FINAL or self._asked():
                return code
            after = self._newest()
            idle = 0 if after > before else idle + 1
            place = f"step {after}" if after >= 0 else "the beginning"
            if idle >= IDLE_STARTS:
                self._say(f"exit code {code}; {IDLE_STARTS} starts without progress beyond {place}, not started again")
                return code
            if start < self._retries:
                self._say(f"exit code {code}; starts again from {place} (retry {start + 1} of {self._retries})")
        return code

    def _newest(self) -> int:
        """Step of the newest checkpoint, -1 if there is none."""
        store = CheckpointStore(self._root / "ckpt")
        for name in store.names():
            try:
                return store.read_manifest(name).step
            except DiskError:
                continue
        return -1

    def _start(self, command: list[str]) -> int:
        """Run a command to its end, passing signals on; its exit code as a shell gives it."""
        job = subprocess.Popen(command, start_new_session=True)
        passed = 0
        while job.poll() is None:
            if self._asked() and not passed:
                passed = self._asked()
                job.send_signal(passed)
            time.sleep(_POLL_S)
        return job.returncode if job.returncode >= 0 else 128 - job.returncode

    def _record(self) -> dict[str, Any]:
        """The record of the run, empty if there is none."""
        try:
            return read_record(self._root)
        except DiskError:
            return {}

    def _outcome(self, code: int, before: Mapping[str, Any]) -> int:
        """The exit code, corrected by what the record says: launchers change codes, and report success for nothing.

        A record that is still the one from before the start says nothing of it.
        """
        record = self._record()
        if record != before and record.get("status") in OUTCOMES:
            return OUTCOMES[record["status"]]
        # Going on with a run that had ended leaves its record as it is.
        if code == 0 and record.get("status") == "finished" and self._first == self._again:
            return 0
        return code if code else 70


def without_options(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """Command line arguments without some options and their values.

    Examples
    --------
    >>> without_options(["case.toml", "--retries", "3", "--quiet", "--ranks=4"], ["--retries", "--ranks"])
    ['case.toml', '--quiet']
    """
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in names:
            skip = True
        elif argument.partition("=")[0] not in names:
            kept.append(argument)
    return kept
