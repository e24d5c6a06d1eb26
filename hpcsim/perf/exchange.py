"""Cost of a ghost plane between two ranks, for every exchange strategy, beside MPI_Sendrecv of the same plane."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.comm.exchange import EXCHANGES, Exchange, make_exchange
from hpcsim.comm.plan import ExchangePlan, FieldGeometry, build_plan
from hpcsim.fields.pool import SharedAllocator
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import Register, State
from hpcsim.kernels.backend import BACKENDS
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage
from hpcsim.perf.sampling import Spread, interleave, ratio, wall_seconds

FIRST_STEP, LAST_STEP = 100, 1000
_DEPTH = 4
_CALLS = 20


def measure_exchange(context: Context, n: int, repeats: int) -> dict[str, Any]:
    """Every strategy on two ranks that share one plane of n**2 float64 sites; collective.

    Packing, waiting and unpacking are part of an exchange. The time of a call is that of the slower rank.
    """
    state, registers, plan, mover = _plane(context, n)
    exchanges = {name: make_exchange(name, context, plan, mover, "float64") for name in EXCHANGES.names()}
    calls: dict[str, Callable[[], object]] = {"sendrecv": _sendrecv(context, n)}
    for name, exchange in exchanges.items():
        calls[name] = _runner(exchange, registers)

    def clock(call: Callable[[], object]) -> float:
        context.barrier()
        return float(context.max(wall_seconds(lambda: [call() for _ in range(_CALLS)]) / _CALLS))

    seconds = interleave(calls, repeats, clock)
    rows = []
    for name, exchange in exchanges.items():
        against = ratio(seconds[name], seconds["sendrecv"])
        grown, pickled = _growth(exchange, registers)
        rows.append(
            {
                "exchange": name, "microseconds": 1e6 * Spread.of(seconds[name]).median,
                "to_sendrecv": {"median": against.median, "low": against.low, "high": against.high},
                "to_sendrecv_best": min(seconds[name]) / min(seconds["sendrecv"]),
                "memory_growth_bytes": int(context.max(float(grown))), "pickled": int(context.max(float(pickled))),
            }
        )  # fmt: skip
    for exchange in exchanges.values():
        exchange.free()
    state.free()
    return {"plane": [n, n], "sendrecv_microseconds": 1e6 * Spread.of(seconds["sendrecv"]).median, "strategies": rows}


def _plane(context: Context, n: int) -> tuple[State, list[Register], ExchangePlan, Any]:
    """A bounded box cut in two along its first axis: one plane each way."""
    shape = (_DEPTH * context.size, n, n)
    domain = Domain(shape, (0.0,) * 3, (1.0,) * 3, (False,) * 3)
    layout = make_layout(domain, context.size, ghost=1, block_shape=(_DEPTH, n, n))
    storage = Storage.build(layout, context.rank, 1, False, 8)
    state = State(storage, layout, context.rank, SharedAllocator(context))
    registers = [state.add("u", FieldSpec("u"))]
    geometry = [FieldGeometry(1, ((0, 0, 0),))]
    plan = build_plan(layout, context.rank, lambda rank: Storage.build(layout, rank, 1, False, 8), geometry, 1, False)
    return state, registers, plan, BACKENDS.get("numba")(storage, 1).mover


def _runner(exchange: Exchange, registers: Sequence[Register]) -> Callable[[], object]:
    return lambda: exchange.run(registers)


def _sendrecv(context: Context, n: int) -> Callable[[], object]:
    send, receive, other = np.ones(n * n), np.zeros(n * n), 1 - context.rank
    return lambda: context.comm.Sendrecv(send, other, 0, receive, other, 0)


def _growth(exchange: Exchange, registers: Sequence[Register]) -> tuple[int, int]:
    """Python memory gained between two steps, and messages pickled until the second."""
    counter = PickleCounter()
    tracemalloc.start()
    before = 0
    for step in range(LAST_STEP):
        if step == FIRST_STEP:
            before = tracemalloc.get_traced_memory()[0]
        exchange.run(registers)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before, counter.stop()


class PickleCounter:
    """Counts the objects that MPI pickles until it is stopped; without MPI nothing is sent, and none are."""

    def __init__(self) -> None:
        self.count = 0
        module: Any = sys.modules.get("mpi4py.MPI")
        self._pickle = module.pickle if module is not None else None
        if self._pickle is not None:
            self._dumps = sys.modules["pickle"].dumps
            self._pickle.__init__(self._counted)

    def _counted(self, *arguments: Any, **options: Any) -> Any:
        self.count += 1
        return self._dumps(*arguments, **options)

    def stop(self) -> int:
        """End the count and return it."""
        if self._pickle is not None:
            self._pickle.__init__()
        return self.count
