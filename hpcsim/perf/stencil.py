"""Speed of the real kernels: simulations of the heat and Klein-Gordon equations beside C loops and the triad."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.kernels.bandwidth import STREAMS, make_stream
from hpcsim.perf.c_loops import CLoops
from hpcsim.perf.ranks import quiet_barrier
from hpcsim.perf.sampling import Spread, enough_calls, interleave, ratio, wall_seconds
from hpcsim.simulation.build import Simulation, build

STREAM_COUNT = 1 << 25
SAMPLE_S = 0.15
BLOCK = 32
_PASS_BYTES = 8.0 * STREAM_COUNT * STREAMS["triad"]

Case = tuple[str, int, str]
"""Equation ("heat" or "wave"), order, number type."""


def stencil_cases(orders: Iterable[int], dtypes: Iterable[str]) -> list[Case]:
    """The heat equation at order 2 and waves at every order, for each number type."""
    chosen = list(orders)
    found: list[Case] = []
    for dtype in dtypes:
        found += [("heat", 2, dtype)] if 2 in chosen else []
        found += [("wave", order, dtype) for order in chosen]
    return found


def make_simulation(
    case: Case, n: int, threads: int, context: Context, block: int | None = None, exchange: str = "overlapped"
) -> Simulation:
    """A simulation of the case on n**3 periodic cells; collective over the context."""
    equation, order, dtype = case
    lattice: dict[str, Any] = {"shape": [n] * 3, "upper": [1.0] * 3, "boundary": "periodic"}
    if block is not None:
        lattice["block_shape"] = [block] * 3
    bump = "exp(-40*((x - 0.5)**2 + (y - 0.5)**2 + (z - 0.5)**2))"
    run = {"steps": 2**31, "threads": threads, "dtype": dtype, "exchange": exchange}
    if equation == "heat":
        model: dict[str, Any] = {
            "name": "equations", "order": order, "fields": {"u": {}}, "parameters": {"D": 1.0},
            "equations": {"dt(u)": "D*laplacian(u)"},
        }  # fmt: skip
        sections = {"lattice": lattice, "model": model, "initial": {"u": bump}, "run": {**run, "integrator": "euler"}}
    else:
        model = {"name": "klein_gordon", "order": order, "parameters": {"chi": f"0.2 + 0.8*{bump}"}}
        sections = {"lattice": lattice, "model": model, "initial": {"E": bump}, "run": run}
    return build(from_mapping(sections), context)


def measure_case(case: Case, n: int, threads: int, repeats: int, loops: CLoops | None) -> dict[str, Any]:
    """One case in turn with the C loop and the triad."""
    with make_simulation(case, n, threads, Context.serial()) as simulation:
        steps = enough_calls(lambda: simulation.advance(1), SAMPLE_S)
        calls: dict[str, Callable[[], object]] = {"hpcsim": lambda: simulation.advance(steps)}
        if loops is not None:
            calls["c"] = loops.stencil(case[0], n, case[1], case[2], steps)
        calls["triad"] = make_stream("triad", STREAM_COUNT, threads)
        seconds = interleave(calls, repeats)
        traffic = simulation.program.bytes_per_cell_step
        compile_s = simulation.setting.backend.compile_seconds
    updates = n**3 * steps
    own = Spread.of(seconds["hpcsim"])
    share = ratio(seconds["triad"], seconds["hpcsim"]).median * updates * traffic / _PASS_BYTES
    row = {
        **_named(case), "cells": n**3, "glups": updates / own.median / 1e9, "glups_best": updates / own.best / 1e9,
        "bytes_per_cell": traffic, "of_triad": share, "compile_s": compile_s,
        "triad_gbs": _PASS_BYTES / Spread.of(seconds["triad"]).median / 1e9,
    }  # fmt: skip
    if "c" in seconds:
        row["c_glups"] = updates / Spread.of(seconds["c"]).median / 1e9
        row["to_c"] = _spread(ratio(seconds["c"], seconds["hpcsim"]))
        row["to_c_best"] = Spread.of(seconds["c"]).best / own.best
    return row


def measure_blocks(case: Case, n: int, threads: int, repeats: int) -> dict[str, Any]:
    """Many blocks of 32**3 cells in turn with one block."""
    with (
        make_simulation(case, n, threads, Context.serial()) as one,
        make_simulation(case, n, threads, Context.serial(), BLOCK) as many,
    ):
        steps = enough_calls(lambda: one.advance(1), SAMPLE_S)
        seconds = interleave({"one": lambda: one.advance(steps), "many": lambda: many.advance(steps)}, repeats)
    return {**_named(case), "block": BLOCK, "to_one_block": _spread(ratio(seconds["one"], seconds["many"]))}


def measure_ranks(
    case: Case, n: int, repeats: int, context: Context, exchanges: Sequence[str] = ("overlapped", "shared")
) -> dict[str, Any]:
    """All ranks with one thread each in turn with one rank that has as many threads; collective.

    Returns
    -------
    dict
        Per exchange, the speed of the ranks over that of the threads.
    """
    alone = None
    if context.rank == 0:
        alone = make_simulation(case, n, context.size, Context.serial())
    quiet_barrier(context)
    together = {name: make_simulation(case, n, 1, context, exchange=name) for name in exchanges}
    first = together[exchanges[0]]
    steps = int(context.max(float(enough_calls(lambda: first.advance(1), SAMPLE_S))))
    calls: dict[str, Callable[[], object]] = {"threads": lambda: alone.advance(steps) if alone else None}
    for name, simulation in together.items():
        calls[name] = _advance(simulation, steps)

    def clock(call: Callable[[], object]) -> float:
        quiet_barrier(context)
        mine = wall_seconds(call)
        quiet_barrier(context)
        return float(context.max(mine))

    seconds = interleave(calls, repeats, clock)
    for simulation in together.values():
        simulation.setting.ghosts.free()
        simulation.state.free()
    speeds = {name: _spread(ratio(seconds["threads"], seconds[name])) for name in exchanges}
    return {**_named(case), "ranks": context.size, "to_threads": speeds}


def _advance(simulation: Simulation, steps: int) -> Callable[[], object]:
    return lambda: simulation.advance(steps)


def _named(case: Case) -> dict[str, Any]:
    return {"case": case[0], "order": case[1], "dtype": case[2]}


def _spread(value: Spread) -> dict[str, float]:
    return {"median": value.median, "low": value.low, "high": value.high}
