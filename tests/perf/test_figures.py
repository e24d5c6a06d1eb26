"""Ratios to a ceiling or a C loop taken in the same minute: full size at night, a small run of the machinery always."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from hpcsim.cli.bench import DTYPES

C_BOUNDS = {("heat", 2): 0.95, ("wave", 2): 0.95, ("wave", 4): 0.95, ("wave", 6): 0.85, ("wave", 8): 0.85}
# The heat equation is held to its bound in double precision; in single precision it reaches 0.92 of C.
HEAT_FLOAT32_BOUND = 0.88
# PERF-01: 50 % is the aim, 40 % the bound.
TRIAD_BOUND = 0.4


def bench(*arguments: str, limit_s: float = 900.0) -> dict[str, Any]:
    """What ``hpcsim bench`` measures, in a process of its own so that its threads are its own too."""
    command = [sys.executable, "-m", "hpcsim", "bench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def bound(case: str, order: int, dtype: str) -> float:
    """Share of the speed of C that a kernel must reach."""
    return HEAT_FLOAT32_BOUND if (case, dtype) == ("heat", "float32") else C_BOUNDS[case, order]


def test_the_machinery_on_a_small_lattice() -> None:
    """PERF-01: every figure is there, finite and positive; nothing is gated at this size."""
    size = ["--n", "32", "--orders", "2", "--dtypes", "float64", "--repeats", "2", "--threads", "1"]
    found = bench("stencil", *size, limit_s=240.0)
    assert [(row["case"], row["order"]) for row in found["cases"]] == [("heat", 2), ("wave", 2)]
    for row in found["cases"]:
        assert row["cells"] == 32**3 and row["glups"] > 0 and row["of_triad"] > 0
        assert found["compiler"] is None or 0 < row["to_c"]["low"] <= row["to_c"]["high"]
    assert found["cases"][1]["bytes_per_cell"] == 32
    assert found["blocks"][0]["to_one_block"]["median"] > 0


@pytest.fixture(scope="module")
def stencil() -> dict[str, Any]:
    return bench("stencil", limit_s=3600.0)


@pytest.mark.nightly
def test_kernels_keep_up_with_c(stencil: dict[str, Any]) -> None:
    if stencil["compiler"] is None:
        pytest.fail("no C compiler here to compare with")
    # The shortest times are compared: on a busy machine they are the least disturbed.
    speeds = {(row["case"], row["order"], row["dtype"]): row["to_c_best"] for row in stencil["cases"]}
    slow = {case: speed for case, speed in speeds.items() if speed < bound(*case)}
    assert not slow, f"share of the speed of C: {slow}"
    assert {row["dtype"] for row in stencil["cases"]} == set(DTYPES)


@pytest.mark.nightly
def test_waves_use_the_memory_bandwidth(stencil: dict[str, Any]) -> None:
    """PERF-01: the order-2 wave in float64 at 32 bytes a cell against the triad."""
    row = next(r for r in stencil["cases"] if (r["case"], r["order"], r["dtype"]) == ("wave", 2, "float64"))
    assert row["bytes_per_cell"] == 32
    assert row["of_triad"] >= TRIAD_BOUND


@pytest.mark.nightly
def test_a_plane_read_in_place_beats_a_message() -> None:
    """PERF-02: at most 0.4 of Sendrecv; no strategy pickles or keeps memory."""
    found = bench("exchange")
    rows = {row["exchange"]: row for row in found["strategies"]}
    assert rows["shared"]["to_sendrecv_best"] <= 0.4, rows["shared"]
    assert all(row["pickled"] == 0 and row["memory_growth_bytes"] < 2048 for row in rows.values()), rows


@pytest.mark.nightly
def test_region_timers_cost_nothing_that_matters() -> None:
    """PERF-10: the timers of a step against the step, at most 1 %."""
    from hpcsim.comm.context import Context
    from hpcsim.perf.sampling import enough_calls, wall_seconds
    from hpcsim.perf.stencil import make_simulation
    from hpcsim.timing import Timers

    with make_simulation(("wave", 2, "float64"), 128, 1, Context.serial()) as simulation:
        steps = enough_calls(lambda: simulation.advance(1), 0.2)
        simulation.timers.calls.clear()
        step = min(wall_seconds(lambda: simulation.advance(steps)) for _ in range(5)) / steps
        regions = sum(simulation.timers.calls.values()) / (5 * steps)
    timers = Timers()

    def enter() -> None:
        for _ in range(1000):
            with timers.region("kernel"):
                pass

    entry = min(wall_seconds(enter) for _ in range(20)) / 1000
    assert regions * entry <= 0.01 * step, f"{regions:.0f} regions of {entry:.2e} s in a step of {step:.2e} s"
