"""The model heat: silicon whose wall is heated at once (PH-12), order in time, layers, conservation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import erfc

from hpcsim.api import Lattice, Model, Simulation
from tests.convergence.support import largest, pieces, record, total, value_at

# Silicon in micrometres and microseconds: 150 W/(m K), and 2330 kg/m^3 times 700 J/(kg K), in pJ/(um^3 K).
CONDUCTIVITY, CAPACITY = 150.0, 1.631
DIFFUSIVITY = CONDUCTIVITY / CAPACITY
PH_12 = {1.0: 0.460917101, 10.0: 0.815632035}
"""Time in microseconds to the rise at a depth of 10 um, as a part of that of the wall."""


def silicon(start: Any, cells: int, spacing: float, integrator: str, dt: float, **options: Any) -> Simulation:
    """A body whose lower end is kept at 1 from the start on; the far end is too far away to matter."""
    walls = {"x": [{"type": "dirichlet", "value": 1.0}, "neumann"]}
    return start(
        Lattice([cells], upper=[cells * spacing], boundary=walls),
        Model(name="heat", parameters={"conductivity": CONDUCTIVITY, "capacity": CAPACITY}),
        integrator=integrator,
        dt=dt,
        **options,
    )


def limit(spacing: float, ndim: int = 1) -> float:
    """Largest step of forward Euler."""
    return spacing**2 / (2 * ndim * DIFFUSIVITY)


def body(x: Any, t: float) -> Any:
    """The rise in a half space."""
    return erfc(x / math.sqrt(4 * DIFFUSIVITY * t))


@pytest.mark.parametrize("integrator", ["crank_nicolson", "bdf2"])
def test_ph_12_silicon_behind_a_hot_wall(start, integrator: str) -> None:
    """PH-12: 10 um deep after 1 us and 10 us, to 1e-3, at more than 100 times the explicit limit."""
    spacing, dt = 10 / 33.5, 0.05
    assert dt > 100 * limit(spacing)
    run = silicon(start, 670, spacing, integrator, dt)
    for time, wanted in PH_12.items():
        run.run(until=time)
        assert run.time == pytest.approx(time, rel=1e-12)
        assert abs(value_at(run, "T", 10.0) - wanted) <= 1e-3
        assert abs(body(10.0, time) - wanted) <= 1e-8
    if integrator == "bdf2":
        # It damps what the jump stirs up, so that the whole profile is that of a half space.
        assert largest(run, "T", lambda x: body(x, 10.0)) <= 1e-3


@pytest.mark.parametrize("integrator", ["backward_euler", "crank_nicolson", "bdf2", "implicit_midpoint"])
def test_ph_12_stable_far_beyond_the_explicit_limit(start, integrator: str) -> None:
    """PH-12: from rough data, 100 and 10000 times beyond the limit, the distance to the steady state never grows."""
    for factor in (100, 10_000):
        run = silicon(
            start, 120, 0.5, integrator, factor * limit(0.5), initial={"T": {"kind": "random"}}, solver={"rtol": 1e-10}
        )
        distances = record(run, 60, lambda run: sum(float(np.sum((v - 1.0) ** 2)) for v, _ in pieces(run, "T")))
        if integrator == "bdf2":
            # It is stable in another norm, of two levels, and damps what it does not resolve.
            assert distances.max() <= 1.2 * distances[0] and distances[-1] <= 0.3 * distances[0]
        else:
            assert np.all(np.diff(distances) <= 1e-8 * distances[0])
    assert run.limit == math.inf


@pytest.mark.parametrize(("integrator", "order"), [("crank_nicolson", 2), ("bdf2", 2), ("backward_euler", 1)])
def test_ph_12_order_in_time(start, integrator: str, order: int) -> None:
    """PH-12: from the smooth profile at 1 us to 10 us, at 100 times the limit and more, the order of the scheme.

    The reference is exact in time: u = T - 1 has walls of zero, so exponential_modes takes one step.
    """
    cells, spacing, length = 400, 0.25, 9.0
    errors = []
    exact = start(
        Lattice([cells], upper=[cells * spacing], boundary={"x": ["dirichlet", "neumann"]}),
        Model({"dt(u)": "D*laplacian(u)"}, parameters={"D": DIFFUSIVITY}),
        integrator="exponential_modes",
        dt=length,
    )
    for values, (x,) in pieces(exact, "u"):
        values[...] = body(x, 1.0) - 1.0
    reference = exact.run(steps=1)["u"] + 1.0
    for steps in (60, 120, 240):
        dt = length / steps
        assert dt >= 100 * limit(spacing)
        run = silicon(start, cells, spacing, integrator, dt, solver={"rtol": 1e-12})
        for values, (x,) in pieces(run, "T"):
            values[...] = body(x, 1.0)
        run.start()
        errors.append(np.abs(run.run(steps=steps)["T"] - reference).max())
    slope = math.log2(errors[-2] / errors[-1])
    assert abs(slope - order) <= 0.1, f"order {slope:.3f} instead of {order}; errors {errors}"


def test_ph_12_explicit_schemes_take_it_within_their_limit(start) -> None:
    """PH-12: the same model runs explicitly, and a step beyond the limit is refused by name."""
    run = silicon(start, 64, 1.0, "rk4", 0.9 * limit(1.0))
    run.run(until=1.0)
    assert abs(value_at(run, "T", 10.5) - body(10.5, 1.0)) <= 2e-3
    with pytest.raises(Exception, match="above the linear stability limit"):
        silicon(start, 64, 1.0, "euler", 1.01 * limit(1.0))


LAYERS = {"conductivity": "where(x < 3.1, 1.4, 150)", "capacity": "where(x < 3.1, 1.65, 1.631)"}


def test_heat_flows_through_layers_at_the_same_rate(start) -> None:
    """PH-12: the steady state of glass on silicon carries the same flux through every face, whatever the contrast."""
    walls = {"x": [{"type": "dirichlet", "value": 5.0}, {"type": "dirichlet", "value": 1.0}]}
    run = start(
        Lattice([40], upper=[10.0], boundary=walls),
        Model(name="heat", parameters=LAYERS),
        initial={"T": 2.0},
        integrator="bdf2",
        dt=50.0,
        solver={"rtol": 1e-12},
    ).run(steps=60)
    faces = 0.25 * np.arange(41)
    resistance = 0.25 / np.where(faces < 3.1, 1.4, 150.0)
    resistance[[0, -1]] /= 2
    flux = 4.0 / resistance.sum()
    assert np.abs(run["T"] - (5.0 - flux * np.cumsum(resistance)[:-1])).max() <= 1e-8


def test_heat_is_kept_between_insulated_walls(start) -> None:
    """PH-12: a source adds its power, nothing else changes the content of layers."""
    run = start(
        Lattice([24, 16], upper=[6.0, 4.0], boundary="neumann"),
        Model(name="heat", parameters={**LAYERS, "source": "where(y < 1, 2, 0)"}),
        initial={"T": "cos(x)*y"},
        dt=0.5,
        solver={"rtol": 1e-12},
    )
    before = run.quantities()["heat"]
    run.run(steps=20)
    # 2 per volume in a strip of 6 by 1, for a time of 10.
    assert run.quantities()["heat"] - before == pytest.approx(2.0 * 6.0 * 10.0, abs=1e-8)
    assert run.case.scheme.name == "crank_nicolson"


def test_conductivity_that_depends_on_the_temperature(start) -> None:
    """PH-12: a nonlinear medium keeps its content too; every step is a Newton solve."""
    run = start(
        Lattice([32], upper=[8.0], boundary="neumann"),
        Model(name="heat", parameters={"conductivity": "1 + T**2", "capacity": 2.0}),
        initial={"T": "exp(-(x - 4)**2)"},
        integrator="bdf2",
        dt=0.2,
        solver={"newton_rtol": 1e-12},
    )
    content = total(run, "T")
    peak = largest(run, "T")
    run.run(steps=10)
    assert total(run, "T") == pytest.approx(content, rel=1e-10)
    assert largest(run, "T") < 0.8 * peak
