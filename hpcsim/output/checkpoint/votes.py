"""Common decisions of all ranks, and what rank 0 needs to know of all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.output.checkpoint.pieces import PIECE

# Rank 0 takes the rows of all ranks in rounds, so that no message count passes 31 bits.
ROUND_BYTES = 256 << 20


def vote(context: Context, problem: str) -> str:
    """What keeps any rank from going on, the same text on all ranks; empty if nothing does. Collective.

    Examples
    --------
    >>> vote(Context.serial(), ""), vote(Context.serial(), "the disk is full")
    ('', 'the disk is full')
    """
    if context.agree(not problem):
        return ""
    failed = [(rank, text) for rank, text in enumerate(context.texts(problem)) if text]
    if context.size == 1:
        return failed[0][1]
    ranks = ", ".join(str(rank) for rank, _ in failed[:8]) + (", ..." if len(failed) > 8 else "")
    return f"{failed[0][1]} (on rank{'s' if len(failed) > 1 else ''} {ranks})"


def all_rows(context: Context, mine: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of every rank, one row a rank, on every rank. Collective.

    Examples
    --------
    >>> all_rows(Context.serial(), np.array([3, 4])).tolist()
    [[3, 4]]
    """
    rows = np.zeros((context.size, len(mine)), np.int64)
    context.comm.Allgather(np.ascontiguousarray(mine, np.int64), rows)
    return rows


def gather_table(context: Context, rows: NDArray[np.void]) -> NDArray[np.void] | None:
    """The rows of all ranks on rank 0, None elsewhere. Collective."""
    if context.size == 1:
        return rows
    counts = all_rows(context, np.array([len(rows)]))[:, 0]
    most = max(1, ROUND_BYTES // (PIECE.itemsize * context.size))
    parts = [np.empty(0, PIECE)]
    for first in range(0, int(counts.max()), most):
        send = np.ascontiguousarray(rows[first : first + most]).view(np.uint8)
        sizes = np.clip(counts - first, 0, most) * PIECE.itemsize
        if context.rank == 0:
            buffer = np.empty(int(sizes.sum()), np.uint8)
            context.comm.Gatherv(send, [buffer, sizes.tolist()])
            parts.append(buffer.view(PIECE))
        else:
            context.comm.Gatherv(send, None)
    return np.concatenate(parts) if context.rank == 0 else None
