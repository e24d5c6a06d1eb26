"""Runs tests under mpirun so that no rank is left waiting: every phase of every test is agreed on by all ranks.

A test that fails on any rank fails on all, a skip is a failure, and a rank that hangs (or that others wait for) ends
the whole job with the name of the test and the stacks of that rank.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from hpcsim.comm.context import Context

LIMIT_S = 60.0
PATIENCE_S = 10.0
ABORT_CODE = 97


class Harness:
    """The pytest plugin of one rank; the communicator is its own, so tests cannot get out of step with it."""

    def __init__(self, config: pytest.Config) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self._config = config
        self._limit = float(os.environ.get("HPCSIM_TEST_LIMIT_S", LIMIT_S))
        self._patience = min(PATIENCE_S, self._limit / 2)
        self.context = Context(MPI.COMM_WORLD)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Time limit of the whole test on this rank; a thread, since the main one may hang inside MPI."""
        timer = threading.Timer(self._limit, self._abort, (f"{item.nodeid} did not end in {self._limit:g} s",))
        timer.daemon = True
        timer.start()
        yield
        timer.cancel()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
        """One outcome of a phase for all ranks."""
        outcome = yield
        report = outcome.get_result()
        if report.outcome == "skipped":
            report.outcome, report.longrepr = "failed", f"skipped, which hides a missing test: {report.longrepr}"
        failed = report.outcome == "failed"
        key = f"{item.nodeid}:{report.when}"
        if self._agree(key, failed, f"{key} failed here:\n{report.longreprtext}" if failed else key):
            texts = self.context.gather_text(report.longreprtext) or []
            report.outcome = "failed"
            bad = [f"--- rank {rank} of {self.context.size} ---\n{text}" for rank, text in enumerate(texts) if text]
            report.longrepr = "\n".join(bad) or report.longrepr or "failed on another rank"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All ranks must have found the same tests."""
        names = "\n".join([*(item.nodeid for item in session.items), f"{session.testsfailed} errors"])
        self._agree(f"collection of {hashlib.sha256(names.encode()).hexdigest()}", False, "collection")

    def pytest_keyboard_interrupt(self, excinfo: object) -> None:
        """An interrupt ends the session here only: take the other ranks along."""
        self._abort(f"interrupted: {excinfo}")

    def _agree(self, key: str, failed: bool, text: str) -> bool:
        """Whether the phase failed on any rank; ends the job if a rank does not arrive or is in another test."""
        digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        mine, worst = np.array([failed, digest, -digest], np.int64), np.zeros(3, np.int64)
        request = self.context.comm.Iallreduce(mine, worst, op=self._mpi.MAX)
        limit = time.monotonic() + (self._patience if failed else self._limit)
        while not request.Test():
            if time.monotonic() > limit:
                self._abort(f"other ranks did not come to the end of it; {text}")
            time.sleep(1e-4)
        if worst[1] != digest or -worst[2] != digest:
            self._abort(f"ranks are in different tests; this one is at {text}")
        return bool(worst[0])

    def _abort(self, why: str) -> None:
        """Show why on the real standard error (pytest holds the descriptor) and end every rank."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        os.write(2, f"\nparallel harness: rank {self.context.rank}: {why}\n".encode(errors="replace"))
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        timer = threading.Timer(3.0, os._exit, (ABORT_CODE,))
        timer.daemon = True
        timer.start()
        self.context.comm.Abort(ABORT_CODE)


def quiet(config: pytest.Config) -> None:
    """Silence the reporter and the cache of a rank that is not the first."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter._tw._file = open(os.devnull, "w")  # noqa: SIM115
    for name in ("lfplugin", "nfplugin", "stepwiseplugin"):
        if config.pluginmanager.hasplugin(name):
            config.pluginmanager.unregister(name=name)
