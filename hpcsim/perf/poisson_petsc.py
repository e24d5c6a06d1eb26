"""The solvers of PETSc and hypre for the Poisson problem of `poisson`."""

from __future__ import annotations

import time
from collections.abc import Callable

from hpcsim.lattice.box import volume
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
        return _assembled(case, preconditioner)

    make.__name__ = preconditioner
    make.peer = True  # type: ignore[attr-defined]
    return make


def native_in_fcg(case: Case) -> Contender:
    """Flexible conjugate gradients of PETSc around one native cycle, without a matrix."""
    from hpcsim.perf.poisson_native import Native

    begun = time.perf_counter()
    native = Native(case)
    box = bricks(case.star.shape, case.context.size)[case.context.rank]
    system = System(
        volume(box), case.star.size, symmetric=True, kind="elliptic", apply=native.multiply, multigrid=native.cycle
    )
    found = _solving(case, system, "native_multigrid")
    inner = found.free

    def both() -> None:
        inner()
        native.free()

    return Contender("PETSc fcg with native cycle", box, found.solve, both, time.perf_counter() - begun)


def _assembled(case: Case, preconditioner: str) -> Contender:
    """A solver for the assembled matrix."""
    context, star = case.context, case.star
    grid = BoxGrid(star.axes, bricks(star.shape, context.size))
    assert grid.cuts is not None
    rows = star_rows(star, grid.cuts, context.rank)
    known = {"rows": rows, "symmetric": True, "kind": "elliptic", "grid": grid, "star": star}
    return _solving(case, System(rows.count, rows.size, 1, **known), preconditioner)  # type: ignore[arg-type]


def _solving(case: Case, system: System, preconditioner: str) -> Contender:
    library = Library(case.context)
    begun = time.perf_counter()
    options = SolverOptions(library, "bench", OptionBook([], ["bench"]))
    solver = KspSolver(library, system, options, preconditioner, RTOL, 0.0, _MOST)
    setup = time.perf_counter() - begun
    box = bricks(case.star.shape, case.context.size)[case.context.rank]

    def solve(f: Values, u: Values) -> int:
        return solver.solve(f.reshape(-1), u.reshape(-1)).check(preconditioner).iterations

    def free() -> None:
        solver.free()
        library.collect()

    return Contender(solver.method, box, solve, free, setup)
