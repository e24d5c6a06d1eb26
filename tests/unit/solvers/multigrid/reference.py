"""The operator written down a second time, with ghosts, for the tests of multigrid."""

from __future__ import annotations

import numpy as np

from hpcsim.solvers.grid import Axis, End, Star

DIRICHLET, NEUMANN, ROBIN = End(1.0, 0.0), End(0.0, 1.0), End(2.0, 0.3)


def apply_star(star: Star, u: np.ndarray) -> np.ndarray:
    """The operator on a whole grid: ghosts are filled from the conditions, then neighbours are summed."""
    out = star.centre * u
    for axis, along in enumerate(star.axes):
        rows = np.moveaxis(u, axis, 0)
        below, above = np.roll(rows, 1, 0), np.roll(rows, -1, 0)
        if along.ends is not None:
            low, high = along.ends
            if not along.vertex:
                below[0] = low.mirror(along.spacing) * rows[0]
                above[-1] = high.mirror(along.spacing) * rows[-1]
            else:
                n, wall = along.count, np.zeros_like(rows[0])
                below[0] = wall if low.fixed else (rows[1] if n > 1 else wall) + low.wall(along.spacing) * rows[0]
                above[-1] = wall if high.fixed else (rows[-2] if n > 1 else wall) + high.wall(along.spacing) * rows[-1]
        out = out + star.lower[axis] * np.moveaxis(below, 0, axis) + star.upper[axis] * np.moveaxis(above, 0, axis)
    return out


def matrix_of(star: Star) -> np.ndarray:
    """The operator as a dense matrix."""
    columns = [apply_star(star, unit.reshape(star.shape)).ravel() for unit in np.eye(star.size)]
    return np.array(columns).T


def make_axis(kind: str, cells: int, length: float = 1.0) -> Axis:
    """An axis by a short name: two letters for the ends (or ``p`` for periodic), ``v`` after them for vertices."""
    ends = {"d": DIRICHLET, "n": NEUMANN, "r": ROBIN}
    vertex = kind.endswith("v")
    name = kind.removesuffix("v")
    pair = None if name == "p" else (ends[name[0]], ends[name[1]])
    return Axis.of_cells(cells, length / cells, pair, vertex)
