"""Redistribution over real ranks: every wanted site gets the value of the site, whatever the boxes (ENG-03)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import LayoutError
from hpcsim.lattice.box import extent
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.pencils import bricks, pencils

SHAPES = [(29,), (13, 8), (12, 10, 14), (5, 4, 6, 3)]


def ids(shape) -> np.ndarray:
    """A value for each site that no other has."""
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


def inside(box):
    """Slices of a box in an array over the whole lattice."""
    return tuple(slice(a, b) for a, b in zip(*box, strict=True))


def random_boxes(rng, shape, count: int):
    """Boxes with random corners, some of them empty."""
    corners = [np.sort(rng.integers(0, n + 1, (count, 2)), axis=1) for n in shape]
    return [tuple(zip(*(axis[i].tolist() for axis in corners), strict=True)) for i in range(count)]


def moved(context, have, want, shape, dtype="float64", **options):
    """Arrays over the wanted boxes after one run; -1 where nothing came."""
    values = ids(shape).astype(dtype)
    target = [np.full(extent(box), -1, dtype) for box in want]
    redistribution = Redistribution(context, have, want, dtype, **options)
    for _ in range(2):
        redistribution.run([np.ascontiguousarray(values[inside(box)]) for box in have], target)
    redistribution.free()
    return target


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_to_pencils_and_back(context, shape) -> None:
    """ENG-03: several blocks a rank in curve order to pencils along every axis, bricks, and back again."""
    layout = make_layout(Domain(shape, (0.0,) * len(shape), (1.0,) * len(shape), (True,) * len(shape)), context.size,
                         block_shape=tuple(max(2, n // 4) for n in shape))  # fmt: skip
    blocks = [(block.lo, block.hi) for block in layout.local(context.rank)]
    whole = ids(shape)
    for boxes in [*(pencils(shape, context.size, axis) for axis in range(len(shape))), bricks(shape, context.size)]:
        own = [boxes[context.rank]]
        (found,) = moved(context, blocks, own, shape)
        assert np.array_equal(found, whole[inside(own[0])])
        for block, array in zip(blocks, moved(context, own, blocks, shape), strict=True):
            assert np.array_equal(array, whole[inside(block)])


@pytest.mark.parametrize("chunk_bytes", [2**30, 64])
@pytest.mark.parametrize("seed", range(8))
def test_random_boxes(context, seed: int, chunk_bytes: int) -> None:
    """ENG-03: overlapping and empty boxes on both sides, other numbers on every rank, messages cut into chunks."""
    shape = SHAPES[seed % len(SHAPES)]
    rngs = [np.random.default_rng((seed, rank)) for rank in range(context.size)]
    have = [random_boxes(rng, shape, int(rng.integers(0, 4))) for rng in rngs]
    want = [random_boxes(rng, shape, int(rng.integers(0, 4))) for rng in rngs]
    held = np.zeros(shape, bool)
    for box in (box for boxes in have for box in boxes):
        held[inside(box)] = True
    expected = np.where(held, ids(shape), -1.0)
    mine = want[context.rank]
    for box, array in zip(mine, moved(context, have[context.rank], mine, shape, chunk_bytes=chunk_bytes), strict=True):
        assert np.array_equal(array, expected[inside(box)])


@pytest.mark.parametrize("dtype", ["float32", "complex128", "int64", "uint8"])
def test_replicas_and_types(context, dtype: str) -> None:
    """ENG-03: all ranks want the same sites, of several types; ranks without any box take part."""
    shape = (9, 6, 5)
    own = [pencils(shape, context.size, 1)[context.rank]] if context.rank != 1 else []
    everything = ((0, 0, 0), shape)
    held = np.zeros(shape, bool)
    for rank, box in enumerate(pencils(shape, context.size, 1)):
        held[inside(box)] = rank != 1
    want = [everything] if context.rank != 2 else []
    for array in moved(context, own, want, shape, dtype):
        assert np.array_equal(array[held], ids(shape).astype(dtype)[held])
        assert (array[~held] == np.full(1, -1, dtype)).all() and array.dtype == dtype
    # Back from replicas: every rank has all it needs, so nothing is sent.
    back = Redistribution(context, [everything], own, dtype)
    assert back.sent == 0


def test_views_with_strides(context) -> None:
    """Interiors of arrays with ghosts, reversed and transposed memory, read and written in place; rest untouched."""
    shape = (8, 9, 7)
    whole = ids(shape)
    have, want = pencils(shape, context.size, 2)[context.rank], pencils(shape, context.size, 0)[context.rank]
    padded = np.full([n + 4 for n in extent(have)], -5.0)
    source = padded[2:-2, 2:-2, 2:-2]
    source[...] = whole[inside(have)]
    backing = np.full([2 * n + 1 for n in extent(want)][::-1], -7.0)
    target = backing[::-1, ::-1, ::-1].T[1::2, 1::2, 1::2]
    Redistribution(context, [have], [want], "float64").run([source], [target])
    assert np.array_equal(target, whole[inside(want)])
    target[...] = -7.0
    assert (backing == -7.0).all() and padded.sum() == pytest.approx(source.sum() - 5.0 * (padded.size - source.size))


def test_wrong_arrays_and_axes_are_refused(context) -> None:
    """A shape or type that does not fit is named; boxes of other dimension on one rank fail on all."""
    box = pencils((6, 4), context.size)[context.rank]
    redistribution = Redistribution(context, [box], [box], "float64")
    with pytest.raises(ValueError, match="target"):
        redistribution.run([np.zeros(extent(box))], [np.zeros(extent(box), "float32")])
    with pytest.raises(ValueError, match="source"):
        redistribution.run([np.zeros((9, 9))], [np.zeros(extent(box))])
    odd = [((0,), (3,))] if context.rank == context.size - 1 else []
    with pytest.raises(LayoutError, match="axes"):
        Redistribution(context, [box], odd, "float64")
