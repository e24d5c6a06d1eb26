"""Noise in a run: the law of what comes out, in which sense each scheme takes it, and where it is refused (QG-02)."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.comm.context import Context
from hpcsim.config import from_mapping
from hpcsim.errors import ConfigError
from hpcsim.fields.random import normal
from hpcsim.fields.sites import site_numbers
from hpcsim.simulation.build import build
from hpcsim.simulation.case import make_case
from hpcsim.simulation.inspect import describe
from hpcsim.simulation.layout import case_layout
from hpcsim.simulation.memory import predict
from hpcsim.simulation.noise import noise_stream
from hpcsim.symbolic.noise import NoiseTable

SHAPE = (64, 48)


def start(equations: dict[str, str], integrator: str = "euler", dt: float = 0.01, **options: Any) -> Simulation:
    """Equations on a plane of sites that hardly couple."""
    parts = {"parameters": options.pop("parameters", {}), "fields": options.pop("fields", None)}
    lattice = options.pop("lattice", Lattice(SHAPE))
    return Simulation(lattice, Model(equations, **parts), integrator=integrator, dt=dt, seed=11, **options)


def z_of_mean(values: np.ndarray, mean: float = 0.0) -> float:
    """Deviation of the mean of independent values, in standard errors."""
    return float(abs(values.mean() - mean) / values.std() * math.sqrt(values.size))


def z_of_variance(values: np.ndarray, variance: float) -> float:
    """Deviation of the variance of independent normal values of mean zero, in standard errors."""
    return float(abs(np.mean(values**2) / variance - 1.0) * math.sqrt(values.size / 2))


def kicks(simulation: Simulation, steps: int, stream: int = 1, component: int = 0) -> np.ndarray:
    """Sum of the normal numbers of the first steps at every cell."""
    domain = simulation.case.domain
    sites = site_numbers(domain, (0,) * domain.ndim, ((0,) * domain.ndim, domain.shape))
    key = noise_stream(NoiseTable(stream, component, (0,) * domain.ndim))
    return sum(normal(simulation.case.config.run.seed, key, sites, step) for step in range(steps))


@pytest.mark.parametrize("integrator", ["euler", "ssprk3", "rk4", "lsrk54", "exponential_euler"])
def test_brownian_motion_is_the_sum_of_its_kicks(integrator: str) -> None:
    """Without a drift every scheme adds sigma*sqrt(dt) times the number of the step, to rounding."""
    with start({"dt(u)": "sigma*noise()"}, integrator, 0.04, parameters={"sigma": 0.3}) as simulation:
        simulation.run(steps=7)
        wanted = 0.3 * 0.2 * kicks(simulation, 7)
        np.testing.assert_allclose(simulation["u"], wanted, rtol=0, atol=1e-13)
        assert z_of_variance(simulation["u"], 0.09 * 7 * 0.04) < 4 and z_of_mean(simulation["u"]) < 4


def test_backends_and_precision() -> None:
    """PET: the reference backend gives the same bits; single precision the same numbers, rounded."""
    found = {}
    for key in (("numba", "float64"), ("numpy", "float64"), ("numba", "float32")):
        with start({"dt(u)": "noise() - u"}, backend=key[0], dtype=key[1]) as simulation:
            found[key] = simulation.run(steps=5)["u"].copy()
    np.testing.assert_array_equal(found["numba", "float64"], found["numpy", "float64"])
    assert found["numba", "float32"].dtype == np.float32
    np.testing.assert_allclose(found["numba", "float32"], found["numba", "float64"], rtol=0, atol=1e-6)


def test_fields_components_streams_and_sites_are_independent() -> None:
    """z <= 4 for every product that should vanish on average; equal numbers and components are the same noise."""
    equations = {"dt(u)": "noise()", "dt(v)": "noise(2)", "dt(s)": "-noise()", "dt(V)": "noise()", "dt(n)": "noise()"}
    fields = {"u": {}, "v": {}, "s": {}, "V": {"components": 2}, "n": {"centring": "vertex"}}
    with start(equations, fields=fields) as simulation:
        simulation.run(steps=3)
        u, v, s, n = (simulation[name] for name in "uvsn")
        first, second = simulation.values("V")[0]
        np.testing.assert_array_equal(s, -u)
        np.testing.assert_array_equal(first, u)
        neighbours = [np.roll(u, by, axis) for by, axis in ((1, 0), (1, 1), ((3, 5), (0, 1)))]
        pairs = [u * v, u * second, v * second, u * n, *(u * other for other in neighbours)]
        assert max(map(z_of_mean, pairs)) < 4
        before = u.copy()
        simulation.run(steps=1)
        assert z_of_mean(before * (simulation["u"] - before)) < 4


def test_another_seed_is_another_realisation() -> None:
    values = []
    for seed in (11, 12):
        with Simulation(Lattice(SHAPE), Model({"dt(u)": "noise()"}), integrator="euler", dt=1.0, seed=seed) as run:
            values.append(run.run(steps=1)["u"].copy())
    assert z_of_mean(values[0] * values[1]) < 4


def test_a_random_flux_conserves() -> None:
    """div of a vector of noises moves content: the sum stays zero, the variance is that of two differences."""
    with start({"dt(u)": "div(vector(noise(), 2*noise()))"}, dt=0.25) as simulation:
        u = simulation.run(steps=1)["u"]
        assert abs(u.sum()) < 1e-11 * np.abs(u).sum()
        variance = 0.25 * 2 * (1 + 4)
        # Neighbours share a face: their product has the mean -1/2 and -4/2 of the square of a kick.
        assert z_of_mean(u**2, variance) < 5
        assert z_of_mean(u * np.roll(u, 1, 0), -0.25) < 5 and z_of_mean(u * np.roll(u, 1, 1), -1.0) < 5


def test_noise_has_no_ghosts_to_exchange() -> None:
    """Reads across a periodic end see the number of the site there; behind a wall there is no noise."""
    for boundary, outside in (("periodic", None), ("neumann", 0.0)):
        with start({"dt(u)": "d(noise(), x)"}, dt=1.0, lattice=Lattice([9], boundary=boundary)) as simulation:
            xi = kicks(simulation, 1)
            right, left = np.roll(xi, -1), np.roll(xi, 1)
            if outside is not None:
                right[-1] = left[0] = outside
            np.testing.assert_allclose(simulation.run(steps=1)["u"], (right - left) / 2, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("integrator", "growth"),
    [("euler", 0.0), ("exponential_euler", 0.0), ("ssprk3", 0.5), ("rk4", 0.5), ("lsrk54", 0.5)],
)
def test_the_sense_of_noise_that_multiplies_a_field(integrator: str, growth: float) -> None:
    """dt(u) = s*u*noise(): the mean stays in the sense of Ito and grows as exp(s^2 t/2) in that of Stratonovich."""
    s, dt, steps = 0.5, 0.02, 50
    equation = {"dt(u)": "s*u*noise()"}
    with start(equation, integrator, dt, parameters={"s": s}, initial={"u": 1.0}, lattice=Lattice([200, 100])) as run:
        found = run.run(steps=steps)["u"]
    assert z_of_mean(found, math.exp(growth * s**2 * dt * steps)) < 4


@pytest.mark.parametrize("integrator", ["leapfrog", "kick_drift_kick"])
def test_a_random_force(integrator: str) -> None:
    """dtt(u) = noise(): the variance is t^3/3, with a deviation of second order that is known for each scheme."""
    dt, steps = 0.1, 6
    deviation = {"leapfrog": steps / 6, "kick_drift_kick": -steps / 12}[integrator]
    with start({"dtt(u)": "noise()"}, integrator, dt, lattice=Lattice([600, 500])) as simulation:
        u = simulation.run(steps=steps)["u"]
        assert z_of_mean(u) < 4
        assert z_of_variance(u, dt**3 * (steps**3 / 3 + deviation)) < 4


@pytest.mark.parametrize("integrator", ["leapfrog", "kick_drift_kick"])
def test_a_damped_oscillator_is_thermal(integrator: str) -> None:
    """dtt(u) = -w^2 u - g dt(u) + s noise(): in the long run <u^2> = s^2/(2 g w^2), equipartition."""
    equation = {"dtt(u)": "-9*u - 2*dt(u) + 1.5*noise()"}
    with start(equation, integrator, 0.02, lattice=Lattice([100, 100])) as simulation:
        u = simulation.run(steps=400)["u"]
        assert z_of_variance(u, 1.5**2 / (2 * 2 * 9)) < 4


def two_step_variance(z: float) -> float:
    """Stationary variance of BDF2 for u' = -u + noise(), z = dt: that of u(n) = a u(n-1) + b u(n-2) + c xi."""
    a, b, c = (4 / 3) / (1 + 2 * z / 3), -(1 / 3) / (1 + 2 * z / 3), 2 / 3 * math.sqrt(z) / (1 + 2 * z / 3)
    return (1 - b) * c**2 / ((1 + b) * ((1 - b) ** 2 - a**2))


