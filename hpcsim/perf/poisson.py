"""Solvers of one Poisson problem in turn: ours beside those of PETSc and hypre, set-up and solve apart.

The problem: the unit cube, seven points, float64, Dirichlet walls, a random right side, relative residual 1e-8 in the
two-norm. Every row states its own residual, computed by one and the same function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import HpcsimError
from hpcsim.lattice.box import Box, extent, grow
from hpcsim.lattice.pencils import bricks
from hpcsim.solvers.grid import Axis, End, Star, laplacian

RTOL = 1e-8
PEERS = ("geometric", "pfmg", "gamg", "boomeramg")
# A peer takes up to a minute; ours are repeated as often as asked.
PEER_REPEATS = 1
LARGEST_ALGEBRAIC = 160
"""Cells per axis above which algebraic multigrid is left out unless it is asked for: it takes minutes."""

Values = NDArray[np.float64]


@dataclass
class Contender:
    """One solver, ready to solve.

    Attributes
    ----------
    name : str
        What the row is called.
    box : Box
        Unknowns of this rank.
    solve : callable
        ``solve(f, u)`` fills u and returns the number of iterations; both have the shape of the box.
    free : callable
        Gives everything back.
    setup : float
        Seconds of the set-up.
    exact : bool
        Whether it solves to the tolerance (full multigrid goes to the truncation error only).
    """

    name: str
    box: Box
    solve: Callable[[Values, Values], int]
    free: Callable[[], object]
    setup: float = 0.0
    exact: bool = True


@dataclass
class Case:
    """The problem on some ranks.

    Attributes
    ----------
    context : Context
        The ranks.
    cells : int
        Cells per axis.
    vertex : bool
        Whether unknowns lie on the planes between cells: one less per axis.
    threads : int
        Threads of every rank.
    """

    context: Context
    cells: int
    vertex: bool
    threads: int
    star: Star = field(init=False)

    def __post_init__(self) -> None:
        wall = (End(1.0, 0.0), End(1.0, 0.0))
        axes = (Axis.of_cells(self.cells, 1.0 / self.cells, wall, self.vertex),) * 3
        self.star = laplacian(axes)

    def right_side(self, box: Box) -> Values:
        """Random values that do not depend on the cut: every plane of the first axis has a seed of its own."""
        f = np.empty(extent(box))
        (_, *lo), (_, *hi) = box
        inner = tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))
        for row, plane in enumerate(range(box[0][0], box[1][0])):
            f[row] = np.random.default_rng([1, plane]).random(self.star.shape[1:])[inner]
        return f

    def residual(self, box: Box, f: Values, u: Values) -> float:
        """Norm of ``f - A u`` over that of f; collective."""
        wide = grow(box, 1) if all(extent(box)) else box
        padded = np.zeros(extent(wide))
        move = Redistribution(self.context, [box], [wide], np.float64)
        move.run([u], [padded])
        move.free()
        self._walls(wide, padded)
        inner = (slice(1, -1),) * 3
        r = f - float(self.star.centre) * padded[inner]
        for axis in range(3):
            for step, weight in ((-1, self.star.lower[axis]), (1, self.star.upper[axis])):
                moved = tuple(
                    slice(1 + step * (a == axis), n - 1 + step * (a == axis)) for a, n in enumerate(padded.shape)
                )
                r -= float(weight) * padded[moved]
        sums = np.zeros((self.context.size, 2))
        self.context.comm.Allgather(np.array([np.vdot(r, r), np.vdot(f, f)]), sums)
        squares = sums.sum(axis=0)
        return float(np.sqrt(squares[0] / squares[1]))

    def _walls(self, wide: Box, padded: Values) -> None:
        """Ghosts beyond the walls: mirror images between cells, zero on a wall of vertices."""
        if self.vertex:
            return
        for axis, (lo, hi, count) in enumerate(zip(*wide, self.star.shape, strict=True)):
            view = np.moveaxis(padded, axis, 0)
            if lo < 0:
                view[0] = -view[1]
            if hi > count:
                view[-1] = -view[-2]


def measure_poisson(
    context: Context, cells: int, threads: int, repeats: int, vertex: bool = False, peers: tuple[str, ...] = PEERS
) -> dict[str, Any]:
    """A row per solver; collective.

    Parameters
    ----------
    context : Context
        The ranks.
    cells : int
        Cells per axis.
    threads : int
        Threads of every rank.
    repeats : int
        Timed solves of ours; those of others are solved once.
    vertex : bool
        Unknowns on the planes between cells.
    peers : tuple of str
        Preconditioners of PETSc to compare with.
    """
    case = Case(context, cells, vertex, threads)
    rows = []
    for make in contenders(case, peers):
        try:
            rows.append(_row(case, make, repeats))
        except HpcsimError as error:
            rows.append({"solver": make.__name__, "missing": str(error)})
    found = {"ranks": context.size, "threads": threads, "unknowns": list(case.star.shape), "rows": rows}
    theirs = [row["mdofs"] for row in rows if row.get("peer")]
    for row in rows:
        if theirs and "mdofs" in row and not row["peer"]:
            row["to_best_peer"] = row["mdofs"] / max(theirs)
    return found


def contenders(case: Case, peers: tuple[str, ...]) -> Iterator[Callable[[Case], Contender]]:
    """What makes each contender, ours first."""
    from hpcsim.perf import poisson_native as native

    yield native.mixed
    yield native.double
    yield native.full
    yield native.direct
    if find_spec("petsc4py") is not None:
        from hpcsim.perf import poisson_petsc as petsc

        yield petsc.native_in_fcg
        for name in peers:
            yield petsc.peer(name)


def _row(case: Case, make: Callable[[Case], Contender], repeats: int) -> dict[str, Any]:
    begun = time.perf_counter()
    contender = make(case)
    setup = contender.setup or time.perf_counter() - begun
    peer = getattr(make, "peer", False)
    try:
        f = case.right_side(contender.box)
        u = np.zeros_like(f)
        seconds: list[float] = []
        # The first solve of ours may load kernels; a peer is too slow to be run for nothing.
        for turn in range(PEER_REPEATS if peer else repeats + 1):
            u.fill(0.0)
            case.context.barrier()
            start = time.perf_counter()
            iterations = contender.solve(f, u)
            case.context.barrier()
            if turn or peer:
                seconds.append(float(case.context.max(time.perf_counter() - start)))
        reduction = case.residual(contender.box, f, u)
    finally:
        contender.free()
    return {
        "solver": contender.name, "peer": peer, "iterations": iterations, "residual": reduction,
        "setup_s": float(case.context.max(setup)), "solve_s": median(seconds), "best_s": min(seconds),
        "mdofs": case.star.size / median(seconds) / 1e6, "to_tolerance": contender.exact and reduction <= 1.01 * RTOL,
    }  # fmt: skip


def whole_grid(case: Case) -> Box:
    """Unknowns of this rank in a grid of processes."""
    return bricks(case.star.shape, case.context.size)[case.context.rank]
