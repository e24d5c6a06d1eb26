"""What an exchange costs (PERF-02): no pickled message, no memory that grows."""

from __future__ import annotations

import ast
import pickle
import tracemalloc
from pathlib import Path

import pytest

import hpcsim.comm
from hpcsim.comm.exchange import EXCHANGES, make_exchange
from hpcsim.comm.plan import FieldGeometry, build_plan
from hpcsim.fields.pool import SharedAllocator
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.kernels.numba.move import NumbaMover
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage

PICKLING = {
    "send", "isend", "bsend", "ssend", "recv", "irecv", "sendrecv", "bcast", "gather", "scatter", "allgather",
    "alltoall", "reduce", "allreduce", "scan", "exscan",
}  # fmt: skip


def cube(context, shape: tuple[int, int, int], fields: int = 1) -> tuple[State, list, object]:
    """Shared registers of a periodic box cut into slabs along the first axis, and their plan."""
    domain = Domain(shape, (0.0,) * 3, (1.0,) * 3, (True, False, False))
    block = (-(-shape[0] // context.size), *shape[1:])
    layout = make_layout(domain, context.size, ghost=1, block_shape=block)
    storage = Storage.build(layout, context.rank, 1, False, 8)
    state = State(storage, layout, context.rank, SharedAllocator(context))
    specs = [FieldSpec(f"u{i}", 1, "cell") for i in range(fields)]
    registers = [state.add(spec.name, spec) for spec in specs]
    geometry = [FieldGeometry(1, ((0, 0, 0),)) for _ in specs]
    plan = build_plan(layout, context.rank, lambda r: Storage.build(layout, r, 1, False, 8), geometry, 1, True)
    return state, registers, plan


@pytest.mark.parametrize("strategy", EXCHANGES.names())
def test_memory_is_flat_and_nothing_is_pickled(context, strategy: str) -> None:
    """PERF-02: over 1000 exchanges and reversals no Python memory grows, no array is made, no message is pickled."""
    state, registers, plan = cube(context, (12, 12, 12), fields=2)
    exchange = make_exchange(strategy, context, plan, NumbaMover(), "float64")
    pickled = forbid_pickle(context)
    for _ in range(50):
        exchange.run(registers)
        exchange.reverse(registers)
    tracemalloc.start()
    for _ in range(20):
        exchange.run(registers)
        exchange.reverse(registers)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for _ in range(500):
        exchange.run(registers)
        exchange.reverse(registers)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pickled.restore()
    assert pickled.count == 0
    assert after - before < 2048, f"{after - before} bytes stayed after 1000 exchanges"
    # One plane of the smallest message is 14 * 14 * 8 bytes for each of two fields.
    assert peak - before < 1568 * 2, f"{peak - before} bytes were taken within an exchange"
    exchange.free()
    state.free()


class forbid_pickle:  # noqa: N801
    """Counts what mpi4py pickles until restored; counts nothing without MPI, where nothing is sent."""

    def __init__(self, context) -> None:
        self.count = 0
        self._pickle = None
        if context.size > 1:
            from mpi4py import MPI

            self._pickle = MPI.pickle
            MPI.pickle.__init__(self._counted)
            assert context.comm.bcast("seen", 0) == "seen"
            assert context.rank or self.count == 1
            self.count = 0

    def _counted(self, *arguments, **options):
        self.count += 1
        return pickle.dumps(*arguments, **options)

    def restore(self) -> None:
        if self._pickle is not None:
            self._pickle.__init__()


def test_no_lower_case_communication_in_the_source() -> None:
    """PERF-02: the communication layer never calls a pickling method of mpi4py."""
    calls = []
    for path in Path(hpcsim.comm.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PICKLING:
                calls.append(f"{path.name}:{node.lineno} {node.func.attr}")
    assert not calls
