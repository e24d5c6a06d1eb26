"""Native multigrid on one rank: every axis, end and size against the dense solution, and how fast it converges."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError
from hpcsim.lattice.pencils import pencils
from hpcsim.solvers.grid import Star, laplacian
from hpcsim.solvers.multigrid.options import MultigridOptions
from hpcsim.solvers.multigrid.solver import Multigrid
from tests.unit.solvers.multigrid.reference import apply_star, make_axis, matrix_of

# Ends of every axis (d fixed, n free, r Robin, p periodic; v for vertices) and cells.
GRIDS = {
    "1-D": (("dd",), (17,)),
    "2-D even": (("dd", "nn"), (16, 12)),
    "2-D primes": (("dr", "p"), (13, 11)),
    "2-D vertices": (("ddv", "nnv"), (9, 8)),
    "2-D odd seam": (("p", "p"), (9, 15)),
    "3-D": (("dd", "dnv", "p"), (8, 6, 7)),
    "3-D flat": (("nn", "rr", "dd"), (3, 12, 5)),
    "4-D": (("dd", "p", "nn", "ddv"), (4, 4, 5, 5)),
}


def star_of(grid: str, shift: float = 0.0) -> Star:
    kinds, cells = GRIDS[grid]
    return laplacian(tuple(make_axis(kind, count) for kind, count in zip(kinds, cells, strict=True)), shift=shift)


def make(star: Star, **options: object) -> Multigrid:
    return Multigrid(Context.serial(), star, pencils(star.shape, 1), MultigridOptions(**options))  # type: ignore[arg-type]


def right_side(star: Star) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(star.shape)


@pytest.mark.parametrize("precision", ["mixed", "double"])
@pytest.mark.parametrize("grid", GRIDS)
def test_solution_is_the_dense_one(grid: str, precision: str) -> None:
    """ENG-11: the residual by a second implementation is below the tolerance, the solution that of elimination."""
    star = star_of(grid, shift=-0.5)
    solver, f, u = make(star, precision=precision), right_side(star), np.zeros(star.shape)
    outcome = solver.solve(f, u, 1e-10)
    solver.free()
    assert outcome.converged, outcome
    assert np.linalg.norm(f - apply_star(star, u)) <= 1.1e-10 * np.linalg.norm(f)
    exact = np.linalg.solve(matrix_of(star), f.ravel()).reshape(star.shape)
    assert np.abs(u - exact).max() <= 1e-7 * np.abs(exact).max()


@pytest.mark.parametrize("smoother", ["red_black", "chebyshev"])
@pytest.mark.parametrize("cycle", ["v", "w", "f"])
def test_every_cycle_and_smoother_converges(cycle: str, smoother: str) -> None:
    """Each option is obeyed and reaches the tolerance within a few cycles."""
    star = star_of("2-D even")
    solver, f, u = make(star, cycle=cycle, smoother=smoother), right_side(star), np.zeros(star.shape)
    outcome = solver.solve(f, u, 1e-9)
    solver.free()
    assert outcome.converged
    assert outcome.iterations <= 14
    assert cycle.upper() in outcome.method


@pytest.mark.parametrize("ends", ["dd", "nn", "p", "ddv"])
def test_iterations_do_not_grow(ends: str) -> None:
    """ENG-11: at rtol 1e-10 at most 12 cycles, and at most 2 more for 64 cells than for 16."""
    counts = []
    for cells in (16, 64):
        axes = (make_axis(ends, cells),) * 3
        star = laplacian(axes)
        solver, f, u = make(star), right_side(star), np.zeros(star.shape)
        f -= f.mean() if ends in ("nn", "p") else 0.0
        outcome = solver.solve(f, u, 1e-10)
        solver.free()
        assert outcome.converged
        counts.append(outcome.iterations)
    assert counts[1] <= min(12, counts[0] + 2)


def test_order_two_on_a_known_solution() -> None:
    """ENG-11: sin(pi x) sin(pi y) exp(z) between fixed walls of vertices: errors fall by four per doubling."""
    errors = []
    for cells in (16, 32):
        axis = make_axis("ddv", cells)
        star = laplacian((axis,) * 2)
        x = np.arange(1, cells) / cells
        exact = np.multiply.outer(np.sin(np.pi * x), np.sin(2 * np.pi * x))
        solver, u = make(star), np.zeros(star.shape)
        assert solver.solve(-5 * np.pi**2 * exact, u, 1e-10).converged
        solver.free()
        errors.append(np.abs(u - exact).max())
    assert 3.8 <= errors[0] / errors[1] <= 4.2


def test_full_multigrid_reaches_the_truncation_error() -> None:
    """One pass leaves less than the error of the differences themselves, at two sizes."""
    for cells in (32, 64):
        axis = make_axis("ddv", cells)
        star = laplacian((axis,) * 2)
        x = np.arange(1, cells) / cells
        exact = np.multiply.outer(np.sin(np.pi * x), np.sin(2 * np.pi * x))
        solver, once, whole = make(star), np.zeros(star.shape), np.zeros(star.shape)
        solver.full(-5 * np.pi**2 * exact, once)
        solver.solve(-5 * np.pi**2 * exact, whole, 1e-11)
        solver.free()
        assert np.abs(once - whole).max() <= np.abs(whole - exact).max()


def test_the_cycle_is_a_fixed_linear_map() -> None:
    """A preconditioner must be linear: the cycle of a sum is the sum of the cycles, to the precision it works in."""
    star = star_of("3-D")
    solver, f = make(star, precision="double"), right_side(star)
    g = np.roll(f, 1)
    parts = [np.zeros(star.shape) for _ in range(3)]
    for right, target in zip((f, g, f + 2 * g), parts, strict=True):
        solver.apply(right, target)
    solver.free()
    assert np.abs(parts[0] + 2 * parts[1] - parts[2]).max() <= 1e-12 * np.abs(parts[2]).max()
    assert np.linalg.norm(f - apply_star(star, parts[0])) <= 0.5 * np.linalg.norm(f)


def test_singular_problems_have_zero_mean() -> None:
    """A potential between free walls: the mean of the right side is taken out, that of the solution is zero."""
    star = laplacian((make_axis("nn", 12), make_axis("p", 10)))
    solver, f, u = make(star), right_side(star) + 3.0, np.zeros(star.shape)
    assert solver.solve(f, u, 1e-10).converged
    assert solver.singular
    solver.free()
    assert abs(u.mean()) <= 1e-12
    assert np.abs(f - f.mean() - apply_star(star, u)).max() <= 1e-8


def test_a_guess_saves_work_and_zero_needs_none() -> None:
    """Starting at the solution takes no cycle; the right side zero has the solution zero."""
    star = star_of("2-D even", shift=-1.0)
    solver, f, u = make(star), right_side(star), np.zeros(star.shape)
    solver.solve(f, u, 1e-11)
    assert solver.solve(f, u, 1e-8, guess=True).iterations == 0
    zero = solver.solve(np.zeros(star.shape), u, 1e-8)
    solver.free()
    assert zero.converged
    assert not u.any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cycle": "x"}, "unknown cycle 'x'"),
        ({"smoother": "redblack"}, "red_black"),
        ({"sweeps": (0, 0)}, "not both zero"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], said: str) -> None:
    """Each fault names what is allowed."""
    with pytest.raises(ConfigError, match=said):
        MultigridOptions(**options)  # type: ignore[arg-type]
