"""Boxes of a launch cover every site once, whatever the threads and the reach."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hpcsim.kernels.tiles import BlockBox, box_table, cut, interior_and_strips


def count(rows: np.ndarray, shape: tuple[int, ...], slots: int) -> np.ndarray:
    """How often each site of each block is covered."""
    covered = np.zeros((slots, *shape), int)
    for row in rows.tolist():
        covered[(row[0], *(slice(a, b) for a, b in zip(row[1::2], row[2::2], strict=True)))] += 1
    return covered


def random_boxes(rng: random.Random, ndim: int) -> tuple[tuple[int, ...], list[BlockBox]]:
    shape = tuple(rng.randint(1, 7) for _ in range(ndim))
    boxes = []
    for slot in range(rng.randint(1, 5)):
        lo = tuple(rng.randint(0, n) for n in shape)
        boxes.append(BlockBox(slot, lo, tuple(rng.randint(a, n) for a, n in zip(lo, shape, strict=True))))
    return shape, boxes


@pytest.mark.parametrize("seed", range(60))
def test_tables_cover_each_site_once(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    ndim = rng.randint(1, 4)
    shape, boxes = random_boxes(rng, ndim)
    whole = count(box_table(boxes, ndim), shape, 5)
    for threads in (1, 2, 3, 4, 7):
        table = box_table(boxes, ndim, threads)
        assert table.dtype == np.int64
        assert table.shape[1] == 1 + 2 * ndim
        assert np.array_equal(count(table, shape, 5), whole)
        kept = [box for box in boxes if not box.empty]
        if kept and all(box.hi[0] - box.lo[0] >= threads for box in kept):
            assert len(table) % threads == 0


@pytest.mark.parametrize("seed", range(60))
def test_interior_reads_nothing_outside_and_strips_complete_it(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    ndim = rng.randint(1, 4)
    shape, boxes = random_boxes(rng, ndim)
    reach = [rng.randint(0, 3) for _ in range(ndim)]
    for box in boxes:
        inner, strips = interior_and_strips(box, reach)
        whole = count(box_table([box], ndim), shape, 5)
        parts = count(box_table([inner, *strips], ndim), shape, 5)
        assert np.array_equal(parts, whole)
        if not inner.empty:
            assert all(a - r >= first for a, first, r in zip(inner.lo, box.lo, reach, strict=True))
            assert all(b + r <= last for b, last, r in zip(inner.hi, box.hi, reach, strict=True))


def test_cut() -> None:
    assert cut(0, 2, 5) == [(0, 1), (1, 2)]
    for n in range(1, 40):
        for parts in range(1, 9):
            pieces = cut(5, 5 + n, parts)
            sizes = [b - a for a, b in pieces]
            assert sum(sizes) == n
            assert max(sizes) - min(sizes) <= 1


def test_no_boxes_at_all() -> None:
    assert box_table([], 3, 4).shape == (0, 7)
