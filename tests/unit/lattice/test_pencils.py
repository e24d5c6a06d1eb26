"""Pencils, bricks and the pieces that move between them: exact cover for many virtual ranks (ENG-03)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpcsim.errors import LayoutError
from hpcsim.lattice.box import extent, volume
from hpcsim.lattice.pencils import bricks, pencils, process_grid
from hpcsim.lattice.pieces import Pieces, subtract

SHAPES = [(7,), (12, 5), (16, 16, 16), (13, 11, 3), (5, 4, 3, 6), (1, 9, 1, 2)]


def painted(shape, boxes) -> np.ndarray:
    """How many boxes hold each site."""
    counts = np.zeros(shape, int)
    for lo, hi in boxes:
        counts[tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))] += 1
    return counts


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7, 12, 60, 1000])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_site_has_one_box_and_the_whole_axis_is_whole(shape, ranks: int) -> None:
    """ENG-03: exact cover, one box a rank, empty ones last, for pencils along every axis and for bricks."""
    for whole in range(-len(shape), len(shape)):
        boxes = pencils(shape, ranks, whole)
        assert len(boxes) == ranks and (painted(shape, boxes) == 1).all()
        assert all(extent(box)[whole] == shape[whole] for box in boxes if volume(box))
        sizes = [volume(box) for box in boxes]
        assert all(n == 0 for n in sizes[sizes.index(0) :]) if 0 in sizes else True
    boxes = bricks(shape, ranks)
    assert len(boxes) == ranks and (painted(shape, boxes) == 1).all()


@pytest.mark.parametrize("ranks", [2, 3, 4, 6, 16, 63, 64])
def test_pencils_are_balanced(ranks: int) -> None:
    """The busiest rank of a large lattice has at most 1.15 of the mean."""
    sizes = [volume(box) for box in pencils((128, 128, 128), ranks)]
    assert max(sizes) <= 1.15 * np.mean(sizes)


@pytest.mark.parametrize(
    ("shape", "ranks", "limits", "grid"),
    [
        ((64, 64, 64), 2, (64, 64, 1), (2, 1, 1)),
        ((64, 64, 64), 16, (64, 64, 1), (4, 4, 1)),
        ((64, 8, 64), 4, (64, 8, 1), (4, 1, 1)),
        ((5, 5), 7, (5, 1), (5, 1)),
        ((3, 3, 3), 100, (3, 3, 1), (3, 3, 1)),
    ],
)
def test_process_grid_is_the_one_of_least_surface(shape, ranks, limits, grid) -> None:
    """Known grids: slabs, squares, long axes first, more ranks than lines."""
    assert process_grid(shape, ranks, limits) == grid


def test_wrong_arguments_are_refused() -> None:
    """An axis that does not exist, and no rank."""
    with pytest.raises(LayoutError, match="axis 2"):
        pencils((4, 4), 2, 2)
    with pytest.raises(LayoutError, match="0 ranks"):
        pencils((4, 4), 0)


def random_boxes(rng, shape, count: int):
    """Boxes with random corners, some of them empty."""
    corners = [np.sort(rng.integers(0, n + 1, (count, 2)), axis=1) for n in shape]
    return [tuple(zip(*(axis[i].tolist() for axis in corners), strict=True)) for i in range(count)]


def move(pieces: Pieces, have, want, values):
    """What every rank ends with when pieces are handed over by hand; -1 where nothing came."""
    result = []
    for rank, boxes in enumerate(want):
        arrays = [np.full(extent(box), -1) for box in boxes]
        for piece in pieces.wanted_by(rank):
            lo, hi = piece.box
            origin = boxes[piece.want][0]
            place = tuple(slice(a - o, b - o) for a, b, o in zip(lo, hi, origin, strict=True))
            assert (arrays[piece.want][place] == -1).all(), "a site came twice"
            arrays[piece.want][place] = values[piece.source][tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))]
        result.append(arrays)
    return result


@pytest.mark.parametrize("seed", range(12))
def test_pieces_of_random_boxes_bring_every_site_once(seed: int) -> None:
    """ENG-03: overlapping, empty and repeated boxes; own values first, then the lowest rank; both sides agree."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    ranks = int(rng.integers(1, 6))
    have = [random_boxes(rng, shape, int(rng.integers(0, 4))) for _ in range(ranks)]
    want = [random_boxes(rng, shape, int(rng.integers(0, 4))) for _ in range(ranks)]
    # The value of a site tells who gave it.
    values = [np.full(shape, rank) for rank in range(ranks)]
    held = np.array([painted(shape, boxes) > 0 for boxes in have])
    first = np.where(held.any(axis=0), held.argmax(axis=0), -1)
    pieces = Pieces(have, want)
    for rank, arrays in enumerate(move(pieces, have, want, values)):
        expected = np.where(held[rank], rank, first)
        for box, array in zip(want[rank], arrays, strict=True):
            inside = tuple(slice(a, b) for a, b in zip(*box, strict=True))
            assert np.array_equal(array, expected[inside])
    received = [piece for rank in range(ranks) for piece in pieces.wanted_by(rank) if piece.source != rank]
    for source, target in itertools.permutations(range(ranks), 2):
        sent = [piece for piece in pieces.sent_by(source) if piece.target == target]
        assert sent == [piece for piece in received if (piece.source, piece.target) == (source, target)]


@pytest.mark.parametrize("seed", range(8))
def test_difference_of_boxes_is_an_exact_cover(seed: int) -> None:
    """What is left of a box is covered once and the rest not at all."""
    rng = np.random.default_rng(seed)
    shape = (6, 5, 7)
    box, taken = random_boxes(rng, shape, 2)
    expected = painted(shape, [box]) * (1 - painted(shape, [taken]))
    assert np.array_equal(painted(shape, subtract(box, taken)), expected)
