"""Places of pieces in a file and the file itself, against a layout worked out one piece at a time."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xxhash

from hpcsim.output.checkpoint.datafile import ALIGNMENT, lay_out
from hpcsim.output.checkpoint.packing import Cutter
from hpcsim.output.checkpoint.pieces import digest_of
from hpcsim.timing import Timers
from tests.unit.output import samples
from tests.unit.output.checkpoint.writing import BLOCKS


def packed(ndim: int = 3, ranks: int = 1, rank: int = 0):
    """The pieces of a rank of a lattice with fields of all kinds."""
    layout = samples.layout_of(samples.domain(ndim), ranks, BLOCKS[ndim])
    return Cutter(layout, rank).collect(samples.fields(layout, samples.specs(ndim)), Timers())


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_pieces_follow_each_other_in_each_register(ndim, share):
    packing = packed(ndim)
    packing.fresh[:] = np.random.default_rng(ndim).random(len(packing.rows)) < share
    starts = np.arange(len(packing.dtypes)) * 100_000 + 17
    packing.place(3, starts)
    next_place = starts.tolist()
    for row, fresh in zip(packing.rows, packing.fresh, strict=True):
        if fresh:
            assert (row["offset"], row["file"]) == (next_place[row["field"]], 3)
            next_place[row["field"]] += int(row["stored"])
    assert packing.totals.tolist() == [end - start for end, start in zip(next_place, starts, strict=True)]


@pytest.mark.parametrize("limit", [1, 500, 4000, 1 << 20])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.0])
def test_batches_hold_every_piece_once_and_are_runs_of_the_file(limit, share):
    packing = packed()
    packing.fresh[:] = np.random.default_rng(limit).random(len(packing.rows)) < share
    packing.place(0, np.arange(len(packing.dtypes)) * 100_000)
    staging = np.empty(1 << 16, np.uint8)
    seen = []
    for batch in packing.batches(limit):
        rows = packing.rows[batch]
        assert (rows["field"] == rows["field"][0]).all() and (len(batch) == 1 or rows["stored"].sum() <= limit)
        assert (rows["offset"][1:] == (rows["offset"] + rows["stored"])[:-1]).all()
        assert packing.load(batch, staging).tobytes() == b"".join(packing.arrays[n].tobytes() for n in batch)
        seen += batch.tolist()
    assert seen == np.flatnonzero(packing.fresh).tolist()
    for row, array, fresh in zip(packing.rows, packing.arrays, packing.fresh, strict=True):
        assert (row["digest"] == (digest_of(array) if fresh else 0)).all()


def test_other_registers_are_cut_anew():
    """The cuts are kept, but not for registers that are no longer the same; the tables do not share memory."""
    layout = samples.layout_of(samples.domain(2), 1, BLOCKS[2])
    cutter, few, many = Cutter(layout, 0), samples.specs(2)[:1], samples.specs(2)
    sizes = []
    for chosen in (few, many, many, few):
        packing = cutter.collect(samples.fields(layout, chosen), Timers())
        assert not packing.rows["digest"].any() and len(packing.arrays) == len(packing.rows)
        packing.digest_all(np.empty(1 << 16, np.uint8))
        sizes.append(len(packing.rows))
    assert sizes[0] == sizes[3] < sizes[1] == sizes[2]


def test_a_rank_without_blocks_has_nothing():
    layout = samples.layout_of(samples.domain(2), 1, BLOCKS[2])
    layout = type(layout)(**{**vars(layout), "ranks": 2, "owners": (0,) * len(layout.blocks)})
    packing = Cutter(layout, 1).collect(samples.fields(layout, samples.specs(2)), Timers())
    packing.place(0, np.zeros(len(packing.dtypes), np.int64))
    assert not len(packing.rows) and not list(packing.batches(1)) and not packing.totals.any()


@pytest.mark.parametrize("counts", [[], [0, 0], [5], [0, 1 << 34, 3], [7] * 100])
def test_the_file_made_in_memory_is_an_hdf5_file(tmp_path, counts):
    """Datasets lie where they should, and the frame is every byte outside of them."""
    kinds = [("<f8", "<f4", "u1")[n % 3] for n in range(len(counts))]
    nbytes = [count * np.dtype(kind).itemsize for count, kind in zip(counts, kinds, strict=True)]
    made = lay_out(kinds, nbytes)
    path = tmp_path / "a.h5"
    with open(path, "wb") as stream:
        stream.truncate(made.size)
        made.write_frame(stream.fileno())
    with h5py.File(path) as handle:
        assert sorted(handle["fields"], key=int) == [str(n) for n, count in enumerate(counts) if count]
        for place, dataset in handle["fields"].items():
            number = int(place)
            assert dataset.shape == (counts[number],) and dataset.dtype == kinds[number]
            assert dataset.id.get_offset() == made.offsets[number]
            assert made.offsets[number] % ALIGNMENT == 0 or nbytes[number] < ALIGNMENT
    held = sorted((offset, offset + count) for offset, count in zip(made.offsets, nbytes, strict=True) if count)
    place, parts = 0, []
    with open(path, "rb") as stream:
        for start, stop in [*held, (made.size, made.size)]:
            stream.seek(place)
            parts.append(stream.read(start - place))
            place = stop
    assert made.digest == xxhash.xxh3_128_hexdigest(b"".join(parts))
    assert sum(stop - start for start, stop in made.ranges.tolist()) == made.size - sum(nbytes)
    assert lay_out(kinds, nbytes) == made
