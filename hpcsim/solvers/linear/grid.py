"""The star-shaped operator of a problem on the boxes of the native solvers, and the way there and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import ConfigError
from hpcsim.lattice.box import Box, extent, shift
from hpcsim.lattice.pencils import pencils
from hpcsim.solvers.ends import make_axes
from hpcsim.solvers.grid import Axis, Star, Weight
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.unknowns import Vector
from hpcsim.symbolic.stability import JacobianEntry


def grid_axes(equations: Equations) -> tuple[Axis, ...] | None:
    """The axes of the unknowns if the operator is a star and its conditions suit the native solvers, else None."""
    operator = equations.operator
    if not operator.linear.star:
        return None
    register, component = operator.problem.unknowns[0]
    setting = operator.setting
    domain = setting.layout.domain
    location = setting.state[register].spec.locations(domain.ndim)[component]
    return make_axes(domain, location, equations.conditions, setting.sources[register], component)


class Grid:
    """Moves the unknowns of a scalar problem between blocks and one box per rank; set-up is collective.

    Parameters
    ----------
    equations : Equations
        The problem.

    Attributes
    ----------
    axes : tuple of Axis
        The unknowns along each axis.
    box : Box
        The unknowns of this rank: pencils along the last axis.

    Raises
    ------
    ConfigError
        If the operator is no star, or a boundary condition has no form that the native solvers know.
    """

    def __init__(self, equations: Equations) -> None:
        axes = grid_axes(equations)
        if axes is None:
            raise ConfigError(
                f"solver.{equations.operator.problem.name}.method: multigrid and fft need one unknown per site that "
                "couples to its next neighbours along the axes, between walls with Dirichlet, Neumann or Robin "
                'conditions; use method = "petsc" or "krylov"'
            )
        operator = equations.operator
        self.axes = axes
        self._unknowns = operator.unknowns
        self._first = tuple(-axis.first for axis in axes)
        shape = tuple(axis.count for axis in axes)
        context = operator.setting.context
        self.boxes = pencils(shape, context.size)
        self.box: Box = self.boxes[context.rank]
        have = [shift(piece.box, self._first) for piece in self._unknowns.pieces]
        self._there = Redistribution(context, have, [self.box], np.float64)
        self._back = Redistribution(context, [self.box], have, np.float64)

    def empty(self) -> NDArray[np.float64]:
        """An array over the box of this rank."""
        return np.zeros(extent(self.box))

    def gather(self, vector: Vector, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """From a packed vector to the box of this rank; collective."""
        self._there.run([self._unknowns.view(vector, piece)[..., 0] for piece in self._unknowns.pieces], [array])
        return array

    def scatter(self, array: NDArray[np.float64], vector: Vector) -> Vector:
        """From the box of this rank to a packed vector; collective."""
        self._back.run([array], [self._unknowns.view(vector, piece)[..., 0] for piece in self._unknowns.pieces])
        return vector

    def star(self, equations: Equations) -> Star:
        """The operator with its coefficients as they are; collective if they vary."""
        entries = {entry.offset: entry for entry in equations.operator.linear.entries}
        ndim = len(self.axes)

        def weight(axis: int, step: int) -> Weight:
            offset = tuple(step if a == axis else 0 for a in range(ndim))
            return self._weight(equations, entries.get(offset))

        return Star(
            self.axes,
            tuple(weight(axis, -1) for axis in range(ndim)),
            tuple(weight(axis, 1) for axis in range(ndim)),
            self._weight(equations, entries.get((0,) * ndim)),
        )

    def _weight(self, equations: Equations, entry: JacobianEntry | None) -> Weight:
        if entry is None:
            return 0.0
        operator = equations.operator
        if operator.varies(entry):
            packed = operator.vector()
            for piece in self._unknowns.pieces:
                self._unknowns.view(packed, piece)[..., 0] = operator.values(entry, piece)
            return self.gather(packed, self.empty())
        return operator.constant(entry)

    def free(self) -> None:
        """Give back the messages."""
        self._there.free()
        self._back.free()
