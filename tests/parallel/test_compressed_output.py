"""Compressed snapshots over ranks: every rank compresses its own pieces, and all agree on success (ENG-15, F-05)."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.errors import DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.output import deflated, packed
from hpcsim.output.chunks import ChunkPlan
from hpcsim.output.compress import CODECS
from hpcsim.output.compress.codec import decode
from hpcsim.output.compress.options import Compression
from hpcsim.output.packed import write_packed
from hpcsim.output.read import Snapshot
from hpcsim.output.snapshot import SnapshotField, write_snapshot
from hpcsim.output.vtkhdf import plan_pieces
from tests.unit.output import samples
from tests.unit.output.compress import arrays

BLOCKS = {1: (3,), 2: (3, 4), 3: (3, 4, 3), 4: (2, 3, 2, 2)}
FORMATS = {"packed": (write_packed, "auto"), "vtkhdf": (write_snapshot, "deflate")}
SHAPE = (44, 38, 40)


@pytest.fixture
def folder(shared_tmp_path) -> Path:
    """One empty directory for all ranks."""
    return shared_tmp_path


def write(context, layout, chosen, folder, format, time=0.5, compression=None):
    writer, codec = FORMATS[format]
    fields = samples.fields(layout, chosen)
    fields = [field._replace(compression=compression or Compression(codec)) for field in fields]
    return writer(context, layout, fields, 3, time, {"config": "a = 1"}, folder)


def write_arrays(context, folder, whole, compression, format="packed", block_shape=None):
    """Cell fields of one domain, each rank with its own blocks of them."""
    shape = next(iter(whole.values())).shape
    lattice = Domain(shape, (0.0,) * len(shape), tuple(map(float, shape)), (True,) * len(shape))
    layout = make_layout(lattice, context.size, ghost=1, block_shape=block_shape)

    def reader(values):
        def read(block):
            assert layout.owners[block.id] == context.rank
            return [values[tuple(slice(a, b) for a, b in zip(block.lo, block.hi, strict=True))]]

        return read

    fields = [
        SnapshotField(name, FieldSpec(name, dtype=values.dtype.name), reader(values), compression)
        for name, values in whole.items()
    ]
    return FORMATS[format][0](context, layout, fields, 3, 0.5, {"config": "a = 1"}, folder)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("periodic", ["mixed", "none", "all"])
@pytest.mark.parametrize("several", [False, True], ids=["fewest blocks", "many uneven blocks"])
def test_round_trip(context, folder, format, ndim, periodic, several):
    """000-B13e: all centrings come back bit by bit, on every rank that reads, from one file."""
    lattice, chosen = samples.domain(ndim, periodic), samples.specs(ndim)
    layout = samples.layout_of(lattice, context.size, BLOCKS[ndim] if several else None)
    path = write(context, layout, chosen, folder, format)
    assert os.listdir(folder) == [path.name]
    snapshot = Snapshot(path)
    for spec in chosen:
        for component in range(spec.components):
            found = snapshot.read(spec.name, component)
            assert np.array_equal(found, samples.whole(lattice, spec, component)), (spec, component)


@pytest.mark.parametrize("format", FORMATS)
def test_several_rounds(context, folder, format, monkeypatch):
    """000-B13e: rounds of a few pieces, chunks that lie across blocks and ranks, ranks with nothing left to do."""
    monkeypatch.setattr(packed, "ROUND_BYTES", 20_000)
    monkeypatch.setattr(deflated, "ROUND_BYTES", 20_000)
    monkeypatch.setattr("hpcsim.output.chunks.CHUNK_BYTES", 6_000)
    monkeypatch.setattr("hpcsim.output.packed_file.PIECE_BYTES", 6_000)
    rng = np.random.default_rng(0)
    whole = {"u": rng.random((37, 23, 19)), "v": rng.random((37, 23, 19)).astype(np.float32)}
    for blocks in (None, (11, 7, 19), (37, 5, 4)):
        target = folder / str(blocks)
        path = write_arrays(context, target, whole, Compression(FORMATS[format][1]), format, blocks)
        snapshot = Snapshot(path)
        for name, values in whole.items():
            assert arrays.same_bits(snapshot.read(name), values)
        pieces = sum(snapshot.compression["u"]["codecs"].values())
        assert pieces >= whole["u"].nbytes // 6_000


def test_error_bound_on_all_ranks(context, folder):
    """ENG-15: the bound holds over all ranks, and the record has the largest error and the bytes of all of them."""
    whole = {"s": arrays.smooth(SHAPE), "n": arrays.noise(SHAPE), "l": arrays.labels(SHAPE), "x": arrays.broken(SHAPE)}
    snapshot = Snapshot(write_arrays(context, folder, whole, Compression("auto", 1e-5)))
    for name, values in whole.items():
        found, record = snapshot.read(name), snapshot.compression[name]
        assert record["raw_bytes"] == values.nbytes
        if name == "s":
            assert np.abs(found - values).max() == record["max_error"] <= 1e-5
            assert record["ratio"] < 0.1
        else:
            assert name == "x" or arrays.same_bits(found, values) and record["max_error"] == 0.0
    assert snapshot.compression["n"]["reasons"] == {"noise": context.size}
    # One rank's piece has all that is not finite: the others may be wavelets.
    broken = np.isfinite(whole["x"])
    assert arrays.same_bits(snapshot.read("x")[~broken], whole["x"][~broken])
    assert np.abs(snapshot.read("x")[broken] - whole["x"][broken]).max() <= 1e-5


@pytest.mark.parametrize("codec", list(CODECS))
def test_every_codec_under_mpi(context, folder, codec):
    """000-B13e: those that need HDF5 or another process too; the parallel HDF5 library is no hindrance."""
    compression = Compression(codec, None if CODECS.get(codec).lossless else 1e-5)
    whole = {"u": arrays.smooth(SHAPE)}
    snapshot = Snapshot(write_arrays(context, folder, whole, compression))
    assert np.abs(snapshot.read("u") - whole["u"]).max() <= (compression.error or 0.0)
    data = compression.encode(whole["u"]).data
    assert np.abs(decode(data, "f8", SHAPE) - whole["u"]).max() <= (compression.error or 0.0)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("failing", [0, -1])
def test_one_rank_that_cannot_write_is_everyones_error(context, folder, monkeypatch, format, failing):
    """F-05: the old file stays, the temporary one goes, every rank raises the same message with the rank in it."""
    bad = failing % context.size
    lattice, chosen = samples.domain(2), samples.specs(2)
    layout = samples.layout_of(lattice, context.size, BLOCKS[2])
    path = write(context, layout, chosen, folder, format, time=1.0)
    context.barrier()
    before = path.read_bytes()
    target = {"packed": "hpcsim.output.packed.write_all", "vtkhdf": "hpcsim.output.deflated.zlib.compress"}[format]
    module = {"packed": packed.write_all, "vtkhdf": deflated.zlib.compress}[format]
    error = {"packed": OSError(28, "No space left on device"), "vtkhdf": MemoryError()}[format]

    def refuse(*arguments):
        if context.rank == bad:
            raise error
        return module(*arguments)

    monkeypatch.setattr(target, refuse)
    with pytest.raises(DiskError) as caught:
        write(context, layout, chosen, folder, format, time=2.0)
    message = str(caught.value)
    assert message == context.bcast_text(message) and f"(on rank {bad})" in message
    assert ("No space" if format == "packed" else "memory") in message
    context.barrier()
    assert path.read_bytes() == before and os.listdir(folder) == [path.name]


def test_rank_0_that_cannot_write_chunks_hangs_nobody(context, folder, monkeypatch):
    """F-05: the other ranks still hand their chunks over, and then learn of it."""
    monkeypatch.setattr(deflated, "ROUND_BYTES", 20_000)
    monkeypatch.setattr("hpcsim.output.chunks.CHUNK_BYTES", 6_000)
    calls = []

    def full(*arguments):
        calls.append(1)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(deflated, "reserve_ahead", full)
    whole = {"u": np.random.default_rng(0).random((40, 30, 20))}
    with pytest.raises(DiskError, match=r"free some space.*on rank 0"):
        write_arrays(context, folder, whole, Compression("deflate"), "vtkhdf")
    context.barrier()
    assert not os.listdir(folder)


@pytest.mark.parametrize("format", FORMATS)
def test_a_layout_that_cannot_be_made_is_everyones_error(context, folder, format):
    """F-07: rank 0 alone finds out; nobody waits for it."""
    (folder / "file").touch()
    lattice = samples.domain(1)
    with pytest.raises(DiskError, match="file"):
        write(context, samples.layout_of(lattice, context.size), samples.specs(1)[:1], folder / "file", format)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("periodic", ["mixed", "none", "all"])
def test_ranks_agree_on_chunks_without_a_message(context, monkeypatch, ndim, periodic):
    """Each site of a dataset is in one part of one chunk; a block touches the chunks that have a part of it."""
    monkeypatch.setattr("hpcsim.output.chunks.CHUNK_BYTES", 64)
    lattice = samples.domain(ndim, periodic)
    layout = samples.layout_of(lattice, context.size, BLOCKS[ndim])
    for spec in samples.specs(ndim):
        for piece in plan_pieces(lattice, spec.name, spec):
            plan = ChunkPlan(layout, piece)
            count = np.zeros(piece.extent, int)
            parts: dict[int, set[int]] = {}
            for number in range(len(plan.owners)):
                lo, _ = plan.box(number)
                for part in plan.parts(number):
                    box = tuple(slice(a + t.start, a + t.stop) for a, t in zip(lo, part.target, strict=True))
                    count[box] += 1
                    parts.setdefault(part.block.id, set()).add(number)
            assert (count == 1).all()
            assert all(plan.touched(block) == parts.get(block.id, set()) for block in layout.blocks)
            assert sorted(n for rank in range(context.size) for n in plan.of_rank(rank)) == [*range(len(plan.owners))]


def test_rank_0_sees_compressed_bytes_only(context, folder, monkeypatch):
    """Nothing of a field is gathered: what rank 0 is handed is as long as the chunks are in the file."""
    received = []
    original = deflated._File.write

    def note(self, path, chunks):
        received.extend(len(data) for _, data in chunks)
        original(self, path, chunks)

    monkeypatch.setattr(deflated._File, "write", note)
    whole = {"u": arrays.labels((64, 64, 64))}
    path = write_arrays(context, folder, whole, Compression("deflate"), "vtkhdf")
    if context.rank == 0:
        with h5py.File(path) as handle:
            assert sum(received) == handle["VTKHDF/CellData/u"].id.get_storage_size() < 0.1 * whole["u"].nbytes
    else:
        assert not received
