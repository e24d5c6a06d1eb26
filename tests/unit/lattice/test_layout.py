"""Layouts: cutting, lookup, defaults and refusals (F-30, F-31)."""

from __future__ import annotations

import itertools
import math
import re
import time
import tracemalloc

import numpy as np
import pytest

from hpcsim.errors import LayoutError
from hpcsim.lattice.curve import CURVES
from hpcsim.lattice.layout import make_layout
from tests.unit.lattice.virtual import axis_indices, global_ids, unit_domain


def periodic_domain(*shape):
    return unit_domain(shape, (True,) * len(shape))


@pytest.mark.parametrize("curve", CURVES.names())
@pytest.mark.parametrize(
    ("shape", "block_shape"),
    [((13,), (4,)), ((7, 11), (3, 4)), ((5, 7, 3), (2, 7, 2)), ((3, 5, 2, 7), (2, 2, 2, 3)), ((16, 16), (4, 4))],
)
def test_blocks_tile_the_domain(shape, block_shape, curve):
    layout = make_layout(periodic_domain(*shape), 2, block_shape=block_shape, curve=curve)
    seen = np.zeros(shape, dtype=int)
    for i, block in enumerate(layout.blocks):
        assert block.id == i
        assert layout.block_at(block.coords) is block
        assert block.shape == tuple(min(b, n - c * b) for n, b, c in zip(shape, block_shape, block.coords, strict=True))
        seen[tuple(slice(a, b) for a, b in zip(block.lo, block.hi, strict=True))] += 1
    assert (seen == 1).all()
    assert layout.grid == tuple(-(-n // b) for n, b in zip(shape, block_shape, strict=True))
    assert layout.widest == block_shape


@pytest.mark.parametrize("periodic", list(itertools.product([False, True], repeat=2)))
def test_owned_boxes_hold_every_site_once(periodic):
    domain = unit_domain((7, 10), periodic)
    layout = make_layout(domain, 3, block_shape=(3, 4))
    for location in itertools.product((0, 1), repeat=2):
        boxes = [layout.owned_box(block, location) for block in layout.blocks]
        ids = np.concatenate([global_ids(domain, location, box).ravel() for box in boxes])
        sites = math.prod(n + (s and not p) for n, s, p in zip(domain.shape, location, periodic, strict=True))
        assert sorted(ids.tolist()) == list(range(sites))


def test_local_blocks_are_those_owned():
    layout = make_layout(periodic_domain(12, 12), 5, block_shape=(3, 4), partition="round_robin")
    for rank in range(5):
        assert [b.id for b in layout.local(rank)] == [i for i, owner in enumerate(layout.owners) if owner == rank]
    with pytest.raises(LayoutError, match="rank 5 does not exist; this layout has ranks 0 to 4"):
        layout.local(5)
    with pytest.raises(LayoutError, match=r"no block at \(4, 0\); the grid of blocks is \(4, 3\)"):
        layout.block_at((4, 0))


def test_layout_is_immutable_and_comparable():
    layout = make_layout(periodic_domain(8, 8), 4)
    assert layout == make_layout(periodic_domain(8, 8), 4)
    assert layout != make_layout(periodic_domain(8, 8), 2)
    with pytest.raises(AttributeError):
        layout.ranks = 3


@pytest.mark.parametrize(
    ("shape", "ranks", "grid"),
    [
        ((48, 48, 48), 1, (1, 1, 1)),
        ((48, 48, 48), 8, (2, 2, 2)),
        ((64, 64), 4, (2, 2)),
        ((64, 64), 2, (2, 1)),
        ((256, 16), 4, (4, 1)),
        ((16, 256), 4, (1, 4)),
        ((97,), 5, (5,)),
        ((8, 8, 8, 8), 16, (2, 2, 2, 2)),
        ((1, 10, 1), 5, (1, 5, 1)),
        ((96, 97), 8, (4, 2)),
        ((13, 13, 13), 64, (8, 4, 2)),
    ],
)
def test_default_grid(shape, ranks, grid):
    layout = make_layout(periodic_domain(*shape), ranks)
    assert layout.grid == grid
    assert layout.ranks == ranks
    assert all(wide - narrow <= 1 for wide, narrow in zip(layout.widest, layout.narrowest, strict=True))


def test_default_grid_for_a_prime_number_of_ranks_balances():
    layout = make_layout(periodic_domain(64, 64, 64), 61)
    loads = [sum(math.prod(block.shape) for block in layout.local(rank)) for rank in range(61)]
    assert max(loads) < 1.25 * 64**3 / 61
    assert max(len(layout.local(rank)) for rank in range(61)) == 2


@pytest.mark.parametrize("shape", [(13,), (5, 7), (3, 4, 5), (2, 3, 2, 3)])
def test_default_serves_every_useful_rank_count(shape):
    for ranks in range(1, math.prod(shape) + 1):
        layout = make_layout(periodic_domain(*shape), ranks)
        assert all(layout.local(rank) for rank in range(ranks))


def test_default_grid_with_owners_has_as_many_blocks():
    layout = make_layout(periodic_domain(12, 12), 2, owners=[0, 1, 1, 0, 0, 1])
    assert len(layout.blocks) == 6
    assert layout.owners == (0, 1, 1, 0, 0, 1)


# F-30: every refusal has the numbers and something that works.


def test_f30_more_ranks_than_blocks():
    domain = periodic_domain(16, 32)
    with pytest.raises(LayoutError) as caught:
        make_layout(domain, 64, block_shape=(8, 8))
    text = str(caught.value)
    assert "64 ranks" in text and "8 blocks" in text and "use at most 8 ranks" in text
    shape = tuple(map(int, re.search(r"or block_shape \((\d+), (\d+)\)", text).groups()))
    assert len(make_layout(domain, 64, block_shape=shape).blocks) >= 64


def test_f30_more_ranks_than_cells_allow():
    domain = periodic_domain(9, 4)
    with pytest.raises(LayoutError) as caught:
        make_layout(domain, 64, ghost=2)
    assert "64 ranks" in str(caught.value) and "ghost width 2" in str(caught.value)
    most = int(re.search(r"use at most (\d+) ranks", str(caught.value)).group(1))
    assert most == 8
    assert make_layout(domain, most, ghost=2).ranks == most
    with pytest.raises(LayoutError):
        make_layout(domain, most + 1, ghost=2)
    with pytest.raises(LayoutError, match="use at most 1 ranks$"):
        make_layout(domain, 64, ghost=2, block_shape=(9, 4))


@pytest.mark.parametrize("ghost", [1, 2, 3, 4])
@pytest.mark.parametrize("cells", [4, 5, 7, 10, 11, 16, 23])
def test_f30_block_narrower_than_ghost(cells, ghost):
    for size in range(1, cells + 1):
        smallest = min(size, cells % size or size)
        if smallest >= ghost:
            assert make_layout(periodic_domain(cells), 1, ghost=ghost, block_shape=(size,)).narrowest == (smallest,)
            continue
        with pytest.raises(LayoutError, match=f"block of {smallest}, narrower than the ghost width {ghost}") as caught:
            make_layout(periodic_domain(cells), 1, ghost=ghost, block_shape=(size,))
        better = int(re.search(r"; (\d+) works", str(caught.value)).group(1))
        make_layout(periodic_domain(cells), 1, ghost=ghost, block_shape=(better,))


def test_f30_domain_narrower_than_ghost():
    with pytest.raises(LayoutError, match="axis y has 2 cells, fewer than the ghost width 3; at least 3"):
        make_layout(periodic_domain(8, 2), 1, ghost=3)


def test_f30_all_axes_are_reported():
    with pytest.raises(LayoutError) as caught:
        make_layout(periodic_domain(10, 8, 9), 1, ghost=2, block_shape=(3, 9, 4))
    assert [problem.where for problem in caught.value.problems] == ["lattice.block_shape"] * 3
    assert "axis x" in str(caught.value) and "axis y" in str(caught.value) and "axis z" in str(caught.value)
    assert "blocks of 9 cells are larger than the 8 cells" in str(caught.value)


# F-31: absurd sizes are refused quickly and before anything is allocated.


@pytest.mark.parametrize(
    ("shape", "ranks", "options"),
    [
        ((10**9,), 1, {"block_shape": (1,)}),
        ((1000, 1000, 1000), 8, {"block_shape": (1, 1, 1)}),
        ((2**30, 2**30), 4, {"block_shape": (16, 16), "ghost": 3}),
        ((64, 64), 10**9, {}),
        ((10**9,), 10**9, {}),
        ((64, 64), 0, {}),
        ((64, 64), -1, {}),
        ((64, 64), 2**63, {}),
        ((64, 64), 1.0, {}),
        ((64, 64), float("nan"), {}),
        ((64, 64), True, {}),
        pytest.param((64, 64), 10**5000, {}, id="5000 digits"),
        ((64, 64), 1, {"ghost": -1}),
        ((64, 64), 1, {"ghost": 2**63}),
        ((64, 64), 1, {"ghost": 65}),
        ((64, 64), 1, {"block_shape": (0, 8)}),
        ((64, 64), 1, {"block_shape": (-8, 8)}),
        ((64, 64), 1, {"block_shape": (8,)}),
        ((64, 64), 1, {"block_shape": (8, 8, 8)}),
        ((64, 64), 1, {"block_shape": (2**63, 8)}),
        ((64, 64), 1, {"block_shape": (65, 8)}),
        ((64, 64), 1, {"block_shape": (8.0, 8)}),
        ((64, 64), 1, {"block_shape": 8}),
        ((64, 64), 1, {"block_shape": "88"}),
        ((64, 64), 1, {"owners": []}),
    ],
)
def test_f31_absurd_sizes(shape, ranks, options):
    domain = periodic_domain(*shape)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(LayoutError) as caught:
            make_layout(domain, ranks, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 1.0
    assert peak < 2**20
    assert 10 < len(str(caught.value)) < 400


def test_f31_too_many_blocks_names_a_shape_that_works():
    with pytest.raises(LayoutError, match=r"\(1, 1, 1\) makes 1000000000 blocks, more than 4194304; \(8, 8, 8\)"):
        make_layout(periodic_domain(1000, 1000, 1000), 8, block_shape=(1, 1, 1))


def test_axis_indices_helper_is_open():
    assert [index.shape for index in axis_indices(((0, 0), (2, 3)))] == [(2, 1), (1, 3)]
