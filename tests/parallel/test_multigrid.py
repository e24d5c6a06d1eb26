"""Native multigrid on several ranks: the solution of one rank, whatever the ends, the weights and the size."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.comm.redistribute import Redistribution
from hpcsim.lattice.box import extent
from hpcsim.lattice.pencils import pencils
from hpcsim.solvers.grid import Star, laplacian
from hpcsim.solvers.multigrid.options import MultigridOptions
from hpcsim.solvers.multigrid.solver import Multigrid
from tests.unit.solvers.multigrid.reference import apply_star, make_axis

GRIDS = {
    "walls": (("dd", "nn"), (32, 24)),
    "primes": (("dd", "p"), (31, 23)),
    "vertices": (("ddv", "nnv"), (32, 16)),
    "cube": (("dd", "dd", "p"), (16, 16, 16)),
    "small": (("nn", "dd"), (5, 4)),
}


def star_of(grid: str) -> Star:
    kinds, cells = GRIDS[grid]
    return laplacian(tuple(make_axis(kind, count) for kind, count in zip(kinds, cells, strict=True)), shift=-0.5)


@pytest.mark.parametrize("precision", ["mixed", "double"])
@pytest.mark.parametrize("grid", GRIDS)
def test_ranks_solve_the_same_problem(grid: str, precision: str) -> None:
    """ENG-11, PETSC: the gathered solution satisfies the equations of the whole grid to the tolerance."""
    from mpi4py import MPI

    star = star_of(grid)
    f = np.random.default_rng(5).standard_normal(star.shape)
    with Context(MPI.COMM_WORLD) as context:
        boxes = pencils(star.shape, context.size)
        box = boxes[context.rank]
        window = tuple(slice(a, b) for a, b in zip(*box, strict=True))
        solver = Multigrid(context, star, boxes, MultigridOptions(precision=precision))
        own, u = np.ascontiguousarray(f[window]), np.zeros(extent(box))
        outcome = solver.solve(own, u, 1e-9)
        whole = np.zeros(star.shape)
        join = Redistribution(context, [box], [((0,) * f.ndim, star.shape)], np.float64)
        join.run([u], [whole])
        join.free()
        solver.free()
        assert outcome.converged, outcome
        assert np.linalg.norm(f - apply_star(star, whole)) <= 1.1e-9 * np.linalg.norm(f)
