"""Which rank owns which block: strategies by name, each a function of integers and costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import LayoutError, Problem
from hpcsim.lattice.check import whole_numbers
from hpcsim.lattice.cut import factorisations
from hpcsim.registry import Registry

Costs: TypeAlias = NDArray[np.float64]
Partition: TypeAlias = Callable[[NDArray[np.int64], tuple[int, ...], int, Costs | None], list[int]]

PARTITIONS = Registry(
    "partition",
    {
        "curve": "hpcsim.lattice.partition:cut_curve",
        "cartesian": "hpcsim.lattice.partition:cartesian",
        "round_robin": "hpcsim.lattice.partition:round_robin",
    },
)


def cut_curve(places: NDArray[np.int64], grid: tuple[int, ...], ranks: int, costs: Costs | None) -> list[int]:
    """Runs of consecutive blocks of the curve with about equal cost.

    Every rank owns at least one block, owners never decrease along the curve, and no rank has more than the mean cost
    plus the cost of the dearest block. With equal costs the numbers of blocks differ by at most one.

    Parameters
    ----------
    places : ndarray of int64, shape (blocks, ndim)
        Place of each block in the grid, in curve order.
    grid : tuple of int
        Blocks per axis.
    ranks : int
        Number of ranks, at most the number of blocks.
    costs : ndarray of float64, shape (blocks,), or None
        Cost of each block in any unit; None for equal costs.

    Returns
    -------
    list of int
        Owner of each block.

    Examples
    --------
    >>> cut_curve(np.zeros((6, 1), dtype=np.int64), (6,), 2, np.array([3.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    [0, 0, 1, 1, 1, 1]
    """
    blocks = len(places)
    weights = np.ones(blocks) if costs is None else costs
    done = np.concatenate(([0.0], np.cumsum(weights)))
    targets = done[-1] * np.arange(1, ranks) / ranks
    # Each cut goes to the block edge nearest its share of the total.
    above = np.clip(np.searchsorted(done, targets), 1, blocks)
    cuts = np.where(targets - done[above - 1] <= done[above] - targets, above - 1, above)
    # Cuts that fall on each other are spread, so that no rank is left without a block.
    order = np.arange(1, ranks)
    cuts = np.maximum.accumulate(np.maximum(cuts - order, 0)) + order
    cuts = np.minimum(cuts, blocks - ranks + order)
    sizes = np.diff(np.concatenate(([0], cuts, [blocks])))
    owners: list[int] = np.repeat(np.arange(ranks), sizes).tolist()
    return owners


def cartesian(places: NDArray[np.int64], grid: tuple[int, ...], ranks: int, costs: Costs | None) -> list[int]:
    """A grid of processes, each with a box of blocks; rank numbers run along the last axis first.

    Parameters and result as for `cut_curve`.

    Raises
    ------
    LayoutError
        If the number of ranks has no factors that fit the grid of blocks, or costs are given.

    Examples
    --------
    >>> cartesian(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), (2, 2), 2, None)
    [0, 0, 1, 1]
    """
    _refuse_costs("cartesian", costs)
    processes = process_grid(ranks, grid)
    place = [((places[:, axis] + 1) * p - 1) // grid[axis] for axis, p in enumerate(processes)]
    owners: list[int] = np.ravel_multi_index(place, processes).tolist()
    return owners


def round_robin(places: NDArray[np.int64], grid: tuple[int, ...], ranks: int, costs: Costs | None) -> list[int]:
    """Blocks dealt out in turn; many messages, meant for tests.

    Parameters and result as for `cut_curve`.

    Raises
    ------
    LayoutError
        If costs are given.

    Examples
    --------
    >>> round_robin(np.zeros((5, 1), dtype=np.int64), (5,), 2, None)
    [0, 1, 0, 1, 0]
    """
    _refuse_costs("round_robin", costs)
    return [block % ranks for block in range(len(places))]


def process_grid(ranks: int, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Processes per axis: factors of the number of ranks with the fewest blocks on the busiest and least surface.

    Ties go to cuts of the first axes.

    Raises
    ------
    LayoutError
        If no factors fit the grid; the message has the largest smaller number of ranks that does.

    Examples
    --------
    >>> process_grid(6, (4, 3))
    (2, 3)
    """
    best: tuple[int, int, tuple[int, ...]] | None = None
    for processes in factorisations(ranks, grid):
        parts = [-(-g // p) for g, p in zip(grid, processes, strict=True)]
        volume = math.prod(parts)
        rating = (volume, sum(volume // n for n in parts), tuple(-p for p in processes))
        best = rating if best is None else min(best, rating)
    if best is None:
        useful = next(n for n in range(ranks, 0, -1) if next(factorisations(n, grid), None))
        text = f"no process grid of {ranks} ranks fits a grid of {grid} blocks; use {useful} ranks, "
        raise LayoutError([Problem("lattice.partition", text + "another block_shape, or partition 'curve'")])
    return tuple(-p for p in best[2])


def make_owners(
    places: NDArray[np.int64], grid: tuple[int, ...], ranks: int, partition: str, costs: Sequence[float] | None
) -> tuple[int, ...]:
    """Owner of each block by a named strategy, checked.

    Raises
    ------
    ConfigError
        If the strategy is unknown.
    LayoutError
        If the costs are unusable, or the strategy leaves a rank without a block.
    """
    strategy: Partition = PARTITIONS.get(partition)
    weights = None if costs is None else _check_costs(costs, len(places))
    return check_owners(strategy(places, grid, ranks, weights), len(places), ranks)


def check_owners(owners: Sequence[int], blocks: int, ranks: int) -> tuple[int, ...]:
    """A map from block to owner, if every block has a rank and every rank a block.

    Raises
    ------
    LayoutError
        If the length is wrong, an entry is no rank, or a rank owns nothing.
    """
    if len(owners) != blocks:
        raise LayoutError([Problem("owners", f"{len(owners)} owners given for {blocks} blocks; give one per block")])
    checked = whole_numbers(owners, "owners", 0, ranks - 1)
    idle = sorted(set(range(ranks)) - set(checked))
    if idle:
        text = f"{len(idle)} of {ranks} ranks own no block (the first is rank {idle[0]}); use {ranks - len(idle)} ranks"
        raise LayoutError([Problem("owners", text)])
    return checked


def _check_costs(costs: Sequence[float], blocks: int) -> Costs:
    """Costs as an array, if they are one usable number per block."""
    weights = np.asarray(costs, dtype=np.float64)
    if weights.shape != (blocks,):
        raise LayoutError([Problem("costs", f"{len(costs)} costs given for {blocks} blocks; give one per block")])
    total = float(weights.sum())
    if not math.isfinite(total) or total <= 0 or bool((weights < 0).any()):
        text = f"must be finite, not negative and not all zero; given {weights.min()} to {weights.max()}"
        raise LayoutError([Problem("costs", text)])
    return weights


def _refuse_costs(name: str, costs: Costs | None) -> None:
    """Costs would be ignored by a strategy of fixed shape; say so instead."""
    if costs is not None:
        raise LayoutError([Problem("lattice.partition", f"'{name}' cannot weigh blocks by cost; use 'curve'")])
