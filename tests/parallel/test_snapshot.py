"""Snapshots over ranks: every rank writes its own blocks of one file, and all agree on success (F-05, F-13, F-14)."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.output.boxes import write_box
from hpcsim.output.crash import write_crash_dump
from hpcsim.output.directory import RunDirectory
from hpcsim.output.lock import lock_directory
from hpcsim.output.provenance import provenance
from hpcsim.output.read import Snapshot
from hpcsim.output.snapshot import write_snapshot
from tests.unit.output import samples

# More blocks than ranks, of uneven extents; and the fewest blocks.
BLOCKS = {1: (3,), 2: (3, 4), 3: (3, 4, 3), 4: (2, 3, 2, 2)}


@pytest.fixture
def folder(shared_tmp_path) -> Path:
    """One empty directory for all ranks."""
    return shared_tmp_path


def digest(path: Path) -> str:
    """Digest of the bytes of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(context, layout, chosen, folder, time=0.5):
    facts = {"config": "a = 1"}
    return write_snapshot(context, layout, samples.fields(layout, chosen), 3, time, facts, folder)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("periodic", ["mixed", "none", "all"])
@pytest.mark.parametrize("several", [False, True], ids=["fewest blocks", "many uneven blocks"])
def test_round_trip(context, folder, ndim, periodic, several):
    """All centrings come back, and the file has the bytes that one rank alone would write."""
    lattice, chosen = samples.domain(ndim, periodic), samples.specs(ndim)
    block_shape = BLOCKS[ndim] if several else None
    layout = samples.layout_of(lattice, context.size, block_shape)
    path = write(context, layout, chosen, folder)
    snapshot = Snapshot(path)
    for spec in chosen:
        for component in range(spec.components):
            found = snapshot.read(spec.name, component)
            assert np.array_equal(found, samples.whole(lattice, spec, component)), (spec, component)
    with Context.serial() as alone:
        own = folder / f"alone-{context.rank}"
        single = write(alone, samples.layout_of(lattice, 1), chosen, own)
    assert digest(path) == digest(single)


@pytest.mark.parametrize("failing", [0, -1])
def test_one_rank_that_cannot_write_is_everyones_error(context, folder, monkeypatch, failing):
    """F-05: the old file stays, the temporary one goes, every rank raises the same message with the rank in it."""
    bad = failing % context.size
    lattice, chosen = samples.domain(2), samples.specs(2)
    layout = samples.layout_of(lattice, context.size)
    path = write(context, layout, chosen, folder, time=1.0)
    context.barrier()
    before = digest(path)

    def refuse(*arguments):
        if context.rank == bad:
            raise OSError(28, "No space left on device")
        write_box(*arguments)

    monkeypatch.setattr("hpcsim.output.snapshot.write_box", refuse)
    with pytest.raises(DiskError) as caught:
        write(context, layout, chosen, folder, time=2.0)
    message = str(caught.value)
    assert message == context.bcast_text(message) and f"(on rank {bad})" in message and "No space" in message
    context.barrier()
    assert digest(path) == before and os.listdir(folder) == [path.name]


def test_a_layout_that_cannot_be_made_is_everyones_error(context, folder):
    """F-07: rank 0 alone finds out; nobody waits for it."""
    (folder / "file").touch()
    lattice = samples.domain(1)
    with pytest.raises(DiskError, match="file"):
        write(context, samples.layout_of(lattice, context.size), samples.specs(1)[:1], folder / "file")


def test_directory_and_lock_answer_all_ranks(context, folder):
    """F-14: a second run is refused on every rank."""
    directory = RunDirectory(folder / "run ü")
    directory.create(context)
    lock = lock_directory(context, directory.lock, print)
    with pytest.raises(DiskError, match="in use by process"):
        lock_directory(context, directory.lock, print)
    lock.release()
    context.barrier()
    lock_directory(context, directory.lock, print).release()
    context.barrier()
    (folder / "file").touch()
    with pytest.raises(DiskError, match="run directory"):
        RunDirectory(folder / "file" / "run").create(context)


def test_crash_dump_of_every_rank(context, folder):
    lattice, chosen = samples.domain(2), samples.specs(2)
    layout = samples.layout_of(lattice, context.size)
    fields = samples.fields(layout, chosen)
    path = write_crash_dump(context, layout, fields, 3, 0.5, "u is NaN", folder / "crash")
    content = json.loads(path.read_text())
    assert (content["rank"], content["ranks"], content["reason"]) == (context.rank, context.size, "u is NaN")
    assert len(content["arrays"]) == len(layout.local(context.rank)) * sum(s.components for s in chosen)
    for entry in content["arrays"]:
        spec = next(s for s in chosen if s.name == entry["field"])
        expected = samples.values(entry["lo"], entry["hi"], entry["component"], spec.dtype)
        assert np.array_equal(np.load(folder / "crash" / entry["file"]), expected)


def test_provenance_has_every_rank(context):
    facts = provenance(context)
    if context.rank:
        assert facts is None
    else:
        assert len(facts["binding"]) == len(facts["hosts"]) == context.size
        assert facts["versions"]["python"].startswith("3.") and facts["versions"]["numpy"] == np.__version__
