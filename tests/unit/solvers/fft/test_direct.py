"""Direct solver against dense matrices, and the order of its solutions (ENG-11)."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.cost import direct_is_faster, direct_seconds
from hpcsim.solvers.fft.direct import DirectSolver
from hpcsim.solvers.fft.separation import obstacle, separate
from hpcsim.solvers.grid import Axis, Star, laplacian
from tests.unit.solvers.fft.cases import FIXED, FREE, ROBIN, random_star, star_matrix


def solution(star: Star, f: np.ndarray, **options) -> np.ndarray:
    """The solution in one process."""
    solver, u = DirectSolver(Context.serial(), star, **options), np.full(star.shape, np.nan)
    outcome = solver.solve(f, u)
    assert outcome.converged and outcome.iterations == 0
    solver.free()
    return u


def check(star: Star, seed: int, threads: int) -> str:
    """Compare one solve with the dense matrix; the method."""
    solver = DirectSolver(Context.serial(), star, threads)
    matrix = star_matrix(star)
    f, u = np.random.default_rng(seed).standard_normal(star.shape), np.full(star.shape, np.nan)
    kept = f.copy()
    solver.solve(f, u)
    solver.free()
    assert np.array_equal(f, kept)
    rest = matrix @ u.reshape(-1) - f.reshape(-1)
    sizes = np.linalg.svd(matrix, compute_uv=False)
    assert solver.singular == (sizes[-1] < 1e-11 * sizes[0])
    if solver.singular:
        # What is left of the right side is a constant, and the solution has no mean.
        assert np.ptp(rest) < 1e-11 * sizes[0]
        if star.lower == star.upper:
            assert abs(mean(star, u)) < 1e-12
    else:
        assert np.abs(rest).max() < 1e-12 * sizes[0] / sizes[-1]
    return solver.method


def mean(star: Star, u: np.ndarray) -> float:
    """Mean over the lattice; sites on free walls count half."""
    for axis in star.axes:
        weights = np.ones(axis.count)
        if axis.ends is not None and axis.vertex:
            weights[[0, -1]] = 0.5
        u = np.tensordot(weights / weights.sum(), u, 1)
    return float(u)


@pytest.mark.parametrize("seed", range(8))
def test_random_operators(seed: int) -> None:
    """ENG-11: any ends, centrings, weights and dimensions solve exactly the equations of the stencil."""
    rng = np.random.default_rng(seed)
    methods = set()
    for trial in range(20):
        star = random_star(rng)
        if not obstacle(star):
            methods.add(check(star, trial, 1 + trial % 2))
    assert len(methods) > 5


@pytest.mark.parametrize("vertex", [False, True])
@pytest.mark.parametrize("ends", [None, (FREE, FREE)])
def test_null_space(ends, vertex: bool) -> None:
    """ENG-11: constants are left out of both sides; a right side with a mean has the solution of the rest."""
    star = laplacian(tuple(Axis(n, 0.2, vertex, ends) for n in (6, 5, 8)))
    assert "fourier" in check(star, 3, 1) or "dct" in check(star, 4, 1)
    f = np.random.default_rng(7).standard_normal(star.shape)
    assert np.allclose(solution(star, f), solution(star, f + 3.0), rtol=0, atol=1e-13)
    one = laplacian((Axis(9, 0.2, vertex, ends),), -1.0)
    check(one, 5, 1)
    # Systems along walls with complex right sides, the one of the constants among them.
    walls = Axis(6, 0.5, vertex, (FREE, FREE))
    check(laplacian((walls, Axis(5, 0.5, vertex, ends), Axis(4, 0.5, False, None))), 6, 1)


def manufactured(kind: str, n: int) -> float:
    """Largest error of a known solution on n cells per axis."""
    h = 1.0 / n
    cells, nodes = (np.arange(n) + 0.5) * h, np.arange(n + 1) * h
    if kind == "periodic":
        axes, x = (Axis(n, h, False, None),) * 2, [cells] * 2
        u = np.exp(np.sin(2 * np.pi * x[0]))[:, None] * np.cos(2 * np.pi * x[1])
        s, c = np.sin(2 * np.pi * x[0]), np.cos(2 * np.pi * x[0])
        f = (4 * np.pi**2 * (c**2 - s - 1.0))[:, None] * u
    elif kind == "dirichlet":
        axes = tuple(Axis.of_cells(n, h, (FIXED, FIXED), vertex=place == 0) for place in range(2))
        x = [nodes[1:-1], cells]
        u = np.sin(np.pi * x[0])[:, None] * (np.exp(x[1]) * np.sin(np.pi * x[1]))
        d2 = np.exp(x[1]) * ((1 - np.pi**2) * np.sin(np.pi * x[1]) + 2 * np.pi * np.cos(np.pi * x[1]))
        f = -(np.pi**2) * u + np.sin(np.pi * x[0])[:, None] * d2
    else:
        axes = tuple(Axis.of_cells(n, h, (FREE, FREE), vertex=place == 0) for place in range(2))
        x = [nodes, cells]
        u = np.cos(np.pi * x[0])[:, None] * np.cos(2 * np.pi * x[1])
        f = -5.0 * np.pi**2 * u
    found = solution(laplacian(axes), f)
    shift = mean(laplacian(axes), u) if kind != "dirichlet" else 0.0
    return float(np.abs(found - (u - shift)).max())


@pytest.mark.parametrize("kind", ["periodic", "dirichlet", "neumann"])
def test_order_two(kind: str) -> None:
    """ENG-11: manufactured sin and exp solutions at n = 32, 64, 128 converge with order 2."""
    errors = [manufactured(kind, n) for n in (32, 64, 128)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (abs(orders - 2.0) < 0.05).all()


def test_spectral_symbol() -> None:
    """Exact second derivatives in the place of differences: a smooth solution to rounding, with all kinds of ends."""
    n, h = 24, 1.0 / 24
    axes = (Axis(n, h, False, (FIXED, FIXED)), Axis(n, h, False, None), Axis.of_cells(n, h, (FREE, FREE), vertex=True))
    x, z = (np.arange(n) + 0.5) * h, np.arange(n + 1) * h
    u = np.einsum("i,j,k->ijk", np.sin(2 * np.pi * x), np.exp(np.sin(2 * np.pi * x)), np.cos(3 * np.pi * z))
    s, c = np.sin(2 * np.pi * x), np.cos(2 * np.pi * x)
    f = u * ((4 * np.pi**2) * (c**2 - s - 1.0) - 9 * np.pi**2)[None, :, None] - 0.5 * u
    found = solution(laplacian(axes, 1.0, -0.5), f, symbol="spectral")
    assert np.abs(found - u).max() < 1e-9
    assert np.abs(solution(laplacian(axes, 1.0, -0.5), f) - u).max() > 1e-4


@pytest.mark.parametrize("lines", ["scipy", "matrix"])
def test_lengths_with_large_factors(lines: str) -> None:
    """Both local transforms solve the same equations where lengths are primes."""
    wall = (FIXED, FIXED)
    star = laplacian((Axis(11, 0.1, False, None), Axis(16, 0.1, True, wall), Axis(29, 0.1, False, wall)))
    f = np.random.default_rng(2).standard_normal(star.shape)
    found = solution(star, f, lines=lines)
    assert np.abs(star_matrix(star) @ found.reshape(-1) - f.reshape(-1)).max() < 1e-10


def test_solution_may_overwrite_the_right_side() -> None:
    """One array for both, with elimination and with division."""
    for ends in (None, (FIXED, FREE)):
        star = laplacian((Axis(8, 0.3, False, ends), Axis(9, 0.3, False, None)), 1.0, -1.0)
        f = np.random.default_rng(3).standard_normal(star.shape)
        expected, solver = solution(star, f), DirectSolver(Context.serial(), star)
        solver.solve(f, f)
        assert np.array_equal(f, expected)


def test_a_resonance_is_refused() -> None:
    """A Helmholtz operator with an eigenvalue of zero has no unique solution, and says so."""
    eigenvalue = 2.0 * (1.0 - np.cos(2.0 * np.pi / 8))
    star = laplacian((Axis(8, 1.0, False, None), Axis(6, 1.0, False, (FREE, FREE))), 1.0, eigenvalue)
    with pytest.raises(ConfigError, match="eigenvalue of zero"):
        DirectSolver(Context.serial(), star)


def test_obstacles_are_named() -> None:
    """What cannot be solved so: Robin ends and unequal weights elsewhere than first, and weights that vary."""
    wall, plain = (FIXED, FIXED), Axis(8, 1.0, False, None)
    assert "axis y" in obstacle(laplacian((plain, Axis(8, 1.0, False, (ROBIN, FREE)))))
    assert obstacle(laplacian((Axis(8, 1.0, False, (ROBIN, FREE)), plain))) == ""
    assert "differ" in obstacle(Star((plain, Axis(8, 1.0, False, wall)), (1.0, 0.5), (1.0, 1.0), -4.0))
    assert "vary" in obstacle(Star((plain,), (np.ones(8),), (1.0,), -2.0))
    assert "did you mean 'spectral'" in obstacle(laplacian((plain,)), "spectrall")
    # Elimination would need pivots here, so the first axis is transformed.
    assert separate(laplacian((Axis(8, 1.0, False, wall), plain), 1.0, 3.0)).diagonals is None
    assert separate(laplacian((Axis(8, 1.0, False, wall), plain), 1.0, -3.0)).diagonals is not None


def test_choice_against_multigrid() -> None:
    """Fast lengths and moderate primes are solved directly, long primes are not; the first axis costs nothing."""
    wall = (FIXED, FIXED)

    def cube(n: int, first: int | None = None) -> Star:
        return laplacian((Axis(first or n, 1.0, False, wall), Axis(n, 1.0, False, wall), Axis(n, 1.0, False, wall)))

    assert direct_is_faster(cube(256))[0] and direct_is_faster(cube(257))[0]
    assert not direct_is_faster(cube(1031))[0] and "2" not in direct_is_faster(cube(1031))[1][:1]
    assert direct_is_faster(cube(256, first=1031))[0]
    assert direct_seconds(cube(256), 2) < direct_seconds(cube(256)) < direct_seconds(cube(257)) < np.inf
    robin = laplacian((Axis(8, 1.0, False, wall), Axis(8, 1.0, False, (ROBIN, ROBIN))))
    assert direct_seconds(robin) == np.inf and "Robin" in direct_is_faster(robin)[1]
    line = laplacian((Axis(2**24, 1.0, False, wall),))
    assert "too long" in direct_is_faster(line, 2)[1]


@pytest.mark.nightly
@pytest.mark.parametrize("ends", [None, (FIXED, FIXED)])
def test_speed(ends) -> None:
    """At least 60 million unknowns a second on two cores at 256^3; one core must reach half of that."""
    star = laplacian((Axis(256, 1.0 / 256, False, ends),) * 3)
    solver, f = DirectSolver(Context.serial(), star), np.random.default_rng(1).standard_normal(star.shape)
    u, best = np.empty_like(f), np.inf
    for _ in range(4):
        start = time.process_time()
        solver.solve(f, u)
        best = min(best, time.process_time() - start)
    assert star.size / best > 30e6
