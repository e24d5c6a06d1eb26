"""A small run that writes checkpoints, for the tests of the writer on any number of ranks."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions
from hpcsim.output.checkpoint.report import Report
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.verify import verify
from hpcsim.output.checkpoint.writer import CheckpointWriter
from hpcsim.output.snapshot import SnapshotField
from tests.unit.output import samples
from tests.unit.output.checkpoint import make

# Blocks of uneven extents, more of them than ranks.
BLOCKS = {1: (3,), 2: (3, 4), 3: (3, 4, 3), 4: (2, 3, 2, 2)}
# Everything that a checkpoint does to the disk; hints may fail without harm.
CALLS = (
    "mkdir", "create", "open_write", "open_read", "close", "preallocate", "pwrite", "pread", "fsync", "sync_directory",
    "rename", "truncate", "unlink", "rmdir", "free_bytes",
)  # fmt: skip
WAYS = ("at once", "beside the run")


class Run:
    """Registers of every centring whose values tell their place and step, and a writer for them."""

    def __init__(
        self, context: Context, root: Path, ndim: int = 2, few: bool = False, several: bool = True, **options: Any
    ) -> None:
        self.context = context
        self.lattice = samples.domain(ndim)
        self.layout = make.layout_of(self.lattice, context.size, BLOCKS[ndim] if several else None)
        self.registers = make.specs(ndim, few)
        self.store = CheckpointStore(root)
        self.writer = self.new_writer(**options)
        self.released: list[int] = []

    def new_writer(self, **options: Any) -> CheckpointWriter:
        """A writer with the options given, as after a restart."""
        facts = CheckpointFacts("run-1", "[lattice]\n", "d1", {"numpy": np.__version__})
        return CheckpointWriter(self.context, self.layout, self.store, CheckpointOptions(**options), facts)

    def fields(self, step: int, step_of: Callable[[str, Any], int] | None = None) -> list[SnapshotField]:
        """The registers with the values of a step, as strided views; ``step_of(name, block)`` may choose another."""

        def reader(name, spec):
            def read(block):
                parts = []
                for component, location in enumerate(spec.locations(self.lattice.ndim)):
                    lo, hi = self.layout.owned_box(block, location)
                    padded = np.full([b - a + 3 for a, b in zip(lo, hi, strict=True)], np.nan, spec.dtype)
                    view = padded[tuple(slice(1, 1 + b - a) for a, b in zip(lo, hi, strict=True))]
                    number = step if step_of is None else step_of(name, block)
                    view[...] = make.values(lo, hi, name, component, spec.dtype, number)
                    parts.append(view)
                return parts

            return read

        return [SnapshotField(name, spec, reader(name, spec)) for name, spec in self.registers.items()]

    def write(self, step: int, way: str = WAYS[0], fields: list[SnapshotField] | None = None) -> Report:
        """A checkpoint of a step, one way or the other."""
        fields = self.fields(step) if fields is None else fields
        arguments = (fields, step, 0.5 * step, 0.5, {"next": step + 1})
        if way == WAYS[0]:
            return self.writer.write(*arguments)
        self.writer.begin(*arguments, lambda: self.released.append(step))
        report = self.writer.drain()
        assert report is not None and not self.writer.busy
        assert self.released.pop() == step and not self.released
        return report

    def faults(self, name: str) -> list[str]:
        """What is wrong with a checkpoint by the verification, asked on rank 0 only."""
        return verify(self.store, name) if self.context.rank == 0 else []

    def wrong(self, name: str, step: int, step_of: Callable[[str, Any], int] | None = None) -> list[tuple]:
        """Pieces of a checkpoint whose bytes are not the values of a step, read without the code of the package."""
        manifest = self.store.read_manifest(name)
        found, names = [], list(self.registers)
        for row in self.store.read_table(name, manifest):
            entry = manifest.files[int(row["file"])]
            path = self.store.root / (entry.checkpoint or name) / entry.name
            with open(path, "rb") as stream:
                stream.seek(int(row["offset"]))
                raw = stream.read(int(row["stored"]))
            expected = self._values(row, names, step, step_of)
            if manifest.codec != "none":
                from hpcsim.output.compress import CODECS

                raw = CODECS.get(manifest.codec).decode(raw, expected.dtype, expected.shape).tobytes()
            if raw != expected.tobytes():
                found.append((names[int(row["field"])], row["lo"].tolist()))
        return found

    def _values(self, row, names, step, step_of) -> np.ndarray:
        """What a piece should hold."""
        ndim, name = self.lattice.ndim, names[int(row["field"])]
        lo = row["lo"][:ndim].tolist()
        hi = (row["lo"] + row["shape"])[:ndim].tolist()
        if step_of is not None:
            step = step_of(name, next(block for block in self.layout.blocks if inside(lo, block)))
        return make.values(lo, hi, name, int(row["component"]), self.registers[name].dtype, step)


def inside(lo: list[int], block: Any) -> bool:
    """Whether a piece that begins at a site belongs to a block."""
    return all(a <= x < b for x, a, b in zip(lo, block.lo, block.hi, strict=True))


def left_over(root: Path) -> list[str]:
    """What lies in the directory of checkpoints and is none."""
    return sorted(name for name in os.listdir(root) if not name.startswith("step-") and name != "CURRENT")


class Failing:
    """The calls to the disk, of which one fails once, or all from that one on."""

    def __init__(self, monkeypatch, number: int, code: int = errno.ENOSPC, for_good: bool = False) -> None:
        self.count = 0
        self.failed = ""
        self._number = number
        self._code = code
        self._for_good = for_good
        for name in CALLS:
            monkeypatch.setattr(io, name, self._wrapped(name, getattr(io, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any) -> Any:
            self.count += 1
            if self.count == self._number or self._for_good and self.count > self._number:
                self.failed = self.failed or name
                if name == "close":
                    call(*arguments)
                raise OSError(self._code, os.strerror(self._code))
            return call(*arguments)

        return act


@contextmanager
def replaced(monkeypatch, **calls: Callable[..., Any]) -> Iterator[None]:
    """Other calls to the disk, for a while; each gets the true one as its first argument."""
    with monkeypatch.context() as patch:
        for name, call in calls.items():
            true = getattr(io, name)
            patch.setattr(io, name, lambda *a, call=call, true=true: call(true, *a))
        yield
