"""Boxes, numbers, interpolation and coarse operators of the geometric hierarchy (ENG-11)."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import scipy.sparse as sp

from hpcsim.lattice.pencils import bricks
from hpcsim.solvers.grid import Axis, End, laplacian
from hpcsim.solvers.preconditioners.boxes import BoxGrid, Cuts
from hpcsim.solvers.preconditioners.geometric import Level, coarser_star, hierarchy
from hpcsim.solvers.preconditioners.transfers import coarser, coarser_edges, interpolation, product_rows, star_rows
from tests.unit.solvers.petsc.problems import axis_of, packed_order, poisson, unit_axes

KINDS = ("dirichlet", "neumann", "periodic")
EDGES = [((0, 5, 9), (0, 2, 4, 7)), ((0, 3, 3, 8), (0, 6)), ((0, 1), (0, 4, 5), (0, 2, 3))]


@pytest.mark.parametrize("edges", EDGES)
def test_numbers_are_those_of_packed_vectors(edges):
    """ENG-11: rank by rank, in C order within a box, and back; empty boxes included."""
    cuts = Cuts(edges)
    order = packed_order(cuts.shape, cuts.boxes)
    numbers = cuts.numbers(*np.ix_(*(np.arange(n) for n in cuts.shape)))
    assert np.array_equal(order[numbers], np.arange(order.size).reshape(cuts.shape))
    if all(np.all(np.diff(cut)) for cut in edges):
        sites = cuts.sites(np.arange(order.size))
        assert np.array_equal(np.ravel_multi_index(sites, cuts.shape), order)


def test_boxes_that_form_no_grid_are_seen():
    """ENG-11: a layout that PETSc's structured solvers cannot take."""
    axes = unit_axes((4, 4))
    whole = bricks((4, 4), 4)
    assert BoxGrid(axes, whole).cuts is not None
    assert BoxGrid(axes, (whole[1], whole[0], *whole[2:])).cuts is None
    assert BoxGrid(axes, (((0, 0), (4, 4)), ((0, 0), (0, 0)))).cuts is None
    bent = (((0, 0), (2, 4)), ((2, 0), (4, 2)), ((2, 2), (4, 4)))
    assert BoxGrid(axes, bent).cuts is None


@pytest.mark.parametrize("vertex", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_interpolation_is_of_second_order(kind, vertex):
    """ENG-11: linear between coarse places, continued by the boundary conditions: error falls fourfold."""

    def wave(x):
        return {"dirichlet": np.sin, "neumann": np.cos, "periodic": np.sin}[kind](
            (2 if kind == "periodic" else 1) * np.pi * x
        )

    def places(axis):
        return (np.arange(axis.count) + axis.first + (0.0 if vertex else 0.5)) * axis.spacing

    errors = []
    for cells in (16, 32):
        axis = axis_of(kind, cells, vertex)
        coarse = coarser(axis)
        matrix = interpolation(axis, coarse)
        assert matrix.shape == (axis.count, coarse.count) and coarse.cells == cells // 2
        errors.append(np.abs(matrix @ wave(places(coarse)) - wave(places(axis))).max())
        if kind != "dirichlet":
            assert np.allclose(matrix @ np.ones(coarse.count), 1.0)
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)


def test_robin_ends_are_continued():
    """ENG-11: a Robin end with the ghost of the coarse spacing."""
    end = End(2.0, 1.0)
    axis = Axis(8, 0.125, False, (end, End(0.0, 1.0)))
    matrix = interpolation(axis, coarser(axis)).toarray()
    assert matrix[0, 0] == pytest.approx(0.75 + 0.25 * end.mirror(0.25))


@pytest.mark.parametrize(("cells", "count"), [(7, None), (2, None), (4, 2), (6, 3)])
def test_odd_and_tiny_axes_are_not_halved(cells, count):
    """ENG-11: cells are halved while their number is even."""
    found = coarser(axis_of("dirichlet", cells, vertex=False))
    assert (found.count if found else None) == count


