"""Writes checkpoints on some ranks, over a disk that may be full or a job that may be killed.

Arguments: directory, mode, number of checkpoints, cells per axis, and words that say what is odd:
``beside`` (written beside the run), ``blind`` (the free space is not known), ``unreserved`` (the file system cannot
reserve space), ``thin`` (it says that it did, but did not), ``small`` (files of more than a megabyte are forbidden
from the second checkpoint on), ``forever`` (go on until killed).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.writer import CheckpointWriter
from hpcsim.output.snapshot import SnapshotField

NAMES = ("a", "b")


def lattice(cells: int) -> Domain:
    """A cube of unit cells."""
    return Domain((cells,) * 3, (0.0,) * 3, (float(cells),) * 3, (True,) * 3)


def values(lo, hi, name: str, step: int) -> np.ndarray:
    """Values that tell their place and step."""
    axes = np.meshgrid(*(np.arange(a, b, dtype=np.float64) for a, b in zip(lo, hi, strict=True)), indexing="ij")
    return (axes[0] * 1e6 + axes[1] * 1e3 + axes[2]) * 1000 + step + 0.5 * NAMES.index(name)


class Registers:
    """Both registers of a rank; going on to a step is quick, so that kills fall into checkpoints."""

    def __init__(self, layout, rank: int) -> None:
        self._first = {(name, b.id): values(b.lo, b.hi, name, 0) for name in NAMES for b in layout.local(rank)}

    def at(self, step: int) -> list[SnapshotField]:
        """The registers at a step."""
        held = {key: first + step for key, first in self._first.items()}
        return [SnapshotField(n, FieldSpec(n), lambda block, n=n: [held[n, block.id]]) for n in NAMES]


def be_odd(words: list[str]) -> None:
    """Take away what would find a full disk early."""
    if "blind" in words:
        io.free_bytes = lambda path: 1 << 60
    for word, reserved in (("unreserved", False), ("thin", True)):
        if word in words:
            io.preallocate = lambda handle, size, reserved=reserved: bool(os.ftruncate(handle, size)) or reserved


def main(directory: str, mode: str, count: str, cells: str, *words: str) -> None:
    """Write the checkpoints and print a report of each."""
    be_odd(list(words))
    with Context.launch() as context:
        layout = make_layout(lattice(int(cells)), context.size)
        store = CheckpointStore(Path(directory))
        if context.rank == 0:
            store.clean()
        context.barrier()
        writer = CheckpointWriter(context, layout, store, CheckpointOptions(mode=mode), CheckpointFacts("case"))
        registers = Registers(layout, context.rank)
        Path(directory, f".pid-{context.rank}").write_text(str(os.getpid()))
        step = int((store.current() or "step-0")[5:])
        last = step + int(count)
        while step < last or "forever" in words:
            step += 1
            if "small" in words and step > 1:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
            arguments = (registers.at(step), step, 0.1 * step, 0.1, {})
            if "beside" in words:
                writer.begin(*arguments, lambda: None)
                while (report := writer.poll()) is None:
                    time.sleep(0.001)
            else:
                report = writer.write(*arguments)
            if context.rank == 0:
                facts = {"name": report.name, "accepted": report.accepted, "problem": report.problem}
                print(json.dumps({**facts, "left": sorted(os.listdir(directory))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
