"""The solvers of PETSc and hypre for the Poisson problem of `poisson`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hpcsim.lattice.pencils import bricks
from hpcsim.perf.poisson import RTOL, Case, Contender, Values
from hpcsim.solvers.petsc.ksp import KspSolver
from hpcsim.solvers.petsc.library import Library
from hpcsim.solvers.petsc.options import OptionBook, SolverOptions
from hpcsim.solvers.petsc.system import System
from hpcsim.solvers.preconditioners.boxes import BoxGrid
from hpcsim.solvers.preconditioners.transfers import star_rows

_MOST = 200


def peer(preconditioner: str) -> Callable[[Case], Contender]:
    """What makes conjugate gradients with a preconditioner of theirs."""

    def make(case: Case) -> Contender:
        return _contender(case, preconditioner, {})

    make.__name__ = preconditioner
    make.peer = True  # type: ignore[attr-defined]
    return make


def native_in_fcg(case: Case) -> Contender:
    """Flexible conjugate gradients of PETSc around one native cycle."""
    from hpcsim.perf.poisson_native import cycle

    action, free = cycle(case)
    found = _contender(case, "native_multigrid", {"multigrid": action})
    inner = found.free

    def both() -> None:
        inner()
        free()

    return Contender("PETSc fcg with native cycle", found.box, found.solve, both, found.setup)


def _contender(case: Case, preconditioner: str, known: dict[str, Any]) -> Contender:
    context, star = case.context, case.star
    boxes = bricks(star.shape, context.size)
    grid = BoxGrid(star.axes, boxes)
    assert grid.cuts is not None
    rows = star_rows(star, grid.cuts, context.rank)
    library = Library(context)
    begun = time.perf_counter()
    system = System(rows.count, rows.size, 1, rows, symmetric=True, kind="elliptic", grid=grid, star=star, **known)
    options = SolverOptions(library, "bench", OptionBook([], ["bench"]))
    solver = KspSolver(library, system, options, preconditioner, RTOL, 0.0, _MOST)
    setup = time.perf_counter() - begun

    def solve(f: Values, u: Values) -> int:
        outcome = solver.solve(f.reshape(-1), u.reshape(-1)).check(preconditioner)
        return outcome.iterations

    def free() -> None:
        solver.free()
        library.collect()

    return Contender(solver.method, boxes[context.rank], solve, free, setup)
