"""Digest and shared registers over ranks (rungs PEM, LAY; swap with node-shared memory)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.fields.digest import digest
from hpcsim.fields.pool import SharedAllocator
from hpcsim.fields.random import normal, stream_id
from hpcsim.fields.sites import site_numbers
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage

SPEC = FieldSpec("u", 3, "edge")
DOMAIN = Domain((12, 9, 10), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (False, True, False))


def noise_state(ranks: int, rank: int, allocator=None, **options) -> State:
    """Registers of one rank with keyed noise on every owned site."""
    layout = make_layout(DOMAIN, ranks, ghost=1, **options)
    state = State(Storage.build(layout, rank, 1, True, 8), layout, rank, allocator, fresh="nan")
    state.add("u", SPEC)
    for block in state.storage.blocks:
        for component, location in enumerate(SPEC.locations(3)):
            sites = site_numbers(DOMAIN, location, layout.owned_box(block, location))
            state.interior("u", block, component)[...] = normal(3, stream_id("u", component), sites, 0)
    return state


@pytest.mark.parametrize("options", [{}, {"block_shape": (3, 3, 5)}, {"block_shape": (4, 5, 3), "curve": "morton"}])
def test_digest_of_noise_is_that_of_one_rank(context, options) -> None:
    """PEM, LAY: random numbers and digest together do not see ranks, blocks or curve."""
    whole = noise_state(1, 0)
    expected = digest(None, whole, "u", backend="numpy")
    with noise_state(context.size, context.rank, **options) as state:
        assert digest(context, state, "u") == expected
        if context.rank == context.size - 1:
            view = state.interior("u", state.storage.blocks[-1], 2)
            view[-1, -1, -1] = np.nextafter(view[-1, -1, -1], 9.0)
        assert digest(context, state, "u") != expected


def test_shared_registers_show_the_neighbours_values_after_a_swap(context) -> None:
    """Peers are views of the other ranks' registers, of their true lengths, and go along when registers swap."""
    with noise_state(context.size, context.rank, SharedAllocator(context)) as state:
        register, other = state["u"], state.add("u@1", SPEC)
        assert register.flat[1:].ctypes.data % 64 == 0
        register.flat[:], other.flat[:] = 10.0 + context.rank, 20.0 + context.rank
        state.swap("u", "u@1")
        context.barrier()
        assert sorted(register.peers) == [rank for rank in context.node_ranks if rank != context.rank]
        for rank, flat in register.peers.items():
            assert flat.size == len(state.layout.local(rank)) * 3 * state.storage.sites
            assert (flat == 20.0 + rank).all() and (other.peers[rank] == 10.0 + rank).all()
        context.barrier()
