"""Collective verbs of the context on any number of ranks, and shared windows."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.comm.window import SharedWindow
from hpcsim.errors import RankDisagreement


def test_reductions(context: Context) -> None:
    """Largest, smallest, exact integer sum; floats for floats, arrays for arrays."""
    rank, size = context.rank, context.size
    assert context.max(float(rank)) == size - 1 and context.min(float(rank)) == 0
    assert context.max(np.array([rank, -rank], float)).tolist() == [size - 1, 0]
    large = np.array([2**60 + rank, -rank], np.int64)
    assert context.sum_int(large).tolist() == [size * 2**60 + size * (size - 1) // 2, -size * (size - 1) // 2]
    with pytest.raises(TypeError, match="integers"):
        context.sum_int(np.ones(2))


def test_votes(context: Context) -> None:
    """One rank is enough for any, and enough to spoil an agreement."""
    last = context.rank == context.size - 1
    assert context.any(last) and not context.any(False)
    assert context.agree(True) and not context.agree(not last)


def test_texts(context: Context) -> None:
    """Texts of different lengths, empty, with zero bytes and beyond ASCII arrive whole."""
    text = f"Größe {context.rank}\0" * context.rank
    gathered = context.gather_text(text)
    assert gathered == ([f"Größe {r}\0" * r for r in range(context.size)] if context.rank == 0 else None)
    assert context.bcast_text(f"of rank {context.rank} ✓") == "of rank 0 ✓"
    assert context.bcast_text("") == ""


def test_same_names_the_odd_rank(context: Context) -> None:
    """F-27: all ranks raise the same message; the minority is named, whichever rank it is."""
    context.same(b"equal", "configuration")
    for odd in range(context.size if context.size > 2 else 0):
        with pytest.raises(RankDisagreement, match=rf"seed: rank {odd} \(on .*\) of {context.size} differs"):
            context.same(b"%d" % (context.rank == odd), "seed")


def test_tags_stay_below_the_limit(context: Context) -> None:
    """Tags wrap below 32767, the smallest upper bound MPI promises, and a block of tags never straddles it."""
    tags = [context.take_tags(300) for _ in range(400)]
    assert min(tags) >= 0 and max(tags) + 300 <= 32767 and tags[0] + 300 == tags[1]


def test_node(context: Context) -> None:
    """All ranks of this test share one node; contexts made from it are independent and freed."""
    assert context.node_ranks == tuple(range(context.size)) and context.node_size == context.size
    assert len(set(context.hosts)) == 1 and len(context.hosts) == context.size
    with context.split_node() as node:
        assert (node.rank, node.size) == (context.node_rank, context.node_size)
    node.free()


def test_window_is_shared_and_aligned(context: Context) -> None:
    """Each rank writes its piece; every other sees it; pieces differ in size, start on a line and are zero."""
    sizes = [4096 * (1 + rank) + 8 * rank for rank in range(context.size)]
    window = SharedWindow(context, sizes[context.rank])
    assert window.local.nbytes == sizes[context.rank] and not window.local.any()
    context.barrier()
    window.local.view("int64")[:] = context.rank + 1
    window.sync()
    context.barrier()
    for rank in context.node_ranks:
        piece = window.peer(rank)
        assert piece.nbytes == sizes[rank] and piece.ctypes.data % 64 == 0
        assert (piece.view("int64") == rank + 1).all()
    with pytest.raises(KeyError):
        window.peer(context.size)
    context.barrier()
    window.free()
    assert window.local.size == 0
