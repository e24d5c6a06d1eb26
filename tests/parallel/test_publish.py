"""Publication over ranks: a version is the same step on all of them, also when a reader is slow on one (000-B8b)."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hpcsim.config import from_mapping
from hpcsim.errors import HpcsimError, MemoryBudgetError
from hpcsim.fields.pool import Pool, SharedAllocator
from hpcsim.simulation.build import Simulation, build
from hpcsim.simulation.publish import Publisher


def counting(context, **run) -> Simulation:
    """A run in which every site equals the step."""
    sections = {
        "lattice": {"shape": [24, 20], "block_shape": [6, 5]},
        "model": {"fields": {"u": {}}, "equations": {"dt(u)": "1"}},
        "run": {"steps": 1000, "dt": 1.0, "integrator": "euler", "backend": "numpy", **run},
    }
    return build(from_mapping(sections), context)


def steps_of(context, version: int, step: int) -> set[tuple[int, int]]:
    """Version and step as all ranks see them."""
    rows = np.zeros((context.size, 2), np.int64)
    context.comm.Allgather(np.array([version, step], np.int64), rows)
    return {tuple(row) for row in rows.tolist()}


@pytest.mark.parametrize("exchange", ["auto", "shared"])
def test_a_version_is_one_step_on_all_ranks(context, exchange: str) -> None:
    """B8b: readers in threads on every rank; the step of a version is the same wherever it is seen."""
    seen: dict[int, int] = {}
    faults: list[str] = []

    def read(publisher: Publisher) -> None:
        version = 0
        while publisher.wait(version, 10.0):
            try:
                with publisher.lease() as view:
                    version = view.version
                    seen[version] = view.step
                    if not all((part == view.step).all() for parts in view.values("u") for part in parts):
                        faults.append(f"version {version} is torn")
            except HpcsimError:
                return

    with counting(context, exchange=exchange) as simulation:
        with Publisher(simulation) as publisher:
            reader = threading.Thread(target=read, args=(publisher,))
            reader.start()
            for count in range(60):
                simulation.run(steps=1 + count % 3)
                publisher.publish()
            publisher.close()
            reader.join(10.0)
        table = np.full(61, -1, np.int64)
        for version, step in seen.items():
            table[version] = step
        most = np.asarray(context.max(table.astype(float)))
        assert not faults and seen
        assert all(most[version] == step for version, step in seen.items())
        assert {(publisher.published, publisher.skipped)} == steps_of(context, publisher.published, publisher.skipped)
    assert simulation.pool.leaks() == []


def test_all_skip_where_one_reader_is_slow(context) -> None:
    """B8b: a reader that holds every spare on the last rank makes all ranks skip; later all publish again."""
    with counting(context) as simulation, Publisher(simulation, buffers=2) as publisher:
        assert publisher.publish()
        slow = publisher.lease() if context.rank == context.size - 1 else None
        if slow is not None:
            slow.__enter__()
        simulation.run(steps=1)
        assert publisher.publish()
        for _ in range(3):
            simulation.run(steps=1)
            assert not publisher.publish()
        with publisher.lease() as view:
            assert steps_of(context, view.version, view.step) == {(2, 1)}
        if slow is not None:
            slow.__exit__(None, None, None)
        assert publisher.publish()
        with publisher.lease() as view:
            assert steps_of(context, view.version, view.step) == {(3, 4)}
        assert publisher.skipped == 3


def test_a_refusal_on_one_rank_is_one_on_all(context) -> None:
    """F-20: where one rank has no room for the images, no rank keeps any, and none is left waiting."""
    with counting(context) as simulation:
        before = simulation.pool.leaks()
        own = simulation.state.pool
        if context.rank == context.size - 1:
            simulation.state.pool = Pool(budget=1000)
        with pytest.raises(MemoryBudgetError, match="'publication 0 of u' needs"):
            Publisher(simulation)
        assert simulation.state.pool.leaks() == ([] if context.rank == context.size - 1 else before)
        simulation.state.pool = own


def test_shared_memory_is_in_the_budget(context) -> None:
    """ENG-18: shared registers count as leases of the pool; a refusal on one rank is one on all, before the window."""
    pool = Pool(budget=100_000)
    allocator = SharedAllocator(context, pool)
    memory = allocator.allocate(1000, "float64", 1, "u")
    assert pool.owners() == {"u": 8056} and pool.statistics.held == 8056
    mine = Pool(budget=100_000 if context.rank else 10_000)
    with pytest.raises(MemoryBudgetError, match="'v' needs 16.1 kB"):
        SharedAllocator(context, mine).allocate(2000, "float64", 1, "v")
    assert mine.leaks() == []
    memory.free()
    assert pool.leaks() == []
