"""Ghost copies inside a launch: every ghost that is read is filled, once, and no bit of the result changes."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.comm.plan import FieldGeometry, build_plan
from hpcsim.kernels.copies import GhostReads, no_copies, waiting_widths
from hpcsim.kernels.tiles import BlockBox, interior_and_strips
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage


def setup(shape, block_shape, width, ranks=1):
    """Layout, storage, plan and owned boxes of rank 0 on a periodic lattice."""
    ndim = len(shape)
    domain = Domain(shape, (0.0,) * ndim, (1.0,) * ndim, (True,) * ndim)
    layout = make_layout(domain, ranks, ghost=width, block_shape=block_shape)
    storage = Storage.build(layout, 0, width, False, 8)
    geometry = [FieldGeometry(1, ((0,) * ndim,))]
    plan = build_plan(layout, 0, lambda r: Storage.build(layout, r, width, False, 8), geometry, width, False)
    boxes = [
        BlockBox(slot, (width,) * ndim, tuple(b - a + width for a, b in zip(block.lo, block.hi, strict=True)))
        for slot, block in enumerate(storage.blocks)
    ]
    return storage, plan, boxes


def sites(storage, row):
    """Pairs of flat target and source offset of one row of copies."""
    offsets = np.zeros((1,) * len(storage.strides), np.int64)
    for axis, (stride, count) in enumerate(zip(storage.strides, row[3:], strict=True)):
        shape = [1] * len(storage.strides)
        shape[axis] = -1
        offsets = offsets + (np.arange(count) * stride).reshape(shape)
    return [(row[2] + offset, row[1] + offset) for offset in offsets.ravel().tolist()]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    ("shape", "block_shape", "width"),
    [((12,), (4,), 2), ((9, 12), (3, 6), 1), ((8, 10, 9), (4, 5, 9), 2), ((4, 6, 4, 5), (2, 6, 4, 5), 1)],
)
def test_every_face_ghost_is_copied_once_and_from_its_owner(shape, block_shape, width, threads) -> None:
    """ENG-03 for copies in a launch: together the rows are the local table of the plan."""
    storage, plan, boxes = setup(shape, block_shape, width)
    reads = GhostReads(storage, {0: (1, plan.local[0])}, {0: (width,) * len(shape)})
    table, copies = reads.launch(boxes, threads)
    assert len(copies.starts) == len(table) + 1 and copies.starts[-1] == len(copies.rows)
    found = [pair for row in copies.rows.tolist() for pair in sites(storage, row)]
    padded = [[0, row[0], row[1], *row[6 - len(shape) :]] for row in plan.local[0].tolist()]
    wanted = [pair for row in padded for pair in sites(storage, row)]
    assert sorted(found) == sorted(wanted)


def test_a_piece_copies_only_what_it_reads() -> None:
    storage, plan, boxes = setup((12, 12), (12, 12), 2)
    reads = GhostReads(storage, {0: (1, plan.local[0])}, {0: (1, 2)})
    table, copies = reads.launch(boxes, 1)
    total = sum(int(np.prod(row[3:])) for row in copies.rows.tolist())
    assert total == 2 * 12 * 1 + 2 * 12 * 2
    assert len(no_copies(len(table), 2).starts) == len(table) + 1


def test_only_sides_next_to_another_rank_wait() -> None:
    """ENG-02: the strips that wait for messages lie at the faces messages fill."""
    storage, plan, boxes = setup((16, 8), (8, 8), 2, ranks=2)
    widths = waiting_widths(boxes, storage, {0: (1, plan.joined("unpack")[0])}, (2, 2))
    assert widths == [([2, 0], [2, 0])]
    inner, strips = interior_and_strips(boxes[0], *widths[0])
    assert (inner.lo, inner.hi) == ((4, 2), (8, 10))
    assert [(s.lo, s.hi) for s in strips] == [((2, 2), (4, 10)), ((8, 2), (10, 10))]


def result(backend: str, boundary: str, order: int, threads: int, block_shape=None) -> tuple[dict[str, str], bool]:
    options = {"block_shape": block_shape} if block_shape else None
    lattice = Lattice([12, 10, 14], upper=[1.0] * 3, boundary=boundary, options=options)
    model = Model({"dt(u)": "laplacian(u)"}, order=order)
    run = {"integrator": "euler", "backend": backend, "threads": threads}
    with Simulation(lattice, model, initial={"u": "sin(3*x + 2*y)*cos(z)"}, **run) as simulation:
        simulation.advance(5)
        return simulation.digests(), simulation.program.stages[0].carries


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
@pytest.mark.parametrize(("order", "block_shape"), [(2, [4, 5, 7]), (4, [6, 5, 7])])
def test_the_result_is_that_of_the_reference(boundary, order, block_shape) -> None:
    """ENG-01: kernels that copy ghosts themselves give the bits of the plain exchange, on many blocks."""
    plain, carried = result("numpy", boundary, order, 1)
    assert not carried
    many, carried = result("numba", boundary, order, 1, block_shape)
    assert carried and many == plain
