"""Exact sums over ranks: one value for every rank count (ENG-17, rung SUM)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.fields.reduce import ExactSum, exact_sum, totals


def wide(count: int) -> np.ndarray:
    """Values of mixed sign spanning 1e16, the same on every rank."""
    rng = np.random.default_rng(17)
    values = rng.standard_normal(count) * 10.0 ** rng.uniform(-8, 8, count)
    values[1::2] = -values[::2] * (1 + 1e-9 * rng.standard_normal(count // 2))
    return values


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_sum_over_ranks_is_fsum(context, backend: str) -> None:
    """ENG-17, SUM: even, uneven, interleaved and empty parts all give the correctly rounded sum, on every rank."""
    values = wide(40_000)
    expected = math.fsum(values)
    rank, size = context.rank, context.size
    parts = [
        np.array_split(values, size)[rank], values[rank::size], values if rank == size - 1 else values[:0],
        values[-1::-1][rank::size],
    ]  # fmt: skip
    for part in parts:
        assert exact_sum(context, [part], backend=backend) == expected
    cuts = np.sort(np.random.default_rng(rank).integers(0, parts[0].size, 5))
    assert exact_sum(context, np.split(parts[0], cuts), backend=backend) == expected


def test_infinities_and_cancellation_across_ranks(context) -> None:
    """ENG-17: overflow of a part is no overflow of the sum; a nan or infinity of one rank reaches all."""
    last = context.rank == context.size - 1
    huge = ExactSum().add(np.full(4, 1.7976931348623157e308 if context.rank == 0 else 0.0))
    huge.add(np.full(4, -1.7976931348623157e308 if last else 0.0)).add([1.0 if last else 0.0])
    special = ExactSum().add([math.inf if last else 1.0])
    undefined = ExactSum().add([math.nan if last else 1.0])
    found = totals(context, [huge, special, undefined])
    assert found[:2] == [1.0, math.inf] and math.isnan(found[2])