@pytest.mark.parametrize(
    ("integrator", "variance"),
    [
        ("backward_euler", lambda z: 0.5 / (1 + z / 2)),
        ("crank_nicolson", lambda z: 0.5),
        ("implicit_midpoint", lambda z: 0.5),
        ("bdf2", two_step_variance),
    ],
)
@pytest.mark.parametrize("dt", [0.1, 1.5])
def test_implicit_schemes(integrator: str, variance: Callable[[float], float], dt: float) -> None:
    """dt(u) = -u + noise(): the stationary variance of each scheme; 1/2 at any step for those that are centred."""
    with start({"dt(u)": "-u + noise()"}, integrator, dt, lattice=Lattice([200, 100])) as simulation:
        u = simulation.run(steps=math.ceil(8 / dt))["u"]
        assert z_of_variance(u, variance(dt)) < 4


def test_the_stability_limit_is_that_of_the_mean() -> None:
    """Noise, also one that multiplies the field, leaves the limit as it is."""
    limits = []
    for noise in ("", " + 5*u*noise() + noise(2)"):
        with Simulation(Lattice(SHAPE), Model({"dt(u)": f"0.1*laplacian(u) - u{noise}"}), integrator="rk4") as run:
            limits.append(run.limit)
    assert limits[0] == limits[1] > 0


