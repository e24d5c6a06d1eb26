"""Cost of checkpoints beside raw writes and reads of the same bytes, in turn within one run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError
from hpcsim.fields.image import Image
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Block, Layout, make_layout
from hpcsim.lattice.storage import Storage
from hpcsim.output.checkpoint.load import restore
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions
from hpcsim.output.checkpoint.report import Report
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.writer import CheckpointWriter
from hpcsim.output.files import write_all
from hpcsim.output.snapshot import SnapshotField
from hpcsim.perf.sampling import Spread

FIELDS = 4
CHUNK = 16 << 20
# Mode of the checkpoint that is read back.
RESTORED = "shards"
_NAMES = tuple(f"u{k}" for k in range(FIELDS))


def measure_checkpoint(context: Context, gib: float, repeats: int, directory: Path) -> dict[str, Any]:
    """Shards, collective, a copy in the background and a restore, each beside the raw figure; collective.

    Parameters
    ----------
    context : Context
        The ranks; each writes its share.
    gib : float
        State of all ranks together, in GiB: four float64 fields of equal extents.
    repeats : int
        Rounds; in each the raw figures and ours follow each other.
    directory : Path
        Where to write; what is written is removed.

    Returns
    -------
    dict
        Seconds of every part (median and best over the rounds, of the slowest rank), and ratios to the raw figures.
    """
    work = _Work(context, gib, directory)
    calls: dict[str, Callable[[], dict[str, float]]] = {
        "raw write": work.raw_write, RESTORED: partial(work.write, RESTORED), "raw read": work.raw_read,
        "restore": work.restore, "collective": partial(work.write, "collective"), "memory copy": work.copy,
        "background": work.begin,
    }  # fmt: skip
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    missing: dict[str, str] = {}
    for _ in range(repeats):
        for name, call in calls.items():
            if name in missing:
                continue
            try:
                rows[name].append(call())
            except (ConfigError, DiskError) as error:
                missing[name] = str(error)
    work.free()
    return {"bytes": work.nbytes, "ranks": context.size, "directory": str(directory), **_judge(rows), "absent": missing}


def _judge(rows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians and best values of every part, and the ratios that the targets are about."""
    seconds = {name: {part: [row[part] for row in found] for part in found[0]} for name, found in rows.items() if found}
    parts = {name: {part: Spread.of(values) for part, values in found.items()} for name, found in seconds.items()}

    def speed(above: tuple[str, str], below: tuple[str, str]) -> dict[str, float] | None:
        if above[0] not in parts or below[0] not in parts:
            return None
        first, second = parts[above[0]][above[1]], parts[below[0]][below[1]]
        return {"median": first.median / second.median, "best": first.best / second.best}

    raw = ("raw write", "durable")
    return {
        "parts": {name: {part: vars(spread) for part, spread in found.items()} for name, found in parts.items()},
        "ratios": {
            "shards to raw write": speed(raw, ("shards", "durable")),
            "shards with digests to raw write": speed(raw, ("shards", "with digests")),
            "collective to raw write": speed(raw, ("collective", "durable")),
            "restore to raw read": speed(("raw read", "total"), ("restore", "total")),
            "stall to memory copy": speed(("background", "stall"), ("memory copy", "total")),
        },
    }


