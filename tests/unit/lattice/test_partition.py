"""Properties of the partition strategies, over all registered ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpcsim.errors import ConfigError, LayoutError
from hpcsim.lattice.curve import curve_order
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.partition import PARTITIONS, check_owners, cut_curve, make_owners, process_grid
from tests.unit.lattice.virtual import unit_domain


@pytest.mark.parametrize("grid", [(7,), (4, 4), (5, 3), (3, 4, 5), (2, 3, 2, 3)])
@pytest.mark.parametrize("partition", PARTITIONS.names())
def test_every_block_has_a_rank_and_every_rank_a_block(partition, grid):
    places = curve_order(grid, "hilbert")
    for ranks in range(1, len(places) + 1):
        try:
            owners = make_owners(places, grid, ranks, partition, None)
        except LayoutError:
            assert partition == "cartesian"
            continue
        assert len(owners) == len(places)
        assert set(owners) == set(range(ranks))


def test_curve_keeps_the_order_and_balances_equal_blocks():
    for blocks, ranks in itertools.product((1, 2, 7, 64, 300), (1, 2, 3, 7, 64, 256)):
        if ranks > blocks:
            continue
        owners = cut_curve(np.zeros((blocks, 1), dtype=np.int64), (blocks,), ranks, None)
        assert owners == sorted(owners)
        counts = np.bincount(owners, minlength=ranks)
        assert counts.min() == blocks // ranks
        assert counts.max() == -(-blocks // ranks)


@pytest.mark.parametrize("seed", range(20))
def test_curve_cost_bound(seed):
    rng = np.random.default_rng(seed)
    blocks = int(rng.integers(1, 400))
    ranks = int(rng.integers(1, blocks + 1))
    costs = rng.random(blocks) ** int(rng.integers(1, 30))
    costs[rng.random(blocks) < 0.2] = 0.0
    costs[0] += 0.1
    owners = cut_curve(np.zeros((blocks, 1), dtype=np.int64), (blocks,), ranks, costs)
    assert owners == sorted(owners)
    assert set(owners) == set(range(ranks))
    loads = np.bincount(owners, weights=costs, minlength=ranks)
    assert loads.max() <= (costs.sum() / ranks + costs.max()) * (1 + 1e-12)


def test_curve_with_all_cost_at_one_end():
    zeros = np.zeros((6, 1), dtype=np.int64)
    assert cut_curve(zeros, (6,), 3, np.array([1.0, 0, 0, 0, 0, 0])) == [0, 1, 2, 2, 2, 2]
    assert cut_curve(zeros, (6,), 3, np.array([0, 0, 0, 0, 0, 1.0])) == [0, 0, 0, 0, 1, 2]


def test_curve_cuts_at_the_nearest_edge():
    zeros = np.zeros((4, 1), dtype=np.int64)
    assert cut_curve(zeros, (4,), 2, np.array([4.0, 3.0, 1.0, 1.0])) == [0, 1, 1, 1]
    assert cut_curve(zeros, (4,), 2, np.array([1.0, 1.0, 3.0, 4.0])) == [0, 0, 0, 1]


def test_costs_reach_the_layout():
    costs = [8.0] + [1.0] * 15
    layout = make_layout(unit_domain((8, 8), (True, True)), 2, block_shape=(2, 2), costs=costs)
    loads = [sum(costs[block.id] for block in layout.local(rank)) for rank in (0, 1)]
    assert sorted(loads) == [11.0, 12.0]


def test_cartesian_gives_each_rank_a_box():
    layout = make_layout(unit_domain((10, 12), (True, True)), 6, block_shape=(2, 2), partition="cartesian")
    lowest = []
    for rank in range(6):
        coords = [block.coords for block in layout.local(rank)]
        sides = [sorted(set(axis)) for axis in zip(*coords, strict=True)]
        assert sorted(coords) == list(itertools.product(*sides))
        assert all(side == list(range(side[0], side[-1] + 1)) for side in sides)
        lowest.append(tuple(side[0] for side in sides))
    assert lowest == sorted(lowest)


def test_cartesian_without_factors_is_refused_with_a_count_that_works():
    with pytest.raises(LayoutError, match=r"7 ranks fits a grid of \(4, 4\) blocks; use 6 ranks"):
        process_grid(7, (4, 4))
    with pytest.raises(LayoutError, match="exactly 7 blocks; 6 is possible"):
        make_layout(unit_domain((5, 5), (True, True)), 7, partition="cartesian")
    assert make_layout(unit_domain((5, 5), (True, True)), 6, partition="cartesian").ranks == 6


def test_unknown_partition_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'cartesian'"):
        make_layout(unit_domain((4, 4), (True, True)), 2, partition="cartesan")


@pytest.mark.parametrize("partition", ["cartesian", "round_robin"])
def test_costs_are_not_ignored_silently(partition):
    with pytest.raises(LayoutError, match="cannot weigh blocks by cost; use 'curve'"):
        make_layout(unit_domain((4, 4), (True, True)), 2, block_shape=(2, 2), partition=partition, costs=[1.0] * 4)


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ([1.0, 2.0], "2 costs given for 4 blocks"),
        ([1.0, -1.0, 1.0, 1.0], "not negative"),
        ([0.0] * 4, "not all zero"),
        ([1.0, float("nan"), 1.0, 1.0], "finite"),
        ([1.0, float("inf"), 1.0, 1.0], "finite"),
    ],
)
def test_unusable_costs(costs, words):
    with pytest.raises(LayoutError, match=words):
        make_layout(unit_domain((4, 4), (True, True)), 2, block_shape=(2, 2), costs=costs)


@pytest.mark.parametrize(
    ("owners", "words"),
    [
        ([0, 1], "2 owners given for 4 blocks"),
        ([0, 1, 2, 0], r"owners\[2\]: 2 is outside the allowed range 0 to 1"),
        ([0, 1, -1, 0], "-1 is outside"),
        ([0, 1, 0.5, 0], "0.5 is not a whole number"),
        ([1, 1, 1, 1], r"1 of 2 ranks own no block \(the first is rank 0\); use 1 ranks"),
    ],
)
def test_unusable_owners(owners, words):
    with pytest.raises(LayoutError, match=words):
        check_owners(owners, 4, 2)


def test_many_faults_are_summed_up():
    with pytest.raises(LayoutError) as caught:
        check_owners([99] * 1000, 1000, 2)
    assert len(caught.value.problems) == 9
    assert "992 more" in str(caught.value)
