"""Section ``[run]``: how long, how fine in time, and with which means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from hpcsim.config.values import LARGEST_INTEGER, Flag, Integer, Name, Positive, Real, Section, fault, key

MOST_STEPS = 2**53


class Run(Section):
    """Length, step size, precision and execution of the run."""

    start_time: Real = key(0.0, "Simulated time at the start.", unit="time")
    stop_time: Real | None = key(None, "Simulated time at which the run ends; give this or steps.", unit="time")
    steps: Annotated[Integer, Field(ge=0, le=MOST_STEPS)] | None = key(
        None, "Number of steps after which the run ends; give this or stop_time."
    )
    integrator: Name | None = key(
        None, "Time scheme, as in `hpcsim list integrators`.", shown_default="the model's own"
    )
    dt: Positive | None = key(None, "Step size.", unit="time", shown_default="cfl x the stability limit")
    cfl: Positive = key(0.9, "Fraction of the stability limit taken as step size when dt is not given.", le=1000.0)
    rtol: Positive = key(1e-6, "Relative tolerance of adaptive steps (integrators bs32, imex_ark3).", le=1.0)
    atol: Positive = key(1e-9, "Absolute tolerance of adaptive steps (integrators bs32, imex_ark3).", unit="field")
    allow_unstable: Flag = key(False, "Accept a step size above the stability limit.")
    threads: Annotated[Integer, Field(ge=1, le=4096)] = key(1, "Threads of each rank.")
    backend: Name = key("numba", "What runs the kernels, as in `hpcsim list backends`.")
    dtype: Literal["float64", "float32"] = key("float64", "Type of the values of fields that do not name one.")
    exchange: Name = key("auto", "How ghosts are exchanged, as in `hpcsim list exchanges`.")
    check_finite_every: Annotated[Integer, Field(ge=0, le=2**31 - 1)] = key(
        50, "Steps between looks for NaN and Inf; 0 for never.", unit="steps"
    )
    seed: Annotated[Integer, Field(ge=0, le=LARGEST_INTEGER)] = key(0, "Seed of all random numbers.")
    check_messages: Flag = key(False, "Add a checksum to every ghost message and verify it.")
    watchdog_s: Positive = key(300.0, "Time without progress after which a hanging run is ended.", unit="s", le=1e7)
    relaxed_math: Flag = key(
        False, "Let the compiler contract and reorder arithmetic: faster, but outside the same-answer promise."
    )
    fresh_memory: Literal["zero", "nan"] = key("zero", "What new arrays hold; nan shows reads of values never set.")

    @field_validator("stop_time")
    @classmethod
    def _after_start(cls, stop: float | None, info: ValidationInfo) -> float | None:
        start = info.data.get("start_time")
        if stop is not None and start is not None and not start < stop:
            fault(f"must be later than run.start_time = {start!r}, got {stop!r}")
        return stop

    @field_validator("dt")
    @classmethod
    def _countable(cls, dt: float | None, info: ValidationInfo) -> float | None:
        start, stop = info.data.get("start_time"), info.data.get("stop_time")
        if dt is not None and start is not None and stop is not None and (stop - start) / dt > MOST_STEPS:
            fault(f"{dt!r} makes more than 2^53 steps from {start!r} to {stop!r}")
        return dt
