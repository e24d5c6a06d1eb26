"""Weights of the operator on all levels, in the form of the loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import extent
from hpcsim.solvers.grid import Axis
from hpcsim.solvers.multigrid.coarsest import dense_matrix, inverse
from hpcsim.solvers.multigrid.engine import Engine
from hpcsim.solvers.multigrid.halo import Halo
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.memory import zeros
from hpcsim.solvers.multigrid.tables import PLACES
from hpcsim.solvers.multigrid.varying import Coarsening, Varying
from hpcsim.solvers.multigrid.walls import folded, volumes
from hpcsim.solvers.multigrid.weights import Constant, coarser

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]


def null_vector(axes: Sequence[Axis]) -> Values:
    """Volumes of the sites, flat in C order: what the rows of a singular operator sum to nothing with."""
    size = np.ones(1)
    for axis in axes:
        size = np.multiply.outer(size, volumes(axis))
    return size.ravel()


class ConstantSpread:
    """Weights that are the same everywhere: a few numbers per level and axis.

    Parameters
    ----------
    engine : Engine
        Takes the tables.
    axes : sequence of tuple of Axis
        Axes of every level.
    dense : bool
        Whether the coarsest level has an inverse.
    """

    def __init__(self, engine: Engine, axes: Sequence[tuple[Axis, ...]], dense: bool) -> None:
        self._engine, self._axes, self._dense = engine, axes, dense

    def set(self, weights: Constant, sigma: float, singular: bool) -> None:
        """Take up weights; those of the levels are divided by `sigma`."""
        levels = [weights.scaled(1.0 / sigma)]
        for fine, coarse in zip(self._axes, self._axes[1:], strict=False):
            levels.append(coarser(levels[-1], fine, coarse))
        tables = self._engine.tables
        tables.forget_weights()
        for number, own in enumerate(levels):
            tables.constant_weights(number, own)
        if self._dense:
            matrix = dense_matrix(self._axes[-1], *_arrays(self._axes[-1], levels[-1]))
            self._engine.set_dense(inverse(matrix, null_vector(self._axes[-1]) if singular else None))
        # The loops over natural order read the same places, in double precision and not divided.
        natural = tables.number_table.copy()
        row, level = tables.rows[0], tables.levels[0]
        places = [(row[PLACES["WEIGHTS"] + axis], 3 * level.total[axis]) for axis in range(level.outer)]
        for place, count in [*places, (row[PLACES["ROW"]], 9)]:
            natural[place : place + count] *= sigma
        self._engine.numbers(natural)


def _arrays(axes: Sequence[Axis], weights: Constant) -> tuple[list[Values], list[Values], Values]:
    """Folded weights at every site."""
    shape = tuple(axis.count for axis in axes)
    lower, upper, centre = [], [], np.full(shape, weights.centre)
    for k, axis in enumerate(axes):
        along = [-1 if j == k else 1 for j in range(len(axes))]
        low, high, extra = (v.reshape(along) for v in folded(axis, weights.lower[k], weights.upper[k]))
        lower.append(np.broadcast_to(low, shape))
        upper.append(np.broadcast_to(high, shape))
        centre = centre + extra
    return lower, upper, centre


class VaryingSpread:
    """Weights that differ from site to site: arrays per level, by colour; set-up is collective.

    Parameters
    ----------
    context : Context
        The ranks.
    engine : Engine
        Takes the arrays.
    everyone : sequence of sequence of Level
        The levels as each rank sees them.
    dense : bool
        Whether the coarsest level has an inverse.
    """

    def __init__(self, context: Context, engine: Engine, everyone: Sequence[Sequence[Level]], dense: bool) -> None:
        self._engine, self._levels, self._dense = engine, engine.levels, dense
        self._down = [Coarsening(context, a, b) for a, b in zip(self._levels, self._levels[1:], strict=False)]
        self._halos: list[Halo | None] = []
        for number, level in enumerate(self._levels):
            # Every rank takes part, linked or not.
            cut = any(own[number].any_linked for own in everyone)
            self._halos.append(engine.halo(number, level.ghost) if cut else None)
        coefficients = 2 * self._levels[0].outer + 3
        self._count = coefficients
        engine.weights = zeros(2 * coefficients * engine.tables.length, engine.dtype, 6)
        # Rows that are padding or ghosts of walls are divided by a centre, too.
        engine.weights[2 * (coefficients - 1) * engine.tables.length :] = 1.0
        for number in range(len(self._levels)):
            engine.tables.put(number, "WEIGHTS", engine.tables.length)
        self._natural = zeros(coefficients * int(np.prod(extent(self._levels[0].box))), np.float64, 4)

    def set(self, weights: Varying, sigma: float, singular: bool) -> None:
        """Take up weights on the box of the finest level; collective."""
        level = self._levels[0]
        exact = weights.folded(level.axes, level.box)
        natural = self._natural.reshape(self._count, *extent(level.box))
        for place, values in enumerate(_ordered(exact)):
            natural[place] = values
        own = weights.scaled(1.0 / sigma)
        for number, level in enumerate(self._levels):
            if number:
                own = self._down[number - 1].run(own)
            ready = own.folded(level.axes, level.box)
            self._fill(number, ready)
        if self._dense:
            matrix = dense_matrix(self._levels[-1].axes, ready.lower, ready.upper, ready.centre)
            null = null_vector(self._levels[-1].axes) if singular else None
            self._engine.set_dense(inverse(matrix, null))
        self._engine.numbers(self._natural)

    def _fill(self, number: int, weights: Varying) -> None:
        """Weights of a level to both colours, ghosts included."""
        engine, level = self._engine, self._levels[number]
        length, base = engine.tables.length, engine.tables.bases[number]
        parity = np.indices(level.own).sum(0) + sum(level.box[0][:-1])
        swapped = (parity & 1 == 1)[..., None]
        inside = tuple(slice(a, b) for a, b in zip(level.first, level.last, strict=True))
        even, odd = (level.sites + 1) // 2, level.sites // 2
        halo = self._halos[number]
        for place, values in enumerate(_ordered(weights)):
            colours = []
            for colour in range(2):
                start = (2 * place + colour) * length
                colours.append(engine.weights[start : start + length])
            red, black = (pool[base : base + level.room].reshape(*level.total, level.pitch)[inside] for pool in colours)
            both = np.minimum(even, odd)
            red[..., :both] = np.where(swapped, values[..., 1::2], values[..., 0 : 2 * both : 2])
            black[..., :both] = np.where(swapped, values[..., 0 : 2 * both : 2], values[..., 1::2])
            if even > odd:
                last = values[..., -1:]
                red[..., odd:even] = np.where(swapped, red[..., odd:even], last)
                black[..., odd:even] = np.where(swapped, last, black[..., odd:even])
            if halo is not None:
                halo.run(*colours)

    def free(self) -> None:
        """Give back the messages."""
        for down in self._down:
            down.free()


def _ordered(weights: Varying) -> list[Values]:
    """In the order of the loops: lower and upper of each axis, then the centre."""
    found = [values for pair in zip(weights.lower, weights.upper, strict=True) for values in pair]
    return [*found, weights.centre]
