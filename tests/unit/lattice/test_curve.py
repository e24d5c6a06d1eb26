"""Properties of the curves, over all registered ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.lattice.curve import CURVES, curve_order, hilbert_keys, morton_keys

GRIDS = [(1,), (7,), (1, 1), (5, 3), (8, 8), (1, 9), (3, 4, 5), (7, 1, 2), (2, 3, 4, 5), (1, 6, 1, 1), (40, 2, 3)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("curve", CURVES.names())
def test_every_place_once(curve, grid):
    order = curve_order(grid, curve)
    assert order.shape == (math.prod(grid), len(grid))
    assert sorted(map(tuple, order.tolist())) == list(itertools.product(*map(range, grid)))


@pytest.mark.parametrize(
    "grid", [(16,), (2, 2), (16, 16), (8, 8, 8), (4, 4, 4, 4), (2, 2, 2, 2), (8, 1, 8), (1, 4, 4, 4)]
)
def test_hilbert_steps_to_a_face_neighbor(grid):
    steps = np.abs(np.diff(curve_order(grid, "hilbert"), axis=0)).sum(axis=1)
    assert (steps == 1).all()


@pytest.mark.parametrize("curve", CURVES.names())
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_aligned_cubes_are_runs(curve, ndim):
    """Locality on every scale: each aligned power-of-two cube is one unbroken run of the curve."""
    order = curve_order((8,) * ndim, curve)
    for level in (1, 2):
        runs = (order >> level).reshape(-1, 2 ** (level * ndim), ndim)
        assert (runs == runs[:, :1]).all()


@pytest.mark.parametrize("curve", CURVES.names())
def test_one_axis_is_the_plain_order(curve):
    assert curve_order((37,), curve)[:, 0].tolist() == list(range(37))
    assert curve_order((1, 37, 1), curve)[:, 1].tolist() == list(range(37))


@pytest.mark.parametrize("curve", CURVES.names())
def test_part_of_a_cube_keeps_its_order(curve):
    inside = np.array([4, 2, 7])
    cube = curve_order((8, 8, 8), curve)
    part = cube[(cube <= inside).all(axis=1)]
    assert part.tolist() == curve_order((5, 3, 8), curve).tolist()


def _long_keys(words, ndim, bits):
    per_word = 64 // ndim
    sizes = [min(per_word, bits - start) * ndim for start in range(0, bits, per_word)]
    keys = [0] * len(words[0])
    for word, size in zip(words, sizes, strict=True):
        keys = [(key << size) | int(part) for key, part in zip(keys, word, strict=True)]
    return keys


@pytest.mark.parametrize(("ndim", "bits"), [(1, 22), (2, 22), (3, 22), (4, 22), (4, 17), (3, 30)])
def test_long_keys_span_several_words(ndim, bits):
    rng = np.random.default_rng(ndim * 100 + bits)
    coords = rng.integers(0, 2**bits, size=(ndim, 200), dtype=np.uint64)
    plain = [
        sum(
            ((int(c) >> level) & 1) << (level * ndim + ndim - 1 - axis)
            for axis, c in enumerate(row)
            for level in range(bits)
        )
        for row in coords.T
    ]
    assert _long_keys(morton_keys(coords, bits), ndim, bits) == plain
    assert len(set(_long_keys(hilbert_keys(coords, bits), ndim, bits))) == len(
        {tuple(row) for row in coords.T.tolist()}
    )


def test_hilbert_order_of_a_grid_whose_keys_need_two_words():
    order = curve_order((2**16 + 1, 2, 2, 2), "hilbert")
    cubes = order[order[:, 0] < 2**16].reshape(-1, 16, 4)
    assert (cubes >> 1 == cubes[:, :1] >> 1).all()
    assert (np.abs(np.diff(cubes, axis=1)).sum(axis=2) == 1).all()


def test_unknown_curve_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'hilbert'"):
        curve_order((2, 2), "hilbrt")
