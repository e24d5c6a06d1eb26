"""A loop under the watchdog in which one rank goes out of step, stops, or keeps the interpreter lock (F-21, F-23)."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

from hpcsim.comm.context import Context
from hpcsim.comm.watchdog import Watchdog


def write_output(context: Context) -> None:
    """The other place: a collective the others do not reach."""
    context.barrier()


def announce_pid(log_dir: str, rank: int) -> None:
    """Leave the process id in a file, since lines of several ranks may mix in the launcher's output."""
    draft = Path(log_dir) / f".pid.{rank}"
    draft.write_text(str(os.getpid()))
    draft.rename(Path(log_dir) / f"pid.{rank}")


def main(kind: str, rank: int, limit_s: float, log_dir: str) -> None:
    """Steps of two phases each; from step 10 on, one rank misbehaves."""
    with Context.launch() as context, Watchdog(context, limit_s, log_dir) as watchdog:
        announce_pid(log_dir, context.rank)
        for step in range(10_000):
            odd = step == 10 and context.rank == rank
            if odd:
                print(f"fault at {time.monotonic()}", flush=True)
            if odd and kind == "lock":
                ctypes.PyDLL(None).sleep(600)
            if odd and kind == "slow":
                time.sleep(0.6 * limit_s)
            if odd and kind == "pause":
                with watchdog.pause():
                    time.sleep(3 * limit_s)
                    ctypes.PyDLL(None).sleep(3)
            if kind in ("slow", "pause") and step == 40:
                break
            if not (odd and kind == "skip"):
                watchdog.beat("exchange")
                context.max(float(step))
            if odd and kind == "order":
                watchdog.beat("output")
                write_output(context)
            watchdog.beat("step")
            time.sleep(0.01)
            if kind == "skip" and step >= 9:
                watchdog.beat("output")
                write_output(context)
        print("finished", flush=True)


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
