"""Publication of snapshots to readers in the process (000-H17b, 000-B8a, 000-B8b)."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError, HpcsimError, LeaseError, MemoryBudgetError
from hpcsim.fields.image import image_bytes
from hpcsim.fields.pool import Pool
from hpcsim.simulation.publish import Publisher, View

COUNTER = Model({"dt(u)": "1", "dt(v)": "-1"})


@contextmanager
def counting(shape: tuple[int, ...] = (40, 30), blocks: tuple[int, ...] | None = None) -> Iterator[Simulation]:
    """A run in which every site of u equals the step, and every site of v minus the step."""
    options = {"block_shape": blocks} if blocks else None
    lattice = Lattice(shape, options=options)
    with Simulation(lattice, COUNTER, backend="numpy", integrator="euler", dt=1.0) as simulation:
        yield simulation


def is_whole(view: View) -> bool:
    """Whether every value is that of the step the view claims."""
    return all(
        (part == sign * view.step).all()
        for name, sign in (("u", 1.0), ("v", -1.0))
        for parts in view.values(name)
        for part in parts
    )


def test_a_view_is_immutable_and_versioned() -> None:
    """B8b: a view keeps step, time and values while the run goes on, cannot be written, and ends with its lease."""
    with counting(blocks=(20, 15)) as simulation, Publisher(simulation, buffers=3) as publisher:
        with pytest.raises(HpcsimError, match="nothing was published yet"), publisher.lease():
            pass
        simulation.run(steps=5)
        assert publisher.publish()
        with publisher.lease() as view:
            assert (view.step, view.time, view.version, view.names) == (5, 5.0, 1, ("u", "v"))
            simulation.run(steps=4)
            assert publisher.publish()
            assert is_whole(view) and len(view.values("u")) == 4
            array = view.field("u", view.blocks[2])
            assert array.shape == view.blocks[2].shape and not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 3.0
            with pytest.raises(ConfigError, match="did you mean 'u'"):
                view.values("U")
            with publisher.lease() as newer:
                assert (newer.step, newer.version) == (9, 2) and is_whole(newer) and is_whole(view)
        with pytest.raises(LeaseError, match=r"version 1 \(step 5\) was given back"):
            view.values("u")


def test_the_images_see_registers_that_change_places() -> None:
    """Registers swap their memory at every step: the image has the newest level, not the memory it once copied."""
    wave = Model({"dtt(E)": "laplacian(E)"})
    lattice = Lattice([24, 24], upper=[1.0, 1.0])
    with (
        Simulation(lattice, wave, initial={"E": "sin(2*pi*x)"}, backend="numpy") as simulation,
        Publisher(simulation, ["E", "E@prev"]) as publisher,
    ):
        for _ in range(5):
            simulation.run(steps=1)
            publisher.publish()
            with publisher.lease() as view:
                np.testing.assert_array_equal(view.values("E")[0][0], simulation["E"])
                expected = simulation.state.interior("E@prev", view.blocks[0])
                np.testing.assert_array_equal(view.field("E@prev", view.blocks[0]), expected)


def test_readers_in_threads_never_see_a_torn_version() -> None:
    """B8a: three readers look while the run publishes at every step; each view is whole, versions never go back."""
    faults: list[str] = []
    seen: list[set[int]] = [set(), set(), set()]

    def read(publisher: Publisher, mine: set[int]) -> None:
        version = 0
        while publisher.wait(version, 5.0):
            try:
                with publisher.lease() as view:
                    if view.version < version or not is_whole(view):
                        faults.append(f"version {view.version} of step {view.step} after {version}")
                    # Looked at again after a while: it must not have changed meanwhile.
                    time.sleep(0.002)
                    if not is_whole(view):
                        faults.append(f"version {view.version} changed while it was held")
                    version = view.version
                    mine.add(version)
            except HpcsimError:
                return

    with counting((64, 64)) as simulation, Publisher(simulation, buffers=4) as publisher:
        readers = [threading.Thread(target=read, args=(publisher, mine)) for mine in seen]
        for reader in readers:
            reader.start()
        done = 0
        for _ in range(400):
            simulation.run(steps=1)
            done += publisher.publish()
        publisher.close()
        for reader in readers:
            reader.join(10.0)
        assert not faults, faults[:3]
        assert publisher.published == done and done + publisher.skipped == 400
        assert all(len(mine) > 5 for mine in seen)
    assert simulation.pool.leaks() == []


def test_a_slow_reader_holds_up_nothing_and_takes_no_memory() -> None:
    """B8a: with every spare held, publications are skipped and counted at once; the memory stays that of the images."""
    with counting((200, 200)) as simulation:
        before = simulation.pool.statistics.in_use
        with Publisher(simulation, ["u"], buffers=2) as publisher:
            assert publisher.publish()
            taken = simulation.pool.statistics
            assert 2 * 200 * 200 * 8 <= taken.in_use - before <= 2 * 202 * 216 * 8
            with publisher.lease() as slow:
                simulation.run(steps=1)
                assert publisher.publish()
                begin = time.perf_counter()
                for _ in range(50):
                    simulation.run(steps=1)
                    assert not publisher.publish()
                # Fifty steps of a small lattice, none of which waited for the reader.
                assert time.perf_counter() - begin < 5.0
                assert (publisher.published, publisher.skipped) == (2, 50)
                assert slow.step == 0 and (slow.values("u")[0][0] == 0.0).all()
            assert publisher.publish()
            after = simulation.pool.statistics
            assert (after.in_use, after.high_water) == (taken.in_use, taken.high_water)
            with publisher.lease() as view:
                assert (view.version, view.step) == (3, 51)


def test_a_slow_reader_in_a_thread_does_not_delay_the_loop() -> None:
    """B8a, measured: a reader holds its lease all the time; no publication takes more than a copy."""
    release = threading.Event()

    def hold(publisher: Publisher) -> None:
        with publisher.lease():
            release.wait(20.0)

    with counting((100, 100)) as simulation, Publisher(simulation, buffers=3) as publisher:
        publisher.publish()
        reader = threading.Thread(target=hold, args=(publisher,))
        reader.start()
        longest, begin = 0.0, time.perf_counter()
        while time.perf_counter() - begin < 1.0:
            simulation.run(steps=1)
            start = time.perf_counter()
            assert publisher.publish()
            longest = max(longest, time.perf_counter() - start)
        assert reader.is_alive() and publisher.skipped == 0 and publisher.published > 20
        assert longest < 0.5 and publisher.stall_s < 0.9
        release.set()
        reader.join()


def test_callbacks_run_beside_the_loop() -> None:
    """B8a: a slow callback gets whole versions, the newest each time, and the loop does not wait for it."""
    seen: list[int] = []

    def slow(view: View) -> None:
        assert is_whole(view)
        time.sleep(0.02)
        seen.append(view.version)

    with counting() as simulation, Publisher(simulation) as publisher:
        publisher.on_publish(slow)
        end = time.monotonic() + 20.0
        while len(seen) < 5 and time.monotonic() < end:
            simulation.run(steps=1)
            publisher.publish()
        publisher.close()
    assert publisher.errors == [] and seen == sorted(set(seen)) and len(seen) >= 5
    # Several publications for each call: the loop did not wait for the callback.
    assert publisher.published > 2 * len(seen)


def test_a_callback_that_fails_is_reported_and_left_out() -> None:
    """A fault of a callback ends neither the run nor the other callbacks."""
    good: list[int] = []
    called: list[int] = []

    def bad(view: View) -> None:
        called.append(view.version)
        raise ZeroDivisionError("in the plot")

    with counting() as simulation, Publisher(simulation) as publisher, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        publisher.on_publish(bad)
        publisher.on_publish(lambda view: good.append(view.version))
        end = time.monotonic() + 20.0
        while len(good) < 3 and time.monotonic() < end:
            simulation.run(steps=1)
            publisher.publish()
        publisher.close()
    assert len(called) == 1 and len(good) >= 3
    assert len(publisher.errors) == 1 and "in the plot" in publisher.errors[0]
    assert any("a callback failed at step" in str(warning.message) for warning in caught)


def test_closing_gives_everything_back() -> None:
    """A reader may outlive the publisher: its image stays whole until it leaves, then nothing is leased any more."""
    with counting() as simulation:
        registers = simulation.pool.leaks()
        publisher = Publisher(simulation)
        publisher.publish()
        lease = publisher.lease()
        view = lease.__enter__()
        publisher.close()
        publisher.close()
        assert is_whole(view) and len(simulation.pool.leaks()) == len(registers) + 2
        lease.__exit__(None, None, None)
        assert simulation.pool.leaks() == registers
        for verb in (publisher.publish, lambda: publisher.lease().__enter__()):
            with pytest.raises(HpcsimError, match="closed"):
                verb()
        assert not publisher.wait(0, 0.01)


def test_refusals() -> None:
    """Names, buffers and budget are checked before the run goes on; a refusal leaves no lease behind."""
    with counting((120, 100)) as simulation:
        with pytest.raises(ConfigError, match="did you mean 'u'"):
            Publisher(simulation, ["U"])
        with pytest.raises(ConfigError, match="buffers: at least 2 are needed, got 1"):
            Publisher(simulation, buffers=1)
        # Room for two images and a half, but not for three.
        each = image_bytes(simulation.layout, simulation.state.storage, simulation.state["u"].spec)
        simulation.state.pool = small = Pool(budget=5 * simulation.pool.footprint(each))
        with pytest.raises(MemoryBudgetError, match="'publication 2 of v' needs"):
            Publisher(simulation, buffers=3)
        assert small.leaks() == []
