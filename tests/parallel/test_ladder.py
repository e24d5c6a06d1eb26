"""The same-answer ladder over real ranks: PEM, LAY, REP, NAN, all exchange strategies, and faults it must notice.

Every rung compares step size, time, quantities and all registers that carry state with a serial run, bit by bit.
"""

from __future__ import annotations

import functools
import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.comm.exchange import EXCHANGES, Exchange
from hpcsim.simulation.build import Simulation
from tests.ladder.cases import CASES, answer, case, outcome, simulate


@functools.cache
def on_rank_0(context: Context, name: str) -> dict[str, Any]:
    """Answer of one process alone, on all ranks."""
    text = ""
    if context.rank == 0:
        try:
            with Context.serial() as alone:
                text = json.dumps(answer(case(name), alone))
        except Exception as error:
            text = json.dumps({"failed": repr(error)})
    found: dict[str, Any] = json.loads(context.bcast_text(text))
    assert "failed" not in found, found
    return found


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_ranks(context: Context, name: str) -> None:
    """PEM, REP, ENG-01: as in one process, and again."""
    wanted = on_rank_0(context, name)
    assert answer(case(name), context) == wanted
    assert answer(case(name), context) == wanted


# The slowest case, on the reference backend, takes part in the rungs of ranks, layouts and fresh memory only.
QUICK = [name for name in CASES if name != "maxwell"]


@pytest.mark.parametrize("strategy", EXCHANGES.names())
@pytest.mark.parametrize("name", QUICK)
def test_any_exchange(context: Context, name: str, strategy: str) -> None:
    """PEM: every strategy, with sealed messages where it sends any."""
    sections = case(name, run__exchange=strategy, run__check_messages=strategy != "shared")
    assert answer(sections, context) == on_rank_0(context, name)


# Several block shapes per case (uneven, small, one axis cut), with curves and partitions in turn.
BLOCKS = {
    "waves": [[6, 5, 5], [3, 10, 9], [12, 2, 3]],
    "reaction": [[16, 3], [5, 5], [4, 13]],
    "maxwell": [[4, 3, 4], [4, 2, 7]],
    "staggered": [[6, 7], [4, 5]],
    "four": [[4, 3, 5, 4], [8, 6, 5, 2]],
    "adaptive": [[8], [5]],
}
ARRANGEMENTS = [
    {"curve": "hilbert", "partition": "curve"},
    {"curve": "morton", "partition": "curve"},
    {"curve": "morton", "partition": "round_robin"},
    {"curve": "hilbert", "partition": "round_robin"},
]


@pytest.mark.parametrize("name", BLOCKS)
def test_any_layout(context: Context, name: str) -> None:
    """LAY: other curves, partitions and block shapes."""
    wanted = on_rank_0(context, name)
    for number, block in enumerate(BLOCKS[name]):
        for arrangement in ARRANGEMENTS[number % 2 :: 2][: 1 if name == "maxwell" else 2]:
            sections = case(name, lattice__block_shape=block)
            sections["lattice"] |= arrangement
            assert answer(sections, context) == wanted, (block, arrangement)


@pytest.mark.parametrize("name", [name for name in QUICK if name != "adaptive"])
def test_a_grid_of_ranks(context: Context, name: str) -> None:
    """LAY: the cartesian partition, one block per rank."""
    assert answer(case(name, lattice__partition="cartesian"), context) == on_rank_0(context, name)


@pytest.mark.parametrize("name", QUICK)
def test_any_owners(context: Context, name: str) -> None:
    """LAY: blocks dealt at random, each rank with a different number of them; every strategy of exchange."""
    rng = np.random.default_rng(5)
    sections = case(name, lattice__block_shape=BLOCKS[name][0])
    with simulate(sections, context, None) as simulation:
        count = len(simulation.layout.blocks)
    for number, strategy in enumerate(EXCHANGES.names()):
        owners = np.concatenate([np.arange(context.size), rng.integers(0, context.size, count - context.size)])
        dealt = tuple(int(owner) for owner in rng.permutation(owners))
        if number % 2 == len(name) % 2:
            sections["run"]["exchange"] = strategy
            assert answer(sections, context, dealt) == on_rank_0(context, name), (strategy, dealt)


@pytest.mark.parametrize("name", CASES)
def test_no_value_is_read_before_it_is_set(context: Context, name: str) -> None:
    """NAN: fresh memory full of NaN changes nothing, with several blocks on a rank."""
    for strategy in ("overlapped", "shared"):
        changes = {"run__fresh_memory": "nan", "lattice__block_shape": BLOCKS[name][-1], "run__exchange": strategy}
        assert answer(case(name, **changes), context) == on_rank_0(context, name)


