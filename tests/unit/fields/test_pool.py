"""The pool: alignment, no overlap, growth, budget, statistics, errors, threads (ENG-18)."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from bisect import bisect_left, insort

import numpy as np
import pytest

from hpcsim.errors import ConfigError, HpcsimError, LeaseError, MemoryBudgetError
from hpcsim.fields import chunks
from hpcsim.fields.pool import Lease, Pool
from hpcsim.fields.slabs import SPACING, class_sizes

STRATEGIES = ("classes", "buddy")
LARGEST = 64_000_000
OPERATIONS = 100_000


def sizes_of(random: np.random.Generator, kind: str, count: int) -> list[int]:
    """Sizes from 1 B to 64 MB: all of them alike, all orders of magnitude alike, or small ones only."""
    if kind == "orders":
        return np.exp(random.uniform(0.0, np.log(LARGEST), count)).astype(int).clip(1, LARGEST).tolist()
    return random.integers(1, 5000 if kind == "small" else LARGEST, count, endpoint=True).tolist()


class Spans:
    """Address ranges in use; one that overlaps another is an error."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: dict[int, int] = {}

    def add(self, start: int, stop: int) -> None:
        place = bisect_left(self._starts, start)
        assert place == len(self._starts) or stop <= self._starts[place], "overlaps what lies above"
        assert place == 0 or self._stops[self._starts[place - 1]] <= start, "overlaps what lies below"
        insort(self._starts, start)
        self._stops[start] = stop

    def remove(self, start: int) -> None:
        del self._starts[bisect_left(self._starts, start)], self._stops[start]


def exercise(pool: Pool, kind: str, seed: int, operations: int) -> int:
    """Lease and return at random, checking each lease; the largest sum of bytes asked for at once."""
    random = np.random.default_rng(seed)
    sizes = iter(sizes_of(random, kind, operations))
    # Thousands of small leases at once, or some tens of which a few are large.
    most_live, returns = (20_000, 0.3) if kind == "small" else (40, 0.5)
    choices = random.random(operations)
    live: list[tuple[Lease, np.ndarray, int]] = []
    spans = Spans()
    demand = most = 0
    for number, choice in enumerate(choices.tolist()):
        if live and (len(live) >= most_live or choice < returns):
            lease, array, mark = live.pop(int(choice * 1e6) % len(live))
            # What was written in the first and the last byte is still there.
            assert array[0] == array[-1] == mark
            demand -= lease.nbytes
            spans.remove(array.ctypes.data)
            lease.release()
        else:
            lease = pool.lease(next(sizes), "test")
            array = lease.view()
            address = array.ctypes.data
            assert address % 64 == 0 and array.nbytes == lease.nbytes
            spans.add(address, address + array.nbytes)
            mark = number % 251
            array[0] = array[-1] = mark
            live.append((lease, array, mark))
            demand += lease.nbytes
            most = max(most, demand)
    for lease, _, _ in live:
        lease.release()
    return most


