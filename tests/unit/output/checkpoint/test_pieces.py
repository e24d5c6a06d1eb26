"""Cutting boxes into pieces, and the arithmetic on whole tables of them (ENG-15)."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash

from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.location import owned_extent
from hpcsim.output.checkpoint.pieces import (
    MAX_PIECE_BYTES,
    PIECE,
    Slab,
    cut,
    cut_box,
    digest_of,
    gaps,
    intersect_boxes,
    is_sorted,
    match_keys,
    sites,
    sort_table,
    table_of,
    tiles,
    words_of,
)
from tests.unit.output import samples
from tests.unit.output.checkpoint import make


def test_a_row_is_packed_and_little_endian():
    """ENG-15: the layout of a row is part of the format."""
    assert PIECE.itemsize == 2 + 2 + 2 + 4 + 32 + 32 + 8 + 8 + 16
    table = table_of(1, [Slab(2, (3, 4), (5, 6))])
    table["file"], table["offset"], table["stored"] = 7, 8, 9
    table["digest"] = [[10, 11]]
    numbers = [1, 2, 0], [7], [3, 4, 0, 0, 5, 6, 1, 1], [8, 9, 10, 11]
    expected = b"".join(np.array(n, k).tobytes() for n, k in zip(numbers, ("<u2", "<u4", "<i8", "<u8"), strict=True))
    assert table.tobytes() == expected


@pytest.mark.parametrize("seed", range(30))
def test_slabs_follow_each_other_in_memory_and_keep_the_limit(seed):
    """ENG-15: joined in their order the slabs are the box, each is one run, and they are as large as they may be."""
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 9, generator.integers(1, 5)).tolist())
    lo = tuple(generator.integers(0, 50, len(shape)).tolist())
    limit = int(generator.integers(8, 8 * np.prod(shape) + 16))
    box = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    slabs = list(cut_box(lo, shape, 8, limit))
    parts = [box[Slab(0, *slab).within(lo)] for slab in slabs]
    assert all(part.nbytes <= limit and part.shape == slab[1] for part, slab in zip(parts, slabs, strict=True))
    assert np.concatenate([part.ravel() for part in parts]).tolist() == list(range(box.size))
    # One more layer of the axis that is cut would not fit.
    layer = [8 * int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    axis = next(axis for axis in range(len(shape)) if layer[axis] <= limit)
    largest = max(part.nbytes for part in parts)
    assert largest == layer[axis] * min(shape[axis], limit // layer[axis])


def test_first_axes_are_cut_first():
    assert [shape for _, shape in cut_box((0, 0, 0), (4, 4, 4), 8, 256)] == [(2, 4, 4), (2, 4, 4)]
    assert {shape for _, shape in cut_box((0, 0, 0), (4, 4, 4), 8, 64)} == {(1, 2, 4)}
    assert {shape for _, shape in cut_box((0, 0, 0), (1, 4, 4), 8, 64)} == {(1, 2, 4)}
    assert list(cut_box((0, 3), (4, 0), 8)) == []
    with pytest.raises(ValueError, match="larger than a slab"):
        list(cut_box((0,), (4,), 8, 4))


def test_a_large_block_is_cut_at_16_mib():
    """ENG-15: blocks of any size, with extents that do not divide."""
    lattice = samples.domain(3).__class__((300, 257, 129), (0.0,) * 3, (1.0,) * 3, (False,) * 3)
    layout = make.layout_of(lattice)
    slabs = cut(layout, layout.blocks[0], FieldSpec("E", 3, "edge"))
    table = table_of(0, slabs)
    assert (sites(table) * 8).max() <= MAX_PIECE_BYTES < (sites(table) * 8).max() * 1.02
    for component, location in enumerate(FieldSpec("E", 3, "edge").locations(3)):
        assert tiles(table[table["component"] == component], owned_extent(lattice, location))


@pytest.mark.parametrize(("ndim", "periodic"), samples.CASES)
def test_pieces_of_all_blocks_cover_every_component(ndim, periodic):
    """ENG-15: every centring, bounded and closed axes, uneven blocks."""
    lattice = samples.domain(ndim, periodic)
    for block_shape in (None, [3] * ndim):
        layout = make.layout_of(lattice, 1, block_shape)
        for spec in samples.specs(ndim):
            table = np.concatenate([table_of(0, cut(layout, block, spec, 64)) for block in layout.blocks])
            for component, location in enumerate(spec.locations(ndim)):
                own = table[table["component"] == component]
                assert tiles(own, owned_extent(lattice, location))
                assert not tiles(own[1:], owned_extent(lattice, location))


def random_boxes(generator, extent, count):
    """Boxes inside an extent."""
    slabs = []
    for _ in range(count):
        lo = [int(generator.integers(0, n)) for n in extent]
        slabs.append(
            Slab(0, tuple(lo), tuple(int(generator.integers(1, n - a + 1)) for a, n in zip(lo, extent, strict=True)))
        )
    return slabs


@pytest.mark.parametrize("seed", range(40))
def test_covering_exactly_once_is_told_from_all_else(seed):
    """F-10: against counting site by site, on tilings with boxes moved, doubled, dropped or resized."""
    generator = np.random.default_rng(seed)
    extent = tuple(generator.integers(1, 5, generator.integers(1, 5)).tolist())
    slabs = [Slab(0, *slab) for slab in cut_box((0,) * len(extent), extent, 8, int(generator.integers(8, 80)))]
    damage = seed % 5
    pick = int(generator.integers(len(slabs)))
    if damage == 1:
        slabs.append(slabs[pick])
    elif damage == 2:
        del slabs[pick]
    elif damage == 3:
        slabs[pick] = random_boxes(generator, extent, 1)[0]
    elif damage == 4:
        slabs = random_boxes(generator, extent, 3)
    count = np.zeros(extent, int)
    for slab in slabs:
        count[slab.within((0,) * len(extent))] += 1
    assert tiles(table_of(0, slabs), extent) == bool((count == 1).all())


def test_covering_refuses_boxes_that_are_outside_or_impossible():
    good = table_of(0, [Slab(0, (0, 0), (2, 3))])
    assert tiles(good, (2, 3)) and tiles(good, (2, 3, 1))
    for key, axis, value in (("lo", 0, -1), ("shape", 1, 4), ("shape", 0, 0), ("shape", 3, 2), ("lo", 0, 2**62)):
        bad = good.copy()
        bad[key][0, axis] = value
        assert not tiles(bad, (2, 3))
    assert not tiles(good[:0], (2, 3))


def test_covering_of_a_lattice_of_2_to_the_62_sites():
    """F-31: the largest lattice allowed has no overflow in the numbers of its corners."""
    extent = (2**31 - 1, 2**31 - 1)
    halves = [Slab(0, (0, 0), (2**30, extent[1])), Slab(0, (2**30, 0), (extent[0] - 2**30, extent[1]))]
    assert tiles(table_of(0, halves), extent) and not tiles(table_of(0, halves[:1]), extent)


def keyed(generator, count):
    """A table with small random keys."""
    table = np.zeros(count, PIECE)
    for name in ("field", "component", "level"):
        table[name] = generator.integers(0, 3, count)
    table["lo"], table["shape"] = generator.integers(0, 3, (count, 4)), generator.integers(1, 3, (count, 4))
    return table


def key(row):
    """Everything by which a piece is found again."""
    return (row["field"], row["component"], row["level"], *row["lo"].tolist())


def test_sorting_by_key():
    generator = np.random.default_rng(3)
    table = keyed(generator, 500)
    done = sort_table(table)
    assert [key(row) for row in done] == sorted(key(row) for row in table)
    once = done[[0, *(n for n in range(1, 500) if key(done[n]) != key(done[n - 1]))]]
    assert is_sorted(once) and not is_sorted(done) and not is_sorted(once[::-1])
    assert is_sorted(once[:1]) and is_sorted(once[:0])
    for name in ("field", "component", "level"):
        worse = once.copy()
        worse[name][7] = 99
        assert not is_sorted(worse)


def test_matching_keys():
    """ENG-15: each piece finds the known one of its key and extent, or none."""
    generator = np.random.default_rng(4)
    full = lambda row: (*key(row), *row["shape"].tolist())  # noqa: E731
    known = keyed(generator, 2000)
    known = known[np.unique([str(full(row)) for row in known], return_index=True)[1]]
    wanted = keyed(generator, 3000)
    where = {full(row): n for n, row in enumerate(known)}
    expected = [where.get(full(row), -1) for row in wanted]
    assert match_keys(wanted, known).tolist() == expected and -1 in expected and max(expected) >= 0
    assert match_keys(wanted[:0], known).tolist() == [] and set(match_keys(wanted, known[:0])) == {-1}


def test_common_parts_of_boxes():
    first, extent = intersect_boxes(
        np.array([[0, 0], [0, 0]]), np.array([[3, 4], [3, 4]]), np.array([[2, -1], [3, 0]]), np.array([[9, 2], [5, 4]])
    )
    assert first.tolist()[0] == [2, 0] and extent.tolist() == [[1, 2], [0, 4]]


@pytest.mark.parametrize("seed", range(20))
def test_gaps_are_the_bytes_outside_the_pieces(seed):
    generator = np.random.default_rng(seed)
    size = 200
    cuts = np.sort(generator.choice(size + 1, 12, replace=False))
    start, stop = cuts[::2].astype(np.uint64), cuts[1::2].astype(np.uint64)
    mix = generator.permutation(len(start))
    found = gaps(start[mix], (stop - start)[mix], size)
    marked = np.zeros(size, bool)
    for a, b in zip(start.tolist(), stop.tolist(), strict=True):
        marked[a:b] = True
    outside = np.concatenate([np.arange(a, b) for a, b in found.tolist()]) if len(found) else np.empty(0)
    assert outside.tolist() == np.flatnonzero(~marked).tolist() and (found[:, 1] > found[:, 0]).all()


@pytest.mark.parametrize(
    ("offset", "stored"), [([0, 4], [5, 4]), ([90], [11]), ([101], [0]), ([2**64 - 1], [2]), ([8], [2**64 - 4])]
)
def test_gaps_refuse_pieces_that_overlap_or_leave_the_file(offset, stored):
    assert gaps(np.array(offset, np.uint64), np.array(stored, np.uint64), 100) is None
    assert gaps(np.empty(0, np.uint64), np.empty(0, np.uint64), 100).tolist() == [[0, 100]]
    assert gaps(np.empty(0, np.uint64), np.empty(0, np.uint64), 0).tolist() == []


def test_digest_is_that_of_the_values_in_order():
    """F-09: any bit and any exchange of values shows; strides and byte order of the machine do not matter."""
    values = np.random.default_rng(0).standard_normal((5, 6))
    expected = np.frombuffer(xxhash.xxh3_128_digest(values.tobytes()), "<u8")
    assert (
        digest_of(values).tolist() == expected.tolist() == words_of(xxhash.xxh3_128_digest(values.tobytes())).tolist()
    )
    padded = np.full((7, 9), np.nan)
    padded[1:6, 2:8] = values
    assert digest_of(padded[1:6, 2:8]).tolist() == expected.tolist()
    assert digest_of(values.astype(">f8")).tolist() == expected.tolist()
    assert digest_of(values[::-1]).tolist() != expected.tolist()
    changed = values.copy()
    changed.view(np.uint8)[3, 11] ^= 1
    assert digest_of(changed).tolist() != expected.tolist()