def sections(**changes: Any) -> dict[str, Any]:
    """A small case with noise."""
    return {
        "lattice": {"shape": [8, 6]},
        "model": {"fields": {"u": {}}, "equations": {"dt(u)": "laplacian(u) + 0.5*noise()"}},
        "run": {"steps": 2, "integrator": "euler"},
        **changes,
    }


def walls(value: str) -> dict[str, Any]:
    return {"shape": [8, 6], "boundary": {"x": {"type": "dirichlet", "value": value}, "y": "periodic"}}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"initial": {"u": "0.1*noise()"}}, "initial.u"),
        ({"lattice": walls("noise()")}, "boundary"),
        ({"diagnostics": {"quantities": {"q": {"max": "u*noise()"}}}}, "diagnostics.quantities.q"),
    ],
)
def test_other_texts_may_not_have_noise(changes: dict[str, Any], where: str) -> None:
    """Noise belongs to a step, so nothing outside the equations has a value of it; the message says so."""
    with pytest.raises(ConfigError, match="only occur on the right-hand side") as caught:
        make_case(from_mapping(sections(**changes)))
    assert any(where in problem.where for problem in caught.value.problems)


def test_schemes_that_cannot_take_it_say_why() -> None:
    """An adaptive pair repeats steps; a scheme that centres damping or is implicit cannot divide by noise."""
    for integrator in ("bs32", "imex_ark3"):
        with pytest.raises(ConfigError, match=r"run\.integrator.*Brownian bridge"):
            make_case(from_mapping(sections(run={"steps": 2, "integrator": integrator})))
    model = {"fields": {"u": {}}, "equations": {"dt(u)": "laplacian(u) + u*noise()"}}
    for integrator in ("backward_euler", "crank_nicolson", "bdf2", "implicit_midpoint"):
        with pytest.raises(ConfigError, match=r"divide by the noise\(\) that multiplies a field"):
            make_case(from_mapping(sections(model=model, run={"steps": 2, "integrator": integrator, "dt": 0.1})))
    model = {"fields": {"u": {}}, "equations": {"dtt(u)": "laplacian(u) - noise()*dt(u)"}}
    for integrator in ("leapfrog", "kick_drift_kick"):
        with pytest.raises(ConfigError, match="multiplied by noise"):
            make_case(from_mapping(sections(model=model, run={"steps": 2, "integrator": integrator, "dt": 0.1})))
    make_case(from_mapping(sections(model=model, run={"steps": 2, "integrator": "rk4", "dt": 0.1})))


def test_memory_and_inspect_name_it() -> None:
    """The register of a noise is in the budget and in what `hpcsim inspect` shows."""
    case = make_case(from_mapping(sections()))
    need = predict(case, case_layout(case, 1), process=0)
    rows = {row.owner: row for row in need.rows}
    assert rows["noise:1"].nbytes == rows["u"].nbytes and rows["noise:1"].pooled == rows["u"].pooled
    text = describe(case, ["equation", "nest"])
    assert "dt(u) = d(u, x, 2) + d(u, y, 2) + 0.5*noise(1)" in text
    assert "before the step: 8 B\n  for every site: noise:1 = normal number of (seed, stream, site, step)" in text
    assert "a step: 32 B" in text
    with Context.serial() as context, build(from_mapping(sections()), context) as simulation:
        assert simulation.program.bytes_per_cell_step == 32
        assert "noise:1" not in simulation.saved_registers()


def test_warmup_compiles_it(tmp_path: Path) -> None:
    """A warmed-up case compiles nothing when it runs."""
    case = tmp_path / "case.toml"
    case.write_text(
        '[lattice]\nshape = [8, 6]\n[model.fields]\nu = {}\n[model.equations]\n"dt(u)" = "noise() - u"\n'
        '[run]\nsteps = 2\nintegrator = "euler"\n'
    )
    run = (
        "from hpcsim.comm.context import Context\nfrom hpcsim.config.load import load\n"
        "from hpcsim.native.function import compilations\nfrom hpcsim.simulation.build import build\n"
        f"build(load({str(case)!r}), Context.serial()).run(steps=2)\nprint(compilations())"
    )
    environment = {**os.environ, "HPCSIM_CACHE_DIR": str(tmp_path / "cache")}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    python("-m", "hpcsim", "warmup", str(case))
    assert python("-c", run).split() == ["0"]
