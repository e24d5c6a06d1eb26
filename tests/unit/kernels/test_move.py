"""Movers: the compiled loops and the NumPy slices agree bit for bit, and with plain loops over sites (ENG-03)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpcsim.kernels.numba.move import NumbaMover
from hpcsim.kernels.numpy.move import NumpyMover

STRIDES = np.array([7 * 6 * 8, 6 * 8, 8, 1], np.int64)
SITES = 5 * 7 * 6 * 8
EXTENTS = [(1, 1, 1, 1), (1, 1, 1, 8), (1, 1, 6, 1), (2, 3, 4, 5), (1, 7, 1, 3), (4, 1, 2, 1), (0, 2, 2, 2)]
MAKERS = {"numpy": NumpyMover, "numba": NumbaMover, "threads": lambda: NumbaMover(threads=2)}


def sites_of(offset: int, extents) -> list[int]:
    """Flat places of a box in row-major order."""
    return [offset + int(np.dot(index, STRIDES)) for index in itertools.product(*(range(n) for n in extents))]


def rows(dtype: str) -> tuple[np.ndarray, np.ndarray, list]:
    """A field, a buffer and (table side, extents, packed place) of boxes that share no site."""
    rng = np.random.default_rng(1)
    field = rng.standard_normal(SITES * len(EXTENTS)).astype(dtype)
    boxes, place = [], 0
    for number, extents in enumerate(EXTENTS):
        boxes.append((number * SITES + 9, extents, place))
        place += int(np.prod(extents))
    return field, rng.standard_normal(place).astype(dtype), boxes


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("maker", MAKERS)
def test_pack_unpack_copy_add(maker: str, dtype: str) -> None:
    """Each verb moves exactly the sites of its boxes, in row-major order, and touches nothing else."""
    mover = MAKERS[maker]()
    field, buffer, boxes = rows(dtype)
    table = np.array([[offset, place, *extents] for offset, extents, place in boxes], np.int64)
    back = np.ascontiguousarray(table[:, [1, 0, 2, 3, 4, 5]])
    order = [site for offset, extents, _ in boxes for site in sites_of(offset, extents)]

    packed = np.full(buffer.size + 2, 77, dtype)
    mover.pack(packed, field, table, STRIDES)
    np.testing.assert_array_equal(packed, np.append(field[order], [77, 77]).astype(dtype))

    want = field.copy()
    want[order] = buffer
    found = field.copy()
    mover.unpack(found, buffer, back, STRIDES)
    np.testing.assert_array_equal(found, want)

    want = field.copy()
    for site, value in zip(order, buffer, strict=True):
        want[site] += value
    found = field.copy()
    mover.add(found, buffer, back, STRIDES)
    np.testing.assert_array_equal(found, want)

    moved = table.copy()
    moved[:, 1] = table[:, 0] + 40
    want = field.copy()
    want[np.array(order) + 40] = buffer_source = np.arange(len(order)).astype(dtype)
    source = field.copy()
    source[order] = buffer_source
    found = field.copy()
    mover.copy(found, source, moved, STRIDES)
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("maker", MAKERS)
def test_overlapping_rows_are_added_in_order(maker: str) -> None:
    """Reverse exchange: a site in several rows takes its contributions one after the other."""
    table = np.array([[r, 0, 1, 1, 1, 1] for r in range(5)], np.int64)
    parts = np.array([1e16, 1.0, -1e16, 1.0, 3e-17])
    field = np.array([0.1])
    MAKERS[maker]().add(field, parts, table, STRIDES)
    want = 0.1
    for part in parts:
        want += part
    assert field[0] == want


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("maker", MAKERS)
def test_affine_fill(maker: str, dtype: str) -> None:
    """Ghost = a * inner + b, and with b per site; one rounding after each operation, as written."""
    mover = MAKERS[maker]()
    rng = np.random.default_rng(2)
    field, values, boxes = rows(dtype)
    kept = [(offset, extents, place) for offset, extents, place in boxes if np.prod(extents)]
    table = np.array([[0, offset, *extents] for offset, extents, _ in kept], np.int64)
    mirror = np.array([-9, 5 * SITES // 6, 11, 1400, -3, 500], np.int64)
    a, b = (rng.standard_normal(len(kept)).astype(dtype) for _ in range(2))
    for added in ("row", "site"):
        want = field.copy()
        for row, (offset, extents, place) in enumerate(kept):
            for step, site in enumerate(sites_of(offset, extents)):
                plus = b[row] if added == "row" else values[place + step]
                product = np.dtype(dtype).type(a[row] * field[site + mirror[row]])
                want[site] = product + plus
        found = field.copy()
        if added == "row":
            mover.affine(found, table, mirror, a, b, STRIDES)
        else:
            places = np.array([place for *_, place in kept], np.int64)
            mover.affine_values(found, table, mirror, a, values, places, STRIDES)
        np.testing.assert_array_equal(found, want)


def test_empty_table() -> None:
    """A table without rows moves nothing."""
    field = np.ones(4)
    for maker in MAKERS.values():
        maker().copy(field, np.zeros(4), np.empty((0, 6), np.int64), STRIDES)
    assert field.sum() == 4
