"""Operators on blocks: residuals, matrix-free products and assembled rows agree with each other."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.solvers.assemble import Assembly
from tests.unit.solvers.problems import WALLS, trial

CASES = [
    ("laplacian(u) - f", "cell", 2), ("laplacian(u) - f", "vertex", 2), ("laplacian(u) - f", "cell", 4),
    ("div(k*grad(u)) - 2*u - f", "cell", 2), ("div(k*grad(u)) + d(u, x) - f", "vertex", 2),
    ("laplacian(u) - u**3 - f", "cell", 2), ("div((1 + u**2)*grad(u)) - f", "cell", 2),
]  # fmt: skip
K = {"k": "1 + 0.5*sin(6*x)*y"}


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize(("text", "centring", "order"), CASES)
@pytest.mark.parametrize("block", [None, (6, 5)])
def test_product_is_the_derivative_of_the_residual(
    text: str, centring: str, order: int, wall: str, block: object
) -> None:
    """The product equals a central difference of residuals, for every wall and cut; residuals are at most cubic."""
    with trial({"u": text}, WALLS[wall], centring=centring, order=order, parameters=K, block=block) as case:
        operator = case.operator
        random = np.random.default_rng(1)
        at, direction = random.random((2, operator.unknowns.size))
        operator.set(at)
        operator.residual(0.0, 1.0, operator.vector())
        operator.prepare(0.0, 1.0)
        product = operator.apply(direction, operator.vector(), 0.0, 1.0)
        sides = []
        for step in (1e-3, -1e-3):
            operator.set(at + step * direction)
            sides.append(operator.residual(0.0, 1.0, operator.vector()))
        difference = (sides[0] - sides[1]) / 2e-3
        assert np.abs(product - difference).max() <= 2e-5 * np.abs(product).max()


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize(("text", "centring", "order"), CASES)
def test_rows_give_the_product(text: str, centring: str, order: int, wall: str) -> None:
    """The assembled matrix times a vector equals the matrix-free product to rounding, walls eliminated."""
    with trial({"u": text}, WALLS[wall], centring=centring, order=order, parameters=K, block=(6, 5)) as case:
        operator = case.operator
        operator.set(np.random.default_rng(2).random(operator.unknowns.size))
        operator.residual(0.0, 1.0, operator.vector())
        operator.prepare(0.0, 1.0)
        x = np.random.default_rng(3).random(operator.unknowns.size)
        product = operator.apply(x, operator.vector(), 0.0, 1.0)
        matrix = Assembly(operator, case.equations.conditions).rows().to_scipy()
        assert np.abs(matrix @ x - product).max() <= 1e-13 * np.abs(product).max()
        assert np.allclose(matrix.diagonal(), operator.diagonal(operator.vector())) or wall != "periodic"


def test_coupled_rows_have_blocks() -> None:
    """Two unknowns at the same sites lie together, so the matrix has blocks of 2 x 2."""
    with trial({"u": "laplacian(u) - v", "v": "laplacian(v) + k*u - f"}, parameters=K) as case:
        rows = Assembly(case.operator, case.equations.conditions).rows()
        assert rows.block_size == 2
        x = np.random.default_rng(3).random(case.operator.unknowns.size)
        product = case.operator.apply(x, case.operator.vector(), 0.0, 1.0)
        assert np.abs(rows.to_scipy() @ x - product).max() <= 1e-13 * np.abs(product).max()


def test_fixed_planes_are_no_unknowns() -> None:
    """ENG-05: 12 x 10 cells with vertices between Dirichlet walls have 11 x 9 unknowns; the walls keep their values."""
    with trial({"u": "laplacian(u) - f"}, WALLS["dirichlet"], centring="vertex") as case:
        assert case.operator.unknowns.size == 11 * 9
        case.operator.set(case.operator.vector())
        case.operator.residual(0.0, 1.0, case.operator.vector())
        block = case.simulation.layout.blocks[0]
        assert np.allclose(case.simulation.state.interior("u", block)[-1], 2.0)


def test_symmetry_knows_the_walls() -> None:
    """A Laplacian of vertices between Neumann walls has no symmetric matrix; every claim of symmetry holds."""
    for wall in WALLS:
        for text, centring, order in CASES:
            with trial({"u": text}, WALLS[wall], centring=centring, order=order, parameters=K) as case:
                matrix = Assembly(case.operator, case.equations.conditions).rows().to_scipy()
                gap = abs(matrix - matrix.T).max() / abs(matrix).max()
                assert gap <= 1e-13 or not case.equations.symmetric, (wall, text, centring, order)
    with trial({"u": "laplacian(u)"}, "neumann", centring="vertex") as case:
        assert not case.equations.symmetric
