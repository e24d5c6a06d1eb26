"""The operator of a problem as rows of a sparse matrix, boundary conditions eliminated."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hpcsim.boundary.conditions import Conditions
from hpcsim.fields.spec import FieldSpec
from hpcsim.solvers.operator import Operator
from hpcsim.solvers.rows import Rows
from hpcsim.solvers.unknowns import Piece
from hpcsim.symbolic.stability import JacobianEntry

OUTSIDE = -1.0
"""Number of a site that is no unknown."""

Part = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Per position of a row on one axis: the global index that is read, and its factor."""


class Assembly:
    """Numbers every unknown over all ranks and turns coefficients into rows; set-up is collective.

    A read beyond a wall is replaced by the inner sites its ghost is made of; a site on a wall that a condition fixes is
    no unknown and has no column.

    Parameters
    ----------
    operator : Operator
        The problem.
    conditions : Conditions
        Boundary conditions of the run, without their values.
    """

    def __init__(self, operator: Operator, conditions: Conditions) -> None:
        self._operator = operator
        self._conditions = conditions
        self._numbers = [self._number(column) for column in range(operator.linear.size)]

    def _number(self, column: int) -> NDArray[np.float64]:
        """Numbers of one unknown, ghosts included: array over blocks and sites."""
        operator = self._operator
        setting, unknowns = operator.setting, operator.unknowns
        name = f"{operator.problem.unknowns[column][0]}@{operator.problem.name}.number.{column}"
        if name in setting.state:
            known: NDArray[np.float64] = setting.state[name].array[:, 0]
            return known
        register = setting.state.add(name, FieldSpec(name), saved=False, static=True)
        register.flat.fill(OUTSIDE)
        for piece in unknowns.pieces:
            if column in piece.columns:
                width, place = len(piece.columns), piece.columns.index(column)
                first = unknowns.first + piece.start + place
                numbers = first + width * np.arange(piece.span // width, dtype=np.float64)
                register.array[piece.slot, 0][piece.window] = numbers.reshape(piece.shape[:-1])
        setting.ghosts.exchange_once(register, self._location(column))
        numbered: NDArray[np.float64] = register.array[:, 0]
        return numbered

    def _location(self, column: int) -> tuple[int, ...]:
        register, component = self._operator.problem.unknowns[column]
        setting = self._operator.setting
        return setting.state[register].spec.locations(setting.layout.domain.ndim)[component]

    def rows(self) -> Rows:
        """The rows of this rank with the coefficients as they are."""
        from scipy.sparse import coo_matrix

        unknowns = self._operator.unknowns
        found = list(self._terms())
        rows = np.concatenate([rows for rows, _, _ in found]) if found else np.zeros(0, np.int64)
        columns = np.concatenate([columns for _, columns, _ in found]) if found else np.zeros(0, np.int64)
        data = np.concatenate([data for _, _, data in found]) if found else np.zeros(0)
        shape = (unknowns.size, unknowns.total)
        matrix = coo_matrix((data, (rows - unknowns.first, columns)), shape=shape).tocsr()
        matrix.sort_indices()
        return Rows(
            matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data, unknowns.first,
            unknowns.total, unknowns.block_size,
        )  # fmt: skip

    def _terms(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """Row numbers, column numbers and values, entry by entry; zeros of the pattern are kept."""
        for piece in self._operator.unknowns.pieces:
            for entry in self._operator.linear.entries:
                if entry.row in piece.columns:
                    yield from self._entry(piece, entry)

    def _entry(
        self, piece: Piece, entry: JacobianEntry
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        block = self._operator.setting.storage.blocks[piece.slot]
        ghost = self._operator.setting.storage.ghost
        numbers = self._numbers[entry.column][piece.slot]
        rows = self._numbers[entry.row][piece.slot][piece.window]
        value = np.broadcast_to(self._operator.values(entry, piece), rows.shape)
        axes = [self._parts(piece, entry, axis) for axis in range(rows.ndim)]
        for parts in product(*axes):
            where = np.ix_(*(index - lo + ghost for (index, _), lo in zip(parts, block.lo, strict=True)))
            columns = numbers[where]
            weights = value * _outer([factor for _, factor in parts])
            kept = (columns != OUTSIDE) & (_outer([factor for _, factor in parts]) != 0.0)
            yield rows[kept].astype(np.int64), columns[kept].astype(np.int64), weights[kept]

    def _parts(self, piece: Piece, entry: JacobianEntry, axis: int) -> list[Part]:
        """What a read at the offset of an entry becomes on one axis: one or two inner sites with factors."""
        domain = self._operator.setting.layout.domain
        index = np.arange(piece.box[0][axis], piece.box[1][axis], dtype=np.int64) + entry.offset[axis]
        factor = np.ones(len(index))
        if domain.periodic[axis]:
            return [(index, factor)]
        register, component = self._operator.problem.unknowns[entry.column]
        staggered = bool(self._location(entry.column)[axis])
        last = domain.shape[axis] - (0 if staggered else 1)
        source = self._operator.setting.sources[register]
        second, weight = index.copy(), np.zeros(len(index))
        for side in (0, 1):
            depths = -index if side == 0 else index - last
            for i in np.flatnonzero(depths > 0):
                condition = self._conditions.at(source, component, axis, side)
                layer = condition.layer(int(depths[i]), component, staggered)
                index[i] = layer.source if side == 0 else last - layer.source
                factor[i] = layer.factor
                if layer.plus is not None:
                    second[i], weight[i] = (layer.plus if side == 0 else last - layer.plus), 1.0
        second[weight == 0.0] = index[weight == 0.0]
        return [(index, factor), (second, weight)] if weight.any() else [(index, factor)]


def _outer(factors: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Product of one factor per axis over the box."""
    result = factors[0]
    for factor in factors[1:]:
        result = np.multiply.outer(result, factor)
    return result
