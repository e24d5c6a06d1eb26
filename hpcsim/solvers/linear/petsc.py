"""Krylov solvers and preconditioners of PETSc as a linear solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpcsim.lattice.box import Box, shift
from hpcsim.solvers.assemble import Assembly
from hpcsim.solvers.grid import Axis
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.linear.constants import free_constants
from hpcsim.solvers.linear.grid import grid_axes, make_star
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.petsc.ksp import KspSolver
from hpcsim.solvers.petsc.nullspace import NullSpace, constants, grid_constants
from hpcsim.solvers.petsc.options import SolverOptions
from hpcsim.solvers.petsc.system import System
from hpcsim.solvers.preconditioners.boxes import BoxGrid
from hpcsim.solvers.rows import Rows
from hpcsim.solvers.unknowns import Vector


class PetscSolver:
    """The matrix of the problem in PETSc, solved by a Krylov method.

    Raises
    ------
    ConfigError
        If petsc4py is not installed, the preconditioner does not suit, or an option was not used.
    """

    def __init__(self, equations: Equations) -> None:
        self._assembly = Assembly(equations.operator, equations.conditions)
        options = equations.options
        library = equations.session.library
        own = SolverOptions(library, equations.operator.problem.name, equations.session.book)
        system = make_system(equations, self._assembly.rows())
        tolerances = options.rtol, options.atol, options.max_iterations
        self._solver = KspSolver(library, system, own, options.preconditioner, *tolerances)
        self.method = self._solver.method

    def update(self, equations: Equations) -> None:
        """Take up coefficients that have changed."""
        self._solver.update(self._assembly.rows().data)

    def solve(self, b: Vector, x: Vector, rtol: float, atol: float) -> Outcome:
        """Improve `x`; see the protocol."""
        return self._solver.solve(b, x, rtol, atol)

    def free(self) -> None:
        """Destroy all objects of PETSc, in the same order on all ranks."""
        self._solver.free()


def make_system(equations: Equations, rows: Rows) -> System:
    """What PETSc's solvers and preconditioners are told of a problem; collective."""
    operator = equations.operator
    unknowns, axes = operator.unknowns, grid_axes(equations)
    star = make_star(equations, axes) if axes is not None and operator.linear.constant else None
    return System(
        unknowns.size, unknowns.total, unknowns.block_size, rows,
        symmetric=equations.symmetric and operator.linear.kind == "elliptic",
        kind=operator.linear.kind,
        null_space=_null_space(equations),
        grid=_boxes(equations, axes) if axes is not None else None,
        star=star,
        fields=None if unknowns.together else tuple(unknowns.positions()),
    )  # fmt: skip


def _null_space(equations: Equations) -> NullSpace | None:
    """Constants of those unknowns that the operator maps to zero; None if there are none. Collective."""
    unknowns = equations.operator.unknowns
    free = free_constants(equations)
    if not free:
        return None
    found = constants(unknowns.size, unknowns.block_size, free)
    return found if equations.symmetric else replace(found, left=_left(equations))


def _left(equations: Equations) -> tuple[Vector, ...]:
    """Left null space of an operator without a symmetric matrix, where it is known: the shares of sites in integrals.

    Elsewhere nothing is taken out of the right side, and a problem that has no solution does not converge.
    """
    operator, axes = equations.operator, grid_axes(equations)
    if axes is None or not (operator.linear.constant and operator.linear.symmetric):
        return ()
    weights = operator.vector()
    for piece in operator.unknowns.pieces:
        box = shift(piece.box, tuple(-axis.first for axis in axes))
        (shares,) = grid_constants(axes, box).left or ()
        operator.unknowns.view(weights, piece)[..., 0] = shares.reshape(piece.shape[:-1])
    return (weights,)


def _boxes(equations: Equations, axes: tuple[Axis, ...]) -> BoxGrid | None:
    """The boxes of all ranks, if every rank has one; collective."""
    operator = equations.operator
    context, pieces = operator.setting.context, operator.unknowns.pieces
    if not context.agree(len(pieces) == 1):
        return None
    lo, hi = shift(pieces[0].box, tuple(-axis.first for axis in axes))
    ends = np.zeros((context.size, 2, len(lo)), np.int64)
    context.comm.Allgather(np.array([lo, hi], np.int64), ends)
    boxes: tuple[Box, ...] = tuple((tuple(map(int, a)), tuple(map(int, b))) for a, b in ends)
    return BoxGrid(axes, boxes)
