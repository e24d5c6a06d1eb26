"""Exchange plans for many virtual ranks in one process: buffers are handed over by hand (ENG-03)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.plan import TRAILER, ExchangePlan, FieldGeometry, build_plan
from hpcsim.kernels.numpy.move import NumpyMover
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Layout, make_layout
from hpcsim.lattice.storage import Storage

CELL, FACES = FieldGeometry(1, ((0, 0),)), FieldGeometry(2, ((1, 0), (0, 1)))


def plans_of(layout: Layout, ghost: int, specs, width: int, corners: bool) -> tuple[list[Storage], list[ExchangePlan]]:
    """Storage and plan of every rank."""
    storages = [Storage.build(layout, rank, ghost, True, 8) for rank in range(layout.ranks)]
    plans = [build_plan(layout, rank, storages.__getitem__, specs, width, corners) for rank in range(layout.ranks)]
    return storages, plans


def layout_of(ranks: int, *, periodic=(True, False), seed: int | None = None) -> Layout:
    """Sixty-four blocks, by curve or shuffled over the ranks."""
    owners = tuple(int(o) for o in np.random.default_rng(seed).permutation(64) % ranks) if seed is not None else None
    domain = Domain((32, 24), (0.0, 0.0), (1.0, 1.0), periodic)
    return make_layout(domain, ranks, ghost=2, block_shape=(4, 3), owners=owners)


@pytest.mark.parametrize("ranks", [1, 2, 7, 16, 64])
def test_messages_match_and_fill_every_ghost(ranks: int) -> None:
    """Both ends agree on every length, and messages, own blocks and reads in place give one answer (ENG-03)."""
    layout = layout_of(ranks, seed=ranks)
    storages, plans = plans_of(layout, 2, (CELL, FACES), 2, True)
    mover = NumpyMover()
    flats = []
    for storage in storages:
        ids = [
            [np.random.default_rng((b.id, c)).uniform(size=storage.sites) for b in storage.blocks for c in range(n)]
            for n in (1, 2)
        ]
        flats.append([np.concatenate(part) for part in ids])
    buffers = []
    for plan, fields in zip(plans, flats, strict=True):
        buffers.append(np.zeros(plan.send_length))
        for field, table in zip(fields, plan.joined("pack"), strict=True):
            mover.pack(buffers[-1], field, table, plan.strides)
    direct = [[field.copy() for field in fields] for fields in flats]
    for rank, plan in enumerate(plans):
        received = np.zeros(plan.receive_length)
        for neighbour in plan.neighbours:
            other = next(n for n in plans[neighbour.rank].neighbours if n.rank == rank)
            assert other.send_count == neighbour.receive_count > 0
            sent = buffers[neighbour.rank][other.send_start : other.send_start + other.send_count]
            received[neighbour.receive_start : neighbour.receive_start + neighbour.receive_count] = sent
            for field, table in enumerate(neighbour.read):
                mover.copy(direct[rank][field], flats[neighbour.rank][field], table, plan.strides)
        filled = [field.copy() for field in flats[rank]]
        for field, table in enumerate(plan.joined("unpack")):
            mover.unpack(filled[field], received, table, plan.strides)
        for mine, other_way, before in zip(filled, direct[rank], flats[rank], strict=True):
            np.testing.assert_array_equal(mine, other_way)
            assert ranks == 1 or (mine != before).any()


def test_periodic_axis_on_two_ranks_is_one_message() -> None:
    """Both neighbours are the same rank: one message holds both sides, in an order both ends share."""
    layout = make_layout(Domain((8,), (0.0,), (1.0,), (True,)), 2, ghost=1)
    storages, plans = plans_of(layout, 1, (FieldGeometry(1, ((0,),)),), 1, True)
    for plan in plans:
        (neighbour,) = plan.neighbours
        assert neighbour.rank == 1 - plan.rank and neighbour.send_count == neighbour.receive_count == 2
        assert plan.message_elements() == 2 and plan.send_length == 2 + TRAILER
    sends = [plan.neighbours[0].pack[0][:, 0] for plan in plans]
    assert sends[0].tolist() == [1 + 3, 1 + 0] == sends[1].tolist() or sends[0].tolist() == [1 + 0, 1 + 3]
    assert storages[0].ghost == 1


def test_all_fields_share_one_message() -> None:
    """One message per neighbour rank for all fields of a call, whatever their number."""
    one = plans_of(layout_of(4), 2, (CELL,), 2, True)[1]
    three = plans_of(layout_of(4), 2, (CELL, FACES, CELL), 2, True)[1]
    for single, many in zip(one, three, strict=True):
        assert [n.rank for n in single.neighbours] == [n.rank for n in many.neighbours]
        assert many.message_elements() > 2 * single.message_elements()


def test_rows_of_a_buffer_do_not_overlap() -> None:
    """Every element of a send part is written once, and parts are apart by the room for a trailer."""
    for plan in plans_of(layout_of(5, seed=1), 2, (CELL, FACES), 2, True)[1]:
        hits = np.zeros(plan.send_length + plan.tail_length, int)
        for tables in (plan.joined("pack"), plan.local_back):
            for table in tables:
                for _, start, *extents in table.tolist():
                    hits[start : start + int(np.prod(extents))] += 1
        assert hits.max() == 1 and (hits == 0).sum() == TRAILER * len(plan.neighbours)
        ends = [n.receive_start + n.receive_count + TRAILER for n in plan.neighbours]
        assert ends == [*(n.receive_start for n in plan.neighbours[1:]), plan.receive_length]


def test_selected_neighbours() -> None:
    """Tables joined for some ranks hold the rows of those only."""
    plan = plans_of(layout_of(5, seed=1), 2, (CELL,), 2, True)[1][0]
    few = plan.joined("pack", {plan.neighbours[0].rank})[0]
    assert len(few) == len(plan.neighbours[0].pack[0]) < len(plan.joined("pack")[0])
    assert len(plan.joined("pack", ())[0]) == 0
