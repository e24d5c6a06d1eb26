"""One rank leaves in a given way in the middle of a loop of collectives (F-20)."""

from __future__ import annotations

import os
import sys
import threading
import time

from hpcsim.comm.context import Context
from hpcsim.errors import BlowUpError


class Finalized:
    """Raises when it is destroyed."""

    def __del__(self) -> None:
        raise ValueError("in __del__")


def leave(kind: str) -> None:
    """Leave in the way named."""
    print(f"fault at {time.monotonic()}", flush=True)
    if kind == "exception":
        raise ValueError("broken step")
    if kind == "hpcsim":
        raise BlowUpError("E is NaN at site (3, 4)")
    if kind == "exit":
        sys.exit(9)
    if kind == "exit_zero":
        sys.exit(0)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "memory":
        raise MemoryError
    if kind == "os_exit":
        os._exit(11)
    if kind == "os_exit_zero":
        os._exit(0)
    if kind == "thread":
        thread = threading.Thread(target=leave, args=("exception",))
        thread.start()
        thread.join()
    if kind == "finalizer":
        Finalized()


def main(kind: str, rank: int) -> None:
    """Loop of collectives; rank -1 means all."""
    if kind == "before_mpi" and int(os.environ["OMPI_COMM_WORLD_RANK"]) == rank:
        raise ImportError("no module named numerics")
    with Context.launch() as context:
        for step in range(40):
            context.max(float(step))
            if step == 5 and (rank in (context.rank, -1)):
                leave(kind)
        print("finished", flush=True)


main(sys.argv[1], int(sys.argv[2]))