@pytest.mark.parametrize("kind", ["all", "orders", "small"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_random_leases(strategy: str, kind: str) -> None:
    """ENG-18: aligned, no overlap; high water <= 1.25 x the largest demand (classes); no growth after warm-up."""
    pool = Pool(strategy=strategy)
    demand = exercise(pool, kind, 1, OPERATIONS)
    warm = pool.statistics
    assert warm.most_in_use == demand and warm.in_use == 0 and warm.leases > OPERATIONS // 3
    if strategy == "classes":
        assert warm.high_water <= 1.25 * demand
    exercise(pool, kind, 1, OPERATIONS if kind == "all" else OPERATIONS // 4)
    again = pool.statistics
    assert again.high_water == warm.high_water
    assert again.most_in_use == demand and pool.leaks() == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_that_repeats_itself_asks_the_system_for_nothing(strategy: str) -> None:
    """ENG-18: zero growth after warm-up; the same leases in every step need no new mapping, in whatever order."""
    random = np.random.default_rng(2)
    sizes = sizes_of(random, "orders", 60)
    pool = Pool(strategy=strategy)

    def step() -> None:
        held = [pool.lease(sizes[place], "step") for place in random.permutation(60)]
        for place in random.permutation(60):
            held[place].release()

    for _ in range(3):
        step()
    warm = pool.statistics
    for _ in range(50):
        step()
    after = pool.statistics
    assert (after.growths, after.held, after.high_water) == (warm.growths, warm.held, warm.high_water)


def test_classes_are_close_enough() -> None:
    """ENG-18: neighbouring size classes are at most 1.19 apart, or 64 bytes where alignment rules."""
    sizes = class_sizes(1 << 40)
    for small, large in zip(sizes, sizes[1:], strict=False):
        assert small % 64 == large % 64 == 0 and (large <= small * SPACING or large - small == 64)
    assert SPACING <= 1.19 + 1e-3 and sizes[0] == 64
    pool = Pool()
    for nbytes in (1, 64, 65, 4097, 32768, 32769, 10**6, 10**8):
        assert nbytes <= pool.footprint(nbytes) <= max(nbytes * 1.19 + 4096, nbytes + 64)


def test_a_returned_large_block_serves_only_what_nearly_fills_it() -> None:
    """A block is used again down to 1/1.19 of its size; a much smaller lease does not take it."""
    pool = Pool()
    pool.lease(10_000_000, "a").release()
    with pool.lease(9_000_000, "b"):
        assert pool.statistics.growths == 1
    with pool.lease(8_000_000, "c"):
        # The old block went back to the system: no more is held than ever was in use.
        assert pool.statistics.growths == 2 and pool.statistics.held <= 10_002_432


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_return_twice_and_use_after_return_raise(strategy: str) -> None:
    """ENG-18: double return and use after return raise, with the owner in the message."""
    pool = Pool(strategy=strategy)
    lease = pool.lease(1000, "u@prev")
    lease.release()
    with pytest.raises(LeaseError, match="'u@prev'.* returned a second time"):
        lease.release()
    with pytest.raises(LeaseError, match="'u@prev'.* cannot be used"):
        lease.view()
    with pool.lease(10, "v") as held:
        held.view()[:] = 1
    with pytest.raises(LeaseError):
        held.view()
    # The memory may belong to someone else by now: the old lease cannot give it away.
    other = pool.lease(1000, "w")
    with pytest.raises(LeaseError):
        lease.release()
    other.view()
    assert pool.leaks() == [("w", 1000)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_views(strategy: str) -> None:
    """A view has the type and shape asked for, looks at the same memory each time, and never beyond the lease."""
    pool = Pool(strategy=strategy)
    lease = pool.lease(100, "x")
    a, b = lease.view("float32", (5, 5)), lease.view("float64")
    assert a.shape == (5, 5) and b.shape == (12,) and np.shares_memory(a, b)
    assert lease.view("float32", 25).shape == (25,) and a.flags.writeable
    with pytest.raises(ValueError, match="26 values of float32 need 104 bytes; the lease of 'x' has 100"):
        lease.view("float32", 26)
    with pytest.raises(ValueError):
        pool.lease(-1, "y")
    with pool.lease(0, "nothing") as empty:
        assert empty.view().size == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_budget_refuses_and_says_who_and_how_much(strategy: str) -> None:
    """ENG-18, ENG-29: growth ends at the budget; the message has owner, request, use and budget; nothing is lost."""
    pool = Pool(budget=40_000_000, strategy=strategy)
    u = pool.lease(30_000_000, "u")
    with pytest.raises(MemoryBudgetError) as caught:
        pool.lease(20_000_000, "v")
    text = str(caught.value)
    assert all(part in text for part in ("'v' needs 20 MB", "30 MB of the memory budget of 40 MB", "u 30 MB"))
    assert caught.value.exit_code == 2 and pool.leaks() == [("u", 30_000_000)]
    assert pool.fits([1_000_000]) and not pool.fits([20_000_000])
    u.release()
    # What was returned is given up where the budget needs it.
    with pool.lease(20_000_000, "v"), pool.lease(2_000_000, "w"):
        assert pool.statistics.held <= 40_000_000
    assert pool.statistics.high_water <= 40_000_000 == pool.budget


def test_what_the_system_refuses_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """F-43: a mapping that the system refuses names the owner too."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(chunks.mmap, "mmap", refuse)
    with pytest.raises(MemoryBudgetError, match="'u' needs 1 MB; the system refuses 1003520 bytes: Cannot allocate"):
        Pool().lease(1_000_000, "u")


def test_memory_kept_elsewhere_counts() -> None:
    """Shared windows are in the budget, the statistics and the list of leaks, but cannot be viewed here."""
    pool = Pool(budget=10_000_000)
    window = pool.count(8_000_000, "shared u")
    assert pool.statistics.held == 8_000_000 and pool.owners() == {"shared u": 8_000_000}
    with pytest.raises(MemoryBudgetError):
        pool.lease(3_000_000, "v")
    with pytest.raises(MemoryBudgetError):
        pool.count(3_000_000, "v")
    with pytest.raises(LeaseError, match="kept elsewhere"):
        window.view()
    window.release()
    assert pool.statistics.held == 0 and pool.leaks() == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_trim_gives_unused_memory_back_and_no_other(strategy: str) -> None:
    """ENG-18: after trim the pool holds what is in use; the high water remembers."""
    pool = Pool(strategy=strategy)
    kept = pool.lease(33_000_000, "kept")
    kept.view()[:] = 7
    for size in (100, 5_000_000, 20_000_000):
        pool.lease(size, "gone").release()
    before = pool.statistics
    given = pool.trim()
    after = pool.statistics
    assert given == before.held - after.held > 0 and after.high_water == before.high_water
    assert after.held == pool.footprint(33_000_000) and (kept.view() == 7).all()
    kept.release()
    pool.trim()
    assert pool.statistics.held == 0


def test_buddies_join_again() -> None:
    """Buddy: what was split in small leases serves a large one after their return, in any order, without growth."""
    pool = Pool(strategy="buddy")
    random = np.random.default_rng(5)
    leases = [pool.lease(1 << 12, "small") for _ in range(1 << 12)]
    held = pool.statistics.held
    for place in random.permutation(len(leases)):
        leases[place].release()
    with pool.lease(1 << 24, "large"):
        assert pool.statistics.held == held == 1 << 24 and pool.statistics.growths == 1


def test_buddy_takes_powers_of_two_and_classes_do_not() -> None:
    """memory.strategy: the same lease holds twice as much with the buddy strategy, at worst."""
    held = {}
    for strategy in STRATEGIES:
        pool = Pool(strategy=strategy)
        with pool.lease((1 << 26) + 1, "u"):
            held[strategy] = pool.statistics.held
    assert held == {"buddy": 1 << 27, "classes": (1 << 26) + 4096}


def test_statistics_count_leases_by_class() -> None:
    """Statistics: leases of this moment by size class, owners with their sums."""
    pool = Pool()
    leases = [pool.lease(size, f"owner {size % 2}") for size in (1, 63, 65, 100_001)]
    found = pool.statistics
    assert found.classes == {64: 2, 128: 1, pool.statistics.classes.popitem()[0]: 1}
    assert pool.owners() == {"owner 1": 100_130} and found.in_use == 100_130 and found.leases == 4
    for lease in leases:
        lease.release()


def test_no_such_strategy() -> None:
    with pytest.raises(ConfigError, match="unknown strategy of the pool 'budy'; did you mean 'buddy'"):
        Pool(strategy="budy")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_threads(strategy: str) -> None:
    """Leases are taken and returned from several threads at once: nothing is handed out twice, nothing is lost."""
    pool = Pool(strategy=strategy)
    faults: list[BaseException] = []

    def work(mark: int) -> None:
        random = np.random.default_rng(mark)
        try:
            for size in random.integers(1, 200_000, 1500).tolist():
                with pool.lease(size, f"thread {mark}") as lease:
                    array = lease.view()
                    array[:64] = mark
                    array[-1] = mark
                    if size % 16 == 0:
                        time.sleep(0.0)
                    assert (array[:64] == mark).all() and array[-1] == mark
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and pool.leaks() == [] and pool.statistics.in_use == 0


def test_a_lease_may_be_returned_by_another_thread() -> None:
    """A writer thread returns what the run leased."""
    pool = Pool()
    lease = pool.lease(1 << 20, "image")
    thread = threading.Thread(target=lease.release)
    thread.start()
    thread.join()
    assert pool.leaks() == []


@pytest.mark.parametrize("nbytes", [100, 1 << 20, 1 << 26])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lease_and_return_are_quick(strategy: str, nbytes: int) -> None:
    """A lease and its return take microseconds; the bound leaves room for a busy machine."""
    pool = Pool(strategy=strategy)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(200):
            pool.lease(nbytes, "u").release()
        best = min(best, (time.perf_counter() - start) / 200)
    assert best < 20e-6


def test_the_pool_touches_no_page() -> None:
    """First touch stays with the thread that computes: leasing 1 GB adds next to nothing to the resident set."""
    from hpcsim.sizes import resident_bytes

    pool = Pool()
    before = resident_bytes()
    leases = [pool.lease(1 << 28, "u") for _ in range(4)]
    assert resident_bytes() - before < 16 << 20
    for lease in leases:
        lease.release()


def test_views_that_outlive_the_pool_stay_readable() -> None:
    """A view keeps its memory mapped, so that a late look at freed registers is stale but no crash."""
    pool = Pool()
    lease = pool.lease(1 << 22, "u")
    array = lease.view("float64")
    array[:] = 3.0
    lease.release()
    pool.trim()
    del pool, lease
    assert (array == 3.0).all()


def test_memory_goes_with_its_last_user_without_a_collection() -> None:
    """A pool and its leases are no reference cycle; a lease that was forgotten stays on the list of leaks."""
    pool = Pool()
    lease = pool.lease(1 << 22, "forgotten")
    memory, watched = weakref.ref(lease.view().base), weakref.ref(pool)
    gc.disable()
    try:
        del lease
        assert memory() is None and pool.leaks() == [("forgotten", 1 << 22)]
        kept = pool.lease(100, "kept")
        del pool
        kept.view()
        del kept
        assert watched() is None
    finally:
        gc.enable()


def test_errors_are_of_the_tree() -> None:
    assert issubclass(LeaseError, HpcsimError) and issubclass(MemoryBudgetError, HpcsimError)
