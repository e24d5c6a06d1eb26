"""Model problems for the solvers of PETSc: rows of a rank from Kronecker products of one-dimensional matrices."""

from __future__ import annotations

from functools import reduce

import numpy as np
import scipy.sparse as sp

from hpcsim.lattice.box import volume
from hpcsim.lattice.pencils import bricks
from hpcsim.solvers.grid import Axis, End, laplacian
from hpcsim.solvers.petsc.nullspace import grid_constants
from hpcsim.solvers.petsc.system import System, system_of
from hpcsim.solvers.preconditioners.boxes import BoxGrid
from hpcsim.solvers.rows import Rows

DIRICHLET, NEUMANN = (End(1.0, 0.0), End(1.0, 0.0)), (End(0.0, 1.0), End(0.0, 1.0))


def axis_of(kind: str, cells: int, vertex: bool) -> Axis:
    """An axis of the unit interval."""
    ends = {"dirichlet": DIRICHLET, "neumann": NEUMANN, "periodic": None}[kind]
    return Axis.of_cells(cells, 1.0 / cells, ends, vertex)


def second_difference(axis: Axis) -> sp.csr_matrix:
    """Second difference along an axis, end conditions eliminated by hand."""
    n = axis.count
    matrix = sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], (n, n)).tolil()
    if axis.ends is None:
        matrix[0, n - 1] += 1.0
        matrix[n - 1, 0] += 1.0
    else:
        fixed = axis.ends[0].fixed
        for edge, inner in ((0, 1), (n - 1, n - 2)):
            if not axis.vertex:
                matrix[edge, edge] += -1.0 if fixed else 1.0
            elif not fixed:
                matrix[edge, inner] += 1.0
    return matrix.tocsr() / axis.spacing**2


def poisson(axes) -> sp.csr_matrix:
    """The Laplacian in natural order."""
    total = None
    for place, axis in enumerate(axes):
        factors = [sp.identity(a.count) for a in axes]
        factors[place] = second_difference(axis)
        term = reduce(lambda left, right: sp.kron(left, right, format="csr"), factors)
        total = term if total is None else total + term
    return total.tocsr()


def packed_order(shape, boxes) -> np.ndarray:
    """Natural numbers in the order of packed vectors, rank after rank."""
    natural = np.arange(int(np.prod(shape))).reshape(shape)
    parts = [natural[tuple(slice(a, b) for a, b in zip(*box, strict=True))].ravel() for box in boxes]
    return np.concatenate(parts)


def local_rows(matrix, context, counts, block_size=1) -> Rows:
    """Rows of this rank of a matrix in packed order."""
    first = int(sum(counts[: context.rank]))
    local = matrix.tocsr()[first : first + counts[context.rank]]
    local.sort_indices()
    return Rows.of(local.indptr, local.indices, local.data, first, matrix.shape[0], block_size)


class Case:
    """A system spread over the ranks, with the whole matrix to compare with."""

    def __init__(self, context, matrix, counts, block_size=1, **known) -> None:
        self.context, self.matrix, self.counts = context, matrix.tocsr(), counts
        self.rows = local_rows(self.matrix, context, counts, block_size)
        self.system: System = system_of(self.rows, **known)
        self.part = slice(self.rows.first, self.rows.first + self.rows.count)

    def apply(self, whole: np.ndarray):
        return self.matrix @ whole

    def gathered(self, x: np.ndarray) -> np.ndarray:
        """A packed vector of all ranks."""
        whole = np.zeros(self.matrix.shape[0])
        whole[self.part] = x
        return self.context.sum_int(whole.view(np.int64)).view(np.float64)


def poisson_case(context, axes, native=False, star=True, **known) -> Case:
    """The Laplacian on boxes of the ranks."""
    shape = tuple(axis.count for axis in axes)
    boxes = bricks(shape, context.size)
    order = packed_order(shape, boxes)
    matrix = poisson(axes)[order][:, order]
    counts = [volume(box) for box in boxes]
    if all(axis.ends is None or not axis.ends[0].fixed for axis in axes):
        known["null_space"] = grid_constants(axes, boxes[context.rank])
    symmetric = all(axis.ends is None or not axis.vertex or axis.ends[0].fixed for axis in axes)
    known = {"symmetric": symmetric, "kind": "elliptic", **known}
    return Case(
        context,
        matrix,
        counts,
        grid=BoxGrid(tuple(axes), boxes),
        star=laplacian(tuple(axes)) if star else None,
        **known,
    )


def unit_axes(cells, kind="dirichlet", vertex=False):
    """One axis per number of cells."""
    return tuple(axis_of(kind, n, vertex) for n in cells)
