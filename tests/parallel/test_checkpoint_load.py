"""Loading and converting checkpoints on several ranks: any layout, one outcome for all, whatever happens on one."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hpcsim.errors import DiskError, NoCheckpointError
from hpcsim.output.checkpoint import io, load
from hpcsim.output.checkpoint.convert import Form, convert
from hpcsim.output.checkpoint.load import restore
from hpcsim.output.checkpoint.share import share_of
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.verify import verify
from tests.unit.output import samples
from tests.unit.output.checkpoint import make

ONE, TWO = "step-00000001", "step-00000002"


@pytest.fixture
def store(shared_tmp_path) -> CheckpointStore:
    """An empty store that all ranks see."""
    return CheckpointStore(shared_tmp_path / "run" / "ckpt")


def made(context, store, step, layout, registers, **options) -> None:
    """A checkpoint, written by rank 0."""
    if context.rank == 0:
        make.make(store, step, layout, registers, **options)
    context.barrier()


def loaded(context, store, layout, registers, names):
    """The manifest, the arrays and the lines that were said."""
    target, lines = make.Target(layout, context.rank, registers), []
    return restore(context, store, names, layout, registers, target, lines.append), target, lines


def agreed(context, text: str) -> str:
    """The text, if it is the same on all ranks."""
    assert len(set(context.texts(text))) == 1
    return text


@pytest.mark.parametrize(("ndim", "periodic"), [(1, "mixed"), (2, "none"), (3, "mixed"), (4, "all")])
@pytest.mark.parametrize(("shape", "curve", "partition"), [(None, "hilbert", 1), (2, "morton", 3)])
def test_every_site_on_any_number_of_ranks(context, store, ndim, periodic, shape, curve, partition):
    """ENG-15, ERP: written by 1 or 3 ranks in other blocks, with any number of files, full and incremental."""
    lattice, registers = samples.domain(ndim, periodic), make.specs(ndim)
    old = make.layout_of(lattice, partition, [3] * ndim)
    made(context, store, 1, old, registers, files=partition, limit=300)
    made(context, store, 2, old, registers, base=ONE, values_of=1)
    layout = make.layout_of(lattice, context.size, shape and [shape] * ndim, curve)
    for name in (ONE, TWO):
        manifest, target, lines = loaded(context, store, layout, registers, [name])
        assert agreed(context, manifest.to_text()) and manifest.name == name and not lines
        assert target.wrong(1) == []


def test_packed_pieces(context, store):
    """ENG-15: with a codec."""
    lattice, registers = samples.domain(3), make.specs(3)
    made(context, store, 1, make.layout_of(lattice, 1, [3, 4, 3]), registers, codec="zstd", limit=2048)
    layout = make.layout_of(lattice, context.size, [2, 3, 3], "morton")
    assert loaded(context, store, layout, registers, [ONE])[1].wrong(1) == []


def test_the_table_goes_round_in_portions(context, store, monkeypatch):
    """ENG-15: a table of many portions gives every rank the same share as one."""
    lattice, registers = samples.domain(3), make.specs(3)
    made(context, store, 1, make.layout_of(lattice, 1, [2, 2, 2]), registers)
    layout = make.layout_of(lattice, context.size, [2, 3, 3])
    whole = share_of([store.read_table(ONE)], layout, context.rank)
    monkeypatch.setattr(load, "PORTION", 17)
    opened, problem = load._open(context, store, ONE, layout, registers)
    assert problem == "" and all(np.array_equal(a, b) for a, b in zip(opened.share, whole, strict=True))
    assert loaded(context, store, layout, registers, [ONE])[1].wrong(1) == []


@pytest.mark.parametrize("failing", [0, -1])
def test_a_fault_of_one_rank_sends_all_to_the_older_one(context, store, monkeypatch, failing):
    """F-09, F-20: a read error on one rank; all load the older one, and the line has checkpoint, reason and rank."""
    bad = failing % context.size
    lattice, registers = samples.domain(2), make.specs(2)
    old = make.layout_of(lattice, 1, [4, 4])
    made(context, store, 1, old, registers)
    made(context, store, 2, old, registers, files=1)
    layout = make.layout_of(lattice, context.size)
    real, opened = io.pread, []

    def broken(handle, buffer, offset):
        name = os.readlink(f"/proc/self/fd/{handle}")
        if context.rank == bad and TWO in name and name.endswith(".h5"):
            opened.append(name)
            raise OSError(5, "Input/output error")
        return real(handle, buffer, offset)

    monkeypatch.setattr(io, "pread", broken)
    manifest, target, lines = loaded(context, store, layout, registers, [TWO, ONE])
    assert agreed(context, manifest.name) == ONE and target.wrong(1) == []
    assert bool(opened) == (context.rank == bad)
    if context.rank == 0:
        assert (
            len(lines) == 1 and TWO in lines[0] and f"found by rank {bad})" in lines[0] and "shard-00000.h5" in lines[0]
        )
    else:
        assert lines == []


def test_damage_that_one_rank_sees(context, store):
    """F-09: a flipped bit in a piece of one block; all ranks go back, and if nothing is left all raise the same."""
    lattice, registers = samples.domain(2), make.specs(2)
    layout = make.layout_of(lattice, context.size)
    made(context, store, 1, layout, registers, files=context.size)
    made(context, store, 2, layout, registers, files=context.size)

    def damage(name):
        if context.rank == 0:
            table = store.read_table(name)
            row = table[table["file"] == context.size - 1][-1]
            path = store.path(name) / f"shard-{context.size - 1:05d}.h5"
            make.flip(path, 8 * int(row["offset"]) + 3)
        context.barrier()

    damage(TWO)
    manifest, target, _ = loaded(context, store, layout, registers, [TWO, ONE])
    assert agreed(context, manifest.name) == ONE and target.wrong(1) == []
    damage(ONE)
    with pytest.raises(NoCheckpointError) as caught:
        loaded(context, store, layout, registers, [TWO, ONE])
    text = agreed(context, str(caught.value))
    assert f"{TWO}: shard-" in text and f"{ONE}: shard-" in text and "its values are not those" in text


def test_rank_0_decides_what_is_tried(context, store):
    """F-27: on a disk that shows each rank another list, all try the same."""
    lattice, registers = samples.domain(2), make.specs(2)
    layout = make.layout_of(lattice, context.size)
    made(context, store, 1, layout, registers)
    names = [ONE] if context.rank == 0 else [TWO, "step-00000009"]
    assert loaded(context, store, layout, registers, names)[0].name == ONE
    with pytest.raises(NoCheckpointError, match="there is no checkpoint in"):
        loaded(context, store, layout, registers, [] if context.rank == 0 else [ONE])


def test_another_lattice_is_refused_alike(context, store):
    """F-12: the differences are the same text on all ranks."""
    registers = make.specs(2)
    made(context, store, 1, make.layout_of(samples.domain(2, "all")), registers)
    layout = make.layout_of(samples.domain(2, "none"), context.size)
    with pytest.raises(NoCheckpointError, match="lattice.periodic is .True, True. in the checkpoint") as caught:
        loaded(context, store, layout, registers, [ONE])
    agreed(context, str(caught.value))


@pytest.mark.parametrize("form", [Form("collective"), Form("shards", 3), Form("shards", 2, "zstd")], ids=str)
def test_ranks_convert_together(context, store, shared_tmp_path, form):
    """ERIO: the work is shared, and every piece lies where a single rank puts it."""
    lattice, registers = samples.domain(3), make.specs(3)
    made(context, store, 1, make.layout_of(lattice, 1, [3, 4, 3]), registers, files=4)
    made(context, store, 2, make.layout_of(lattice, 1, [3, 4, 3]), registers, base=ONE, values_of=1)
    target, single = (CheckpointStore(shared_tmp_path / name / "ckpt") for name in ("all", f"one-{context.rank}"))
    name = convert(context, store, TWO, target, form, print)
    context.barrier()
    assert verify(target, name) == []
    with context.__class__.serial() as alone:
        convert(alone, store, TWO, single, form, print)
    assert single.read_table(name).tobytes() == target.read_table(name).tobytes()
    sizes = [[(entry.name, entry.size) for entry in store.read_manifest(name).files] for store in (single, target)]
    assert sizes[0] == sizes[1]
    layout = make.layout_of(lattice, context.size, [2, 3, 3])
    assert loaded(context, target, layout, registers, [name])[1].wrong(1) == []


@pytest.mark.parametrize("verb", ["pwrite", "fsync", "open_read"])
def test_one_rank_that_fails_leaves_no_result(context, store, shared_tmp_path, monkeypatch, verb):
    """F-01, F-47: all ranks raise the same, and nothing is left; the next conversion works."""
    lattice, registers = samples.domain(2), make.specs(2)
    made(context, store, 1, make.layout_of(lattice, 1, [3, 3]), registers)
    target = CheckpointStore(shared_tmp_path / "other" / "ckpt")
    bad, real = context.size - 1, getattr(io, verb)

    def call(*arguments):
        file = arguments[0] if verb == "open_read" else os.readlink(f"/proc/self/fd/{arguments[0]}")
        if context.rank == bad and str(file).endswith(".h5"):
            raise OSError(28, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(io, verb, call)
        with pytest.raises(DiskError, match="No space left") as caught:
            convert(context, store, ONE, target, Form("shards", 2), print)
    agreed(context, str(caught.value))
    context.barrier()
    assert not target.root.exists() or os.listdir(target.root) == []
    context.barrier()
    assert verify(target, convert(context, store, ONE, target, Form("shards", 2), print)) == []
