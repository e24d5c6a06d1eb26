"""Ghosts of levels that are cut over ranks: one message per neighbour for both colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box, shift
from hpcsim.solvers.multigrid.ghosts import crosses_seam, images, rows_of
from hpcsim.solvers.multigrid.level import Level

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Move = Callable[[Any, Any, Any, Any, int], None]


class Halo:
    """Exchange of the ghosts of one level, of one width; of a level held whole only its own periodic images.

    Parameters
    ----------
    context : Context
        The ranks; set-up and runs are collective if the level is cut.
    levels : sequence of Level
        The level as each rank sees it.
    base : sequence of int
        Where it begins in the pools of each rank.
    width : int
        Ghost rows.
    dtype : str
        Type of the pools.
    move : callable
        Packs and unpacks, see `hpcsim.solvers.multigrid.kernels.load_move`.
    """

    def __init__(
        self, context: Context, levels: Sequence[Level], bases: Sequence[int], width: int, dtype: str, move: Move
    ) -> None:
        self._context, self._move = context, move
        self._tag = 0 if levels[context.rank].shared else context.take_tags(1)
        rank = context.rank
        mine, base = levels[rank], bases[rank]
        self._incoming: list[tuple[int, NDArray[Any], NDArray[np.int64]]] = []
        self._outgoing: list[tuple[int, NDArray[Any], NDArray[np.int64]]] = []
        self._own = _table([(rows_of(mine, base, box), vector) for box, vector in images(mine, mine.box, width)])
        self._own_source = _table(
            [(rows_of(mine, base, shift(box, vector)), vector) for box, vector in images(mine, mine.box, width)]
        )
        self._own_buffer = np.zeros(2 * int(self._own[:, 2].sum()), dtype)
        others = [] if mine.shared else [other for other in range(context.size) if other != rank]
        for other in others:
            wanted = _table(
                [(rows_of(mine, base, box), vector) for box, vector in images(mine, levels[other].box, width)]
            )
            given = _table(
                [
                    (rows_of(mine, base, shift(box, vector)), vector)
                    for box, vector in images(levels[other], mine.box, width)
                ]
            )
            if len(wanted):
                self._incoming.append((other, np.zeros(2 * int(wanted[:, 2].sum()), dtype), wanted))
            if len(given):
                self._outgoing.append((other, np.zeros(2 * int(given[:, 2].sum()), dtype), given))

    def run(self, A: NDArray[Any], B: NDArray[Any]) -> None:
        """Fill the ghosts of a register; collective."""
        comm = self._context.comm
        receives = [comm.Irecv(buffer, other, self._tag) for other, buffer, _ in self._incoming]
        sends = []
        for other, buffer, runs in self._outgoing:
            self._move(buffer, runs, A, B, 1)
            sends.append(comm.Isend(buffer, other, self._tag))
        if len(self._own):
            self._move(self._own_buffer, self._own_source, A, B, 1)
            self._move(self._own_buffer, self._own, A, B, 0)
        for request, (_, buffer, runs) in zip(receives, self._incoming, strict=True):
            request.Wait()
            self._move(buffer, runs, A, B, 0)
        for request in sends:
            request.Wait()


def _table(pieces: Sequence[tuple[NDArray[np.int64], Sequence[int]]]) -> NDArray[np.int64]:
    """Runs with their places in a message: element, place, length, whether colours change."""
    found = [np.zeros((0, 4), np.int64)]
    place = 0
    for rows, vector in pieces:
        lengths = rows[:, 1]
        places = place + 2 * (np.cumsum(lengths) - lengths)
        place += 2 * int(lengths.sum())
        seam = np.full(len(rows), int(crosses_seam(vector)), np.int64)
        found.append(np.stack([rows[:, 0], places, lengths, seam], axis=1))
    return np.ascontiguousarray(np.concatenate(found))


class Gather:
    """Puts together a level that every rank holds whole from the parts that the ranks have made.

    Parameters
    ----------
    context : Context
        The ranks.
    level : Level
        The level, the same on all ranks but for the part.
    base : int
        Where it begins in the pools.
    parts : sequence of Box
        What each rank makes.
    dtype, move
        See `Halo`.
    """

    def __init__(self, context: Context, level: Level, base: int, parts: Sequence[Box], dtype: str, move: Move) -> None:
        self._context, self._move = context, move
        none = (0,) * level.outer
        tables = [_table([(rows_of(level, base, (lo[:-1], hi[:-1])), none)]) for lo, hi in parts]
        longest = max(2 * int(table[:, 2].sum()) for table in tables)
        self._mine = tables[context.rank]
        self._send = np.zeros(longest, dtype)
        self._all = np.zeros((context.size, longest), dtype)
        self._tables = tables

    def run(self, A: NDArray[Any], B: NDArray[Any]) -> None:
        """Complete a register; collective."""
        if len(self._mine):
            self._move(self._send, self._mine, A, B, 1)
        self._context.comm.Allgather(self._send, self._all)
        for rank, table in enumerate(self._tables):
            if rank != self._context.rank and len(table):
                self._move(self._all[rank], table, A, B, 0)