def flipped_bit(simulation: Simulation, patch: pytest.MonkeyPatch) -> None:
    """One bit in the middle of the mantissa of one value on the last rank."""
    if simulation.context.rank == simulation.context.size - 1:
        name = next(iter(simulation.case.specs))
        block = simulation.setting.storage.blocks[-1]
        owned = simulation.state.interior(name, block)
        site = owned[tuple(slice(n // 2, n // 2 + 1) for n in owned.shape)]
        as_integer = np.int64 if site.dtype == np.float64 else np.int32
        site[...] = (site.copy().view(as_integer) ^ as_integer(1 << 10)).view(site.dtype)


def swapped_ghosts(simulation: Simulation, patch: pytest.MonkeyPatch) -> None:
    """The smallest and the largest ghost of one face of the last rank, after one exchange."""
    finish, done = Exchange.finish, []

    def swap(self: Exchange, registers: Any) -> None:
        finish(self, registers)
        tables = self._unpack if self.context.size > 1 else self.plan.local
        if not done and self.context.rank == self.context.size - 1:
            row = max(tables[0].tolist(), key=lambda row: np.prod(row[2:]))
            flat = registers[0].flat
            sites = row[1] + sum(np.ix_(*(np.arange(n) * s for n, s in zip(row[2:], self.plan.strides, strict=True))))
            first, second = (sites.flat[np.argmin(flat[sites])], sites.flat[np.argmax(flat[sites])])
            assert flat[first] != flat[second]
            flat[first], flat[second] = flat[second], flat[first]
        done.append(True)

    patch.setattr(Exchange, "finish", swap)


def skipped_exchange(simulation: Simulation, patch: pytest.MonkeyPatch) -> None:
    """One exchange whose values never reach the ghosts, on any rank."""
    start, finish, begun, ended = Exchange.start, Exchange.finish, [], []
    kind = type(simulation.setting.backend.mover)

    def unless_skipping(verb: Callable[..., None]) -> Callable[..., None]:
        return lambda *arguments: None if begun and not ended else verb(*arguments)

    def begin(self: Exchange, *arguments: Any, **options: Any) -> None:
        begun.append(True)
        start(self, *arguments, **options)

    def end(self: Exchange, *arguments: Any, **options: Any) -> None:
        finish(self, *arguments, **options)
        ended.append(True)

    patch.setattr(Exchange, "start", begin)
    patch.setattr(Exchange, "finish", end)
    for verb in ("copy", "unpack"):
        patch.setattr(kind, verb, unless_skipping(getattr(kind, verb)))


@pytest.mark.parametrize("fault", [flipped_bit, swapped_ghosts, skipped_exchange])
@pytest.mark.parametrize("name", ["waves", "reaction", "staggered", "four"])
def test_the_ladder_notices(
    context: Context, name: str, fault: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEST-OF-TEST: one changed bit, one swapped ghost, one exchange left out must change the answer."""
    steps = CASES[name]["run"]["steps"]
    # Alone there are no messages, and compiled kernels may fetch ghosts themselves: the reference shows its exchange.
    backends = ["numpy", "numba"] if context.size > 1 else ["numpy"]
    for backend in backends:
        sections = case(name, run__backend=backend, lattice__block_shape=BLOCKS[name][0])
        wanted = answer(sections, context)
        with simulate(sections, context) as simulation:
            simulation.run(steps=steps // 2)
            with monkeypatch.context() as patch:
                fault(simulation, patch)
                simulation.run(steps=steps - steps // 2)
            found = outcome(simulation)
        assert found["digests"] != wanted["digests"]
        assert found["time"] == wanted["time"]


@pytest.mark.parametrize("name", QUICK)
def test_backends_agree(context: Context, name: str) -> None:
    """JIT: none of the kernels holds a function of the C library, so a run has the same bits on both backends."""
    assert answer(case(name, run__backend="numpy"), context) == on_rank_0(context, name)


def test_a_long_run_neither_grows_nor_pickles(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERF-02: from step 100 to step 1000 at most 4 KiB more memory, and no pickled message."""
    pickled: list[int] = []
    if context.comm.__class__.__module__.startswith("mpi4py"):
        import pickle

        from mpi4py import MPI

        count = lambda verb: lambda *a, **k: pickled.append(1) or verb(*a, **k)  # noqa: E731
        MPI.pickle.__init__(count(pickle.dumps), count(pickle.loads))
        context.comm.bcast(1)
        assert context.size == 1 or pickled
        pickled.clear()
    with simulate(case("waves", lattice__block_shape=[6, 5, 5]), context) as simulation:
        simulation.run(steps=10)
        tracemalloc.start()
        try:
            simulation.run(steps=100)
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            simulation.run(steps=900)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert not pickled
    assert grown <= 4096