class _Work:
    """The state that is saved, its copy, and the directory."""

    def __init__(self, context: Context, gib: float, directory: Path) -> None:
        self._context = context
        cells = max(32, round((gib * 2**30 / 8 / FIELDS) ** (1 / 3)))
        self._domain = Domain((cells,) * 3, (0.0,) * 3, (1.0,) * 3, (True,) * 3)
        self._layout = make_layout(self._domain, context.size, ghost=1)
        self._state = self._make(self._layout)
        rng = np.random.default_rng(context.rank)
        for register in self._state:
            rng.standard_normal(out=register.flat)
        self._directory = directory / f"bench-{context.bcast_text(str(os.getpid()))}"
        if context.rank == 0:
            self._directory.mkdir(parents=True)
        context.barrier()
        self.nbytes = 8 * FIELDS * cells**3
        self._share = sum(8 * FIELDS * int(np.prod(block.shape)) for block in self._layout.local(context.rank))
        self._chunk = np.frombuffer(rng.bytes(CHUNK), np.uint8)
        self._step = 0

    def _make(self, layout: Layout) -> State:
        storage = Storage.build(layout, self._context.rank, 1, False, 8)
        state = State(storage, layout, self._context.rank)
        for name in _NAMES:
            state.add(name, FieldSpec(name))
        return state

    def _slowest(self, seconds: float) -> float:
        return float(self._context.max(seconds))

    def _fields(self, source: Any) -> list[SnapshotField]:
        def read(name: str, block: Block) -> Sequence[NDArray[Any]]:
            return [source.interior(name, block, 0)]

        return [SnapshotField(name, FieldSpec(name), partial(read, name)) for name in _NAMES]

    def _store(self, mode: str) -> CheckpointStore:
        return CheckpointStore(self._directory / mode)

    def _writer(self, mode: str) -> CheckpointWriter:
        options = CheckpointOptions(mode=mode)
        return CheckpointWriter(self._context, self._layout, self._store(mode), options, CheckpointFacts("bench"))

    def raw_write(self) -> dict[str, float]:
        """Every rank writes as many bytes as its share, from one buffer in the cache, and waits for the disk."""
        path = self._directory / f"raw.{self._context.rank}"
        path.unlink(missing_ok=True)
        self._context.barrier()
        start = time.perf_counter()
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for offset in range(0, self._share, CHUNK):
            write_all(handle, self._chunk[: min(CHUNK, self._share - offset)], offset)
        written = time.perf_counter()
        os.fsync(handle)
        done = time.perf_counter()
        os.close(handle)
        path.unlink()
        return {"durable": self._slowest(done - start), "before sync": self._slowest(written - start)}

    def raw_read(self) -> dict[str, float]:
        """Every rank reads the file of the checkpoint that it wrote from the disk, so that both read the same bytes."""
        store, rank = self._store(RESTORED), self._context.rank
        handle = os.open(store.path(f"step-{self._step:08d}") / f"shard-{rank:05d}.h5", os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        buffer = bytearray(CHUNK)
        self._context.barrier()
        start = time.perf_counter()
        while os.readv(handle, [buffer]):
            pass
        seconds = time.perf_counter() - start
        os.close(handle)
        return {"total": self._slowest(seconds)}

    def write(self, mode: str) -> dict[str, float]:
        """A checkpoint that the caller waits for."""
        self._clear(mode)
        self._step += 1
        writer = self._writer(mode)
        self._context.barrier()
        report = writer.write(self._fields(self._state), self._step, 0.0, 1.0, {})
        if mode != RESTORED:
            self._clear(mode)
        return _phases(report)

    def restore(self) -> dict[str, float]:
        """The checkpoint of the mode shards into the blocks of twice as many ranks, from the disk."""
        store = self._store(RESTORED)
        name = f"step-{self._step:08d}"
        n = self._domain.shape[0]
        slabs = 2 * self._context.size
        layout = make_layout(self._domain, self._context.size, ghost=1, block_shape=(-(-n // slabs), n, n))
        state = self._make(layout)
        for register in state:
            register.flat.fill(0.0)
        _forget(store.path(name))
        specs = {name: FieldSpec(name) for name in _NAMES}
        self._context.barrier()
        start = time.perf_counter()
        restore(
            self._context, store, [name], layout, specs, lambda name, block: [state.interior(name, block, 0)], _quiet
        )
        seconds = time.perf_counter() - start
        state.free()
        self._clear(RESTORED)
        return {"total": self._slowest(seconds)}

    def copy(self) -> dict[str, float]:
        """One copy of the state in memory, between touched arrays."""
        target = np.zeros_like(self._state[_NAMES[0]].flat)
        start = time.perf_counter()
        for name in _NAMES:
            np.copyto(target, self._state[name].flat)
        return {"total": self._slowest(time.perf_counter() - start)}

    def begin(self) -> dict[str, float]:
        """A checkpoint in the background: what the steps wait for, and when it is done."""
        image = Image(self._state, _NAMES)
        self._step += 1
        store = self._store("background")
        writer = CheckpointWriter(
            self._context, self._layout, store, CheckpointOptions(mode="shards"), CheckpointFacts("bench")
        )
        self._context.barrier()
        start = time.perf_counter()
        image.capture(self._step)
        writer.begin(self._fields(image), self._step, 0.0, 1.0, {}, lambda: None)
        stall = time.perf_counter() - start
        report = writer.drain()
        total = time.perf_counter() - start
        image.release()
        self._clear("background")
        if report is None or not report.accepted:
            raise DiskError(report.problem if report is not None else "no report")
        return {"stall": self._slowest(stall), "total": self._slowest(total)}

    def _clear(self, mode: str) -> None:
        """Remove checkpoints as soon as they are measured: files that fill the page cache slow everything down."""
        self._context.barrier()
        if self._context.rank == 0:
            shutil.rmtree(self._directory / mode, ignore_errors=True)
        self._context.barrier()

    def free(self) -> None:
        """Remove what was written and give the memory back; collective."""
        self._state.free()
        self._context.barrier()
        if self._context.rank == 0:
            shutil.rmtree(self._directory, ignore_errors=True)


def _phases(report: Report) -> dict[str, float]:
    if not report.accepted:
        raise DiskError(report.problem)
    digest = report.seconds.get("digest", 0.0)
    return {
        "durable": report.durable, "with digests": report.durable + digest, "digests": digest,
        "read-back": report.seconds.get("verify", 0.0), "total": report.seconds["total"],
    }  # fmt: skip


def _forget(directory: Path) -> None:
    """Drop a directory's files from the page cache."""
    for path in directory.iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _quiet(line: str) -> None:
    """A checkpoint that is passed over ends the restore with an error that says why."""
