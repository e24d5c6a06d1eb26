"""ENG-03 in virtual ranks: every ghost holds the id of its periodic image, exactly."""

from __future__ import annotations

import itertools
import time

import pytest

from hpcsim.errors import LayoutError
from hpcsim.lattice.box import grow, volume
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.location import component_locations
from hpcsim.lattice.neighbors import ghost_regions, sent_regions
from tests.unit.lattice.virtual import VirtualRanks, unit_domain


def check(layout, location, width, corners, ghost=None):
    ranks = VirtualRanks(layout, location, width if ghost is None else ghost)
    received, sent = [], []
    for block in layout.blocks:
        received += ghost_regions(layout, block, location, width, corners)
        sent += sent_regions(layout, block, location, width, corners)
    assert received == sorted(received, key=lambda r: (r.block_id, r.direction, r.source_id))
    assert all(volume(region.box) > 0 for region in received)
    assert sorted(sent) == sorted(received), "sender and receiver disagree"
    ranks.apply(received)
    for block in layout.blocks:
        box = grow(layout.owned_box(block, location), ranks.ghost)
        assert (ranks.view(block.id, box) == ranks.expected(block.id, box, width, corners)).all(), block


def locations(ndim):
    kinds = [component_locations(kind, ndim, ndim) for kind in ("cell", "vertex", "face", "edge")]
    return sorted(set(itertools.chain(*kinds)))


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_eng03_all_boundaries_and_locations(ndim, width, corners):
    shape = (17, 11, 9)[:ndim]
    for periodic in itertools.product([False, True], repeat=ndim):
        domain = unit_domain(shape, periodic)
        for ranks in (1, 2, 3, 4):
            layout = make_layout(domain, ranks, ghost=width)
            for location in locations(ndim):
                check(layout, location, width, corners)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("periodic", [(True,) * 4, (False,) * 4, (True, False, False, True)])
def test_eng03_four_axes(periodic, corners):
    layout = make_layout(unit_domain((5, 4, 3, 6), periodic), 3, ghost=1, block_shape=(2, 2, 3, 3))
    for location in locations(4):
        check(layout, location, 1, corners)
    wide = make_layout(unit_domain((5, 4, 3, 6), periodic), 2, ghost=3)
    check(wide, (0, 1, 1, 0), 3, corners)


def check_plane(ranks):
    layout = make_layout(unit_domain((37, 41), (True, False)), ranks, ghost=1)
    assert all(layout.local(rank) for rank in range(ranks))
    check(layout, (1, 1) if ranks % 2 else (0, 0), 1, corners=True)


def test_eng03_one_axis_every_rank_count_to_256():
    domains = [unit_domain((601,), (periodic,)) for periodic in (False, True)]
    for ranks in range(1, 257):
        check(make_layout(domains[ranks % 2], ranks, ghost=2), (ranks // 2 % 2,), 2, corners=True)


@pytest.mark.parametrize("counts", [range(1, 33), range(33, 65), (*range(66, 256, 21), 256)], ids=str)
def test_eng03_two_axes_rank_counts_to_256(counts):
    for ranks in counts:
        check_plane(ranks)


@pytest.mark.nightly
def test_eng03_two_axes_every_rank_count_to_256():
    for ranks in range(1, 257):
        check_plane(ranks)


@pytest.mark.parametrize("ranks", [27, 64, 100, 256])
def test_eng03_three_axes_many_ranks(ranks):
    layout = make_layout(unit_domain((17, 19, 23), (True, True, False)), ranks, ghost=2)
    check(layout, (0, 1, 1), 2, corners=True)


@pytest.mark.parametrize("partition", ["curve", "cartesian", "round_robin"])
@pytest.mark.parametrize("curve", ["hilbert", "morton"])
def test_eng03_uneven_blocks_any_owner(curve, partition):
    domain = unit_domain((11, 14), (True, False))
    layout = make_layout(domain, 6, ghost=3, block_shape=(4, 5), curve=curve, partition=partition)
    assert layout.narrowest == (3, 4)
    for width, location in itertools.product((1, 2, 3), locations(2)):
        check(layout, location, width, corners=True, ghost=3)


def test_eng03_explicit_owners():
    owners = [2, 0, 1, 1, 0, 2, 2, 0, 1]
    layout = make_layout(unit_domain((9, 9), (True, True)), 3, ghost=2, block_shape=(3, 3), owners=owners)
    assert layout.owners == tuple(owners)
    check(layout, (0, 0), 2, corners=True)


def test_single_periodic_block_is_its_own_neighbor():
    layout = make_layout(unit_domain((4, 5), (True, True)), 1, ghost=4)
    regions = ghost_regions(layout, layout.blocks[0], (0, 0), 4)
    assert len(regions) == 8
    assert {region.source_id for region in regions} == {0}
    assert regions[0].shift == (4, 5)
    assert regions[-1].shift == (-4, -5)


def test_two_periodic_blocks_meet_on_both_sides():
    layout = make_layout(unit_domain((8,), (True,)), 2)
    lower, upper = ghost_regions(layout, layout.blocks[0], (0,), 2)
    assert (lower.source_id, upper.source_id) == (1, 1)
    assert (lower.box, lower.shift) == (((-2,), (0,)), (8,))
    assert (upper.box, upper.shift) == (((4,), (6,)), (0,))


def test_bounded_single_block_has_no_regions():
    layout = make_layout(unit_domain((8, 8), (False, False)), 1)
    assert ghost_regions(layout, layout.blocks[0], (1, 1), 1) == []
    assert sent_regions(layout, layout.blocks[0], (1, 1), 1) == []


def test_zero_width_has_no_regions():
    layout = make_layout(unit_domain((8, 8), (True, True)), 4)
    assert ghost_regions(layout, layout.blocks[0], (0, 0), 0) == []


def test_width_beyond_the_narrowest_block_is_refused():
    layout = make_layout(unit_domain((10,), (True,)), 3)
    with pytest.raises(LayoutError, match=r"ghost width 4 .*\(3,\) cells.*0 to 3"):
        ghost_regions(layout, layout.blocks[0], (0,), 4)
    with pytest.raises(LayoutError, match="2 entries for 1 axes"):
        ghost_regions(layout, layout.blocks[0], (0, 0), 1)


def test_large_layout_is_fast():
    domain = unit_domain((256, 256, 256), (True, True, True))
    start = time.perf_counter()
    layout = make_layout(domain, 4096, ghost=2, block_shape=(8, 8, 8))
    regions = [r for block in layout.local(1234) for r in ghost_regions(layout, block, (0, 0, 0), 2)]
    assert time.perf_counter() - start < 2.0
    assert len(layout.blocks) == 32768
    assert len(regions) == 8 * 26
