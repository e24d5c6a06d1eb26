"""The star-shaped operator of a problem on the boxes of the native solvers, and the way there and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import ConfigError
from hpcsim.lattice.box import Box, extent, shift
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


def needed_axes(equations: Equations) -> tuple[Axis, ...]:
    """The axes of the unknowns.

    Raises
    ------
    ConfigError
        If the operator is no star, or a boundary condition has no form that the native solvers know.
    """
    axes = grid_axes(equations)
    if axes is None:
        raise ConfigError(
            f"solver.{equations.operator.problem.name}.method: multigrid and fft need one unknown per site that "
            "couples to its next neighbours along the axes, between walls with Dirichlet, Neumann or Robin "
            'conditions; use method = "petsc" or "krylov"'
        )
    return axes


class Grid:
    """Moves the unknowns of a scalar problem between blocks and one box per rank; set-up is collective.

    Parameters
    ----------
    equations : Equations
        The problem.
    axes : tuple of Axis
        The unknowns along each axis.
    box : Box
        The unknowns of this rank, counted from the first unknown of each axis.
    """

    def __init__(self, equations: Equations, axes: tuple[Axis, ...], box: Box) -> None:
        self.axes, self.box = axes, box
        self._unknowns = equations.operator.unknowns
        first = tuple(-axis.first for axis in axes)
        have = [shift(piece.box, first) for piece in self._unknowns.pieces]
        context = equations.operator.setting.context
        self._there = Redistribution(context, have, [box], np.float64)
        self._back = Redistribution(context, [box], have, np.float64)

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

    def spread(self, equations: Equations, entry: JacobianEntry) -> NDArray[np.float64]:
        """A coefficient that varies, on the box of this rank; collective."""
        packed = equations.operator.vector()
        for piece in self._unknowns.pieces:
            self._unknowns.view(packed, piece)[..., 0] = equations.operator.values(entry, piece)
        return self.gather(packed, self.empty())

    def free(self) -> None:
        """Give back the messages."""
        self._there.free()
        self._back.free()


def make_star(equations: Equations, axes: tuple[Axis, ...], grid: Grid | None = None) -> Star:
    """The operator with its coefficients as they are; collective if they vary, and then on the boxes of a grid."""
    operator = equations.operator
    entries = {entry.offset: entry for entry in operator.linear.entries}
    ndim = len(axes)

    def weight(axis: int = 0, step: int = 0) -> Weight:
        entry = entries.get(tuple(step if a == axis else 0 for a in range(ndim)))
        if entry is None:
            return 0.0
        if not operator.varies(entry):
            return operator.constant(entry)
        assert grid is not None
        return grid.spread(equations, entry)

    lower, upper = ([weight(axis, step) for axis in range(ndim)] for step in (-1, 1))
    return Star(axes, tuple(lower), tuple(upper), weight())