@pytest.mark.parametrize("vertex", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_coarse_unknowns_lie_with_their_fine_partner(kind, vertex):
    """ENG-11: coarse boxes cover the coarse grid and need no distant neighbours."""
    axis = axis_of(kind, 24, vertex)
    edges = (0, 1, 7, 8, 20, axis.count)
    coarse = coarser(axis)
    found = coarser_edges(axis, edges)
    assert found[0] == 0 and found[-1] == coarse.count and all(np.diff(found) >= 0)
    for part in range(len(edges) - 1):
        for unknown in range(found[part], found[part + 1]):
            partner = 2 * (unknown + coarse.first) - axis.first
            assert edges[part] <= min(partner, axis.count - 1) < edges[part + 1]


@pytest.mark.parametrize("vertex", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_product_of_interpolations(kind, vertex):
    """ENG-11: the rows of all ranks together are the Kronecker product, in packed order on both sides."""
    axes = tuple(axis_of(kind, n, vertex) for n in (8, 12))
    small = tuple(coarser(axis) for axis in axes)
    fine = Cuts(tuple((0, 3, axis.count) for axis in axes))
    coarse = Cuts(tuple(coarser_edges(axis, cut) for axis, cut in zip(axes, fine.edges, strict=True)))
    factors = [interpolation(axis, other) for axis, other in zip(axes, small, strict=True)]
    found = sp.vstack([product_rows(factors, fine, coarse, rank) for rank in range(4)]).toarray()
    whole = reduce(sp.kron, factors).toarray()
    rows, columns = packed_order(fine.shape, fine.boxes), packed_order(coarse.shape, coarse.boxes)
    assert np.allclose(found, whole[rows][:, columns])


@pytest.mark.parametrize("vertex", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_star(kind, vertex):
    """ENG-11: boundary conditions eliminated as in the matrix built by Kronecker products."""
    axes = tuple(axis_of(kind, n, vertex) for n in (4, 6, 3))
    boxes = bricks(tuple(axis.count for axis in axes), 4)
    cuts = BoxGrid(axes, boxes).cuts
    found = sp.vstack([star_rows(laplacian(axes, 2.0, -0.5), cuts, rank).local() for rank in range(4)]).toarray()
    order = packed_order(cuts.shape, boxes)
    expected = 2.0 * poisson(axes).toarray() - 0.5 * np.eye(len(order))
    assert np.allclose(found, expected[order][:, order])


def test_rows_of_a_star_with_a_robin_wall():
    """ENG-11: the ghost beyond a wall site is its mirror image plus a share of the site itself."""
    end = End(3.0, 1.0)
    axis = Axis.of_cells(4, 0.25, (end, end), vertex=True)
    found = star_rows(laplacian((axis,)), Cuts(((0, 5),)), 0).to_scipy().toarray()
    assert found[0].tolist() == [-32.0 + 16.0 * end.wall(0.25), 32.0, 0, 0, 0]
    assert found[4].tolist() == [0, 0, 0, 32.0, -32.0 + 16.0 * end.wall(0.25)]


def test_coarse_star_keeps_first_differences_and_the_shift():
    """ENG-11: advection weights halve, diffusion weights fall fourfold, the shift stays."""
    axis = Axis(8, 0.5, False, None)
    star = laplacian((axis,), shift=-3.0)
    star = type(star)(star.axes, (star.lower[0] - 1.0,), (star.upper[0] + 1.0,), star.centre)
    found = coarser_star(star, (coarser(axis),))
    assert (found.lower, found.upper, found.centre) == ((0.5,), (1.5,), -5.0)


def test_hierarchy_halves_what_can_be_halved():
    """ENG-11: axes stop one by one; at least one step, and a limit of levels."""
    axes = unit_axes((48, 7, 64))
    levels = hierarchy(Level(axes, Cuts(((0, 48), (0, 7), (0, 64)))))
    assert [level.cuts.shape for level in levels] == [(48, 7, 64), (24, 7, 32), (12, 7, 16), (6, 7, 8), (3, 7, 4)]
    assert len(hierarchy(levels[0], 2)) == 2 and len(hierarchy(Level(unit_axes((8,)), Cuts(((0, 8),))))) == 2
