"""Implicit heat at 100 times the explicit limit against explicit steps: accuracy and wall time (PH-12).

Both are timed in turns over the same stretches of time, so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation

FACTOR, ACCURACY = 100, 1e-3
MATERIALS: dict[str, dict[str, Any]] = {
    "constant": {"conductivity": 1.0, "capacity": 1.0},
    "varying": {"conductivity": "1 + 0.5*sin(3*x)*cos(2*y)", "capacity": "1 + 0.2*z"},
}
# Forward Euler is the cheapest explicit scheme there is, rk4 what the package takes by itself.
EXPLICIT = {"euler": 0.9, "rk4": 1.25}


def body(n: int, material: str, integrator: str, dt: float) -> Simulation:
    """A cube with cold walls and a smooth start; one thread."""
    return Simulation(
        Lattice([n] * 3, upper=[1.0] * 3, boundary="dirichlet"),
        Model(name="heat", parameters=MATERIALS[material]),
        initial={"T": "sin(pi*x)*sin(pi*y)*sin(pi*z)*(1 + 0.5*cos(pi*x))"},
        integrator=integrator,
        dt=dt,
        # The bound for Euler is pessimistic where coefficients vary; these steps are within that of the largest one.
        allow_unstable=True,
        solver={"rtol": 1e-6},
    )


def figures(n: int, material: str, rounds: int, factor: int = FACTOR) -> dict[str, float]:
    """How many times faster the implicit run is than each explicit one, and its relative error."""
    limit = 1.0 / (6 * n * n) * (1.0 if material == "constant" else 1.0 / 1.5)
    runs = {name: body(n, material, name, part * limit) for name, part in EXPLICIT.items()}
    runs["implicit"] = body(n, material, "crank_nicolson", factor * limit)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for stretch in range(rounds):
        for name, run in runs.items():
            before, began = run.time, time.perf_counter()
            run.run(until=(stretch + 1) * factor * limit)
            spent = time.perf_counter() - began
            if stretch:  # the first one sets solvers up
                seconds[name].append(spent / (run.time - before))
    found = {name: statistics.median(seconds[name]) / statistics.median(seconds["implicit"]) for name in EXPLICIT}
    # One long step is compared at its own time; the short ones end within one of theirs.
    exact, mine = np.array(runs["rk4"]["T"]), np.array(runs["implicit"]["T"])
    assert runs["rk4"].time == pytest.approx(runs["implicit"].time, abs=2 * limit)
    found["error"] = float(np.abs(mine - exact).max() / exact.max())
    for run in runs.values():
        run.free()
    return found


@pytest.mark.parametrize("material", MATERIALS)
def test_the_machinery_on_a_small_body(material: str) -> None:
    """PH-12: the answer of a few long steps is that of many short ones; nothing is gated on time at this size."""
    found = figures(32, material, 3, factor=10)
    assert found["error"] <= ACCURACY and found["euler"] > 0.0


@pytest.mark.nightly
@pytest.mark.parametrize("material", MATERIALS)
def test_implicit_steps_are_ten_times_faster(material: str) -> None:
    """PH-12: a relative error of 1e-3 in a tenth of the wall time of explicit steps at their limit."""
    found = figures(128, material, 6)
    print(f"implicit heat, {material}: {found}")
    assert found["error"] <= ACCURACY
    assert found["rk4"] >= 10.0
