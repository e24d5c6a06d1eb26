"""A ghost plane read in place from node-shared memory against the same plane as a message (PERF-02).

Run it on two ranks: ``mpirun -n 2 python -m pytest tests/perf``. Both times are taken in turn in the same job and the
shortest of each counts, so the ratio holds on a busy machine too.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from hpcsim.comm.exchange import make_exchange
from hpcsim.comm.plan import FieldGeometry, build_plan
from hpcsim.fields.pool import SharedAllocator
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.kernels.numba.move import NumbaMover
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage

CALLS = 10
PATIENCE_S = 10.0


def seconds(context, function) -> float:
    """Mean time of a few calls made by all ranks at once; the slower rank counts."""
    context.barrier()
    start = time.perf_counter()
    for _ in range(CALLS):
        function()
    return context.max((time.perf_counter() - start) / CALLS)


@pytest.mark.parallel([2])
def test_shared_plane_costs_less_than_a_message(context) -> None:
    """PERF-02: 256 x 256 float64 by the shared strategy, waiting included, in 0.4 of the time of MPI Sendrecv."""
    shape = (4 * context.size, 256, 256)
    domain = Domain(shape, (0.0,) * 3, (1.0,) * 3, (False, False, False))
    layout = make_layout(domain, context.size, ghost=1, block_shape=(4, 256, 256))
    storage = Storage.build(layout, context.rank, 1, False, 8)
    state = State(storage, layout, context.rank, SharedAllocator(context))
    registers = [state.add("u", FieldSpec("u"))]
    geometry = [FieldGeometry(1, ((0, 0, 0),))]
    plan = build_plan(layout, context.rank, lambda r: Storage.build(layout, r, 1, False, 8), geometry, 1, False)
    exchange = make_exchange("shared", context, plan, NumbaMover(), "float64")
    send, receive = np.ones(65536), np.zeros(65536)
    other = 1 - context.rank

    shared = message = float("inf")
    limit = time.monotonic() + PATIENCE_S
    while not context.any(shared <= 0.4 * message < float("inf") or time.monotonic() > limit):
        for _ in range(50):
            shared = min(shared, seconds(context, lambda: exchange.run(registers)))
            message = min(message, seconds(context, lambda: context.comm.Sendrecv(send, other, 0, receive, other, 0)))
    exchange.free()
    state.free()
    assert shared <= 0.4 * message, f"shared {shared * 1e6:.1f} us, Sendrecv {message * 1e6:.1f} us"
