"""Our own solvers for the Poisson problem of `poisson`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpcsim.comm.redistribute import Redistribution
from hpcsim.lattice.box import extent
from hpcsim.lattice.pencils import bricks, pencils
from hpcsim.perf.poisson import RTOL, Case, Contender, Values
from hpcsim.solvers.fft.direct import DirectSolver
from hpcsim.solvers.multigrid.options import MultigridOptions
from hpcsim.solvers.multigrid.solver import Multigrid


def mixed(case: Case) -> Contender:
    """Cycles in float32 inside an iteration in float64."""
    return _solving(case, "mixed")


def double(case: Case) -> Contender:
    """All in float64."""
    return _solving(case, "double")


def full(case: Case) -> Contender:
    """One pass of full multigrid: to the truncation error of the differences, not to the tolerance."""
    solver = _make(case, "mixed")

    def solve(f: Values, u: Values) -> int:
        solver.full(f, u)
        return 1

    return Contender("full multigrid, one pass", _box(case), solve, solver.free, exact=False)


def direct(case: Case) -> Contender:
    """Sine transforms, and elimination along the first axis."""
    solver = DirectSolver(case.context, case.star, case.threads)

    def solve(f: Values, u: Values) -> int:
        return solver.solve(f, u).iterations

    return Contender(solver.method, solver.box, solve, solver.free)


class Native:
    """The operator and one cycle on packed vectors over bricks.

    Parameters
    ----------
    case : Case
        The problem.
    """

    def __init__(self, case: Case) -> None:
        self._solver = _make(case, "mixed")
        brick, pencil = bricks(case.star.shape, case.context.size)[case.context.rank], _box(case)
        self._there = Redistribution(case.context, [brick], [pencil], np.float64)
        self._back = Redistribution(case.context, [pencil], [brick], np.float64)
        self._shape = extent(brick)
        self._given, self._found = np.zeros(extent(pencil)), np.zeros(extent(pencil))

    def multiply(self, x: Values, y: Values) -> None:
        """``y = A x``."""
        self._through(self._solver.operator, x, y)

    def cycle(self, r: Values, z: Values) -> None:
        """``z`` is about the solution for ``r``."""
        self._through(self._solver.apply, r, z)

    def _through(self, verb: Callable[[Values, Values], None], source: Values, target: Values) -> None:
        self._there.run([source.reshape(self._shape)], [self._given])
        verb(self._given, self._found)
        self._back.run([self._found], [target.reshape(self._shape)])

    def free(self) -> None:
        """Give everything back."""
        self._there.free()
        self._back.free()
        self._solver.free()


def _solving(case: Case, precision: str) -> Contender:
    solver = _make(case, precision)

    def solve(f: Values, u: Values) -> int:
        return solver.solve(f, u, RTOL).check(solver.method).iterations

    return Contender(f"{solver.method}, {precision}", _box(case), solve, solver.free)


def _make(case: Case, precision: str) -> Multigrid:
    boxes = pencils(case.star.shape, case.context.size)
    return Multigrid(case.context, case.star, boxes, MultigridOptions(precision=precision), case.threads)


def _box(case: Case) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return pencils(case.star.shape, case.context.size)[case.context.rank]
