"""The model entanglement_density: diffusion, decay and noise, mode by mode (QG-01, QG-02)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError
from tests.convergence.support import second_symbol


def density(start: Any, shape: Sequence[int], spacing: float = 1.0, **options: Any) -> Simulation:
    """The model on a periodic lattice."""
    parameters, order = options.pop("parameters"), options.pop("order", 2)
    model = Model(name="entanglement_density", parameters=parameters, order=order)
    return start(Lattice(shape, upper=[n * spacing for n in shape]), model, **options)


def rates(shape: Sequence[int], spacing: float, D: float, gamma: float, order: int = 2) -> np.ndarray:
    """Decay rate of every discrete Fourier mode."""
    axes = [[second_symbol(order, 2 * math.pi * m / n) / spacing**2 for m in range(n)] for n in shape]
    return gamma + D * sum(np.meshgrid(*axes, indexing="ij"))


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("integrator", ["rk4", "ssprk3", "lsrk54"])
def test_qg_01_mode_factor(start, integrator: str, order: int) -> None:
    """QG-01: a mode decays by exp(-(D k^2 + gamma) t), with the symbol of the difference to 1e-10."""
    n, D, gamma, time = 24, 0.3, 0.7, 0.5
    modes = (2, 3)
    initial = {"rho": "cos(2*pi*2*x/24)*cos(2*pi*3*y/24)"}
    run = density(
        start, [n, n], parameters={"D": D, "gamma": gamma}, order=order, initial=initial, integrator=integrator,
        dt=time / 400,
    )  # fmt: skip
    first = run["rho"].copy()
    run.run(steps=400)
    factor = math.exp(-rates([n, n], 1.0, D, gamma, order)[modes] * time)
    assert np.abs(run["rho"] - factor * first).max() <= 1e-10


def test_qg_01_order_two_in_space(start) -> None:
    """QG-01: against the continuous k the error falls with the square of the spacing."""
    D, gamma, time = 0.05, 0.3, 0.4
    errors = []
    for n in (16, 32, 64):
        run = density(
            start, [n], 1.0 / n, parameters={"D": D, "gamma": gamma}, initial={"rho": "sin(2*pi*x)"},
            integrator="rk4", dt=time / 1000,
        )  # fmt: skip
        first = run["rho"].copy()
        run.run(steps=1000)
        factor = math.exp(-(D * (2 * math.pi) ** 2 + gamma) * time)
        errors.append(np.abs(run["rho"] - factor * first).max())
    slopes = [math.log2(a / b) for a, b in zip(errors[:-1], errors[1:], strict=True)]
    assert abs(slopes[-1] - 2.0) < 0.02


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("steps", [1, 50])
def test_qg_01_exponential_integrator_is_exact_in_time(start, order: int, steps: int) -> None:
    """QG-01: exponential_modes has the mode factor at every step size, to 1e-10 and better."""
    n, D, gamma, time = 24, 0.3, 0.7, 5.0
    initial = {"rho": "cos(2*pi*2*x/24)*cos(2*pi*3*y/24) + 2*cos(2*pi*x/24)"}
    run = density(
        start, [n, n], parameters={"D": D, "gamma": gamma}, order=order, initial=initial,
        integrator="exponential_modes", dt=time / steps,
    )  # fmt: skip
    x = (np.arange(n) + 0.5) * 2 * math.pi / n
    rate = rates([n, n], 1.0, D, gamma, order)
    wanted = np.cos(2 * x)[:, None] * np.cos(3 * x) * math.exp(-rate[2, 3] * time)
    wanted += 2 * np.cos(x)[:, None] * math.exp(-rate[1, 0] * time)
    assert np.abs(run.run(steps=steps)["rho"] - wanted).max() <= 1e-13


def test_qg_01_exponential_integrator_is_of_order_two_in_space(start) -> None:
    """QG-01: one step of any length leaves the error of the differences alone."""
    D, gamma, time = 0.05, 0.3, 0.4
    errors = []
    for n in (16, 32, 64, 128):
        run = density(
            start, [n], 1.0 / n, parameters={"D": D, "gamma": gamma}, initial={"rho": "sin(2*pi*x)"},
            integrator="exponential_modes", dt=time,
        )  # fmt: skip
        first = run["rho"].copy()
        factor = math.exp(-(D * (2 * math.pi) ** 2 + gamma) * time)
        errors.append(np.abs(run.run(steps=1)["rho"] - factor * first).max())
    assert abs(math.log2(errors[-2] / errors[-1]) - 2.0) < 0.01


def test_qg_01_a_positive_coefficient_smooths(start) -> None:
    """QG-01: diffusion lowers the peak, raises the trough and keeps the content; a negative D is refused."""
    run = density(start, [20, 20], parameters={"D": 0.5}, initial={"rho": {"kind": "random", "mean": 1.0}})
    first = run["rho"].copy()
    for _ in range(5):
        low, high, roughness = run["rho"].min(), run["rho"].max(), run["rho"].var()
        run.run(steps=3)
        rho = run["rho"]
        assert low < rho.min() and rho.max() < high and rho.var() < roughness
    assert abs(rho.sum() - first.sum()) < 1e-11 * first.size
    with pytest.raises(ConfigError, match="backward heat equation"):
        density(start, [8], parameters={"D": -0.1})


def bins_of(rate: np.ndarray, count: int) -> list[np.ndarray]:
    """Modes of equal rate together, in groups of about the same size from slow to fast."""
    order = np.argsort(rate.ravel(), kind="stable")
    return np.array_split(order, count)


def z_scores(power: np.ndarray, wanted: np.ndarray, groups: list[np.ndarray]) -> list[float]:
    """Deviation of the mean square of modes from theory in standard errors, group by group.

    The unitary transform of n real values has n independent real numbers, so that a group of m modes counts as m.
    """
    ratio = power.reshape(len(power), -1) / wanted.ravel()
    return [float((ratio[:, g].mean() - 1.0) * math.sqrt(ratio[:, g].size / 2)) for g in groups]


SHAPE, D, GAMMA, SIGMA, DT, APART = (32, 24), 1.0, 1.0, 0.3, 0.05, 80


def samples(start: Any, integrator: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Unitary modes at times that are far apart, and one step after each of them."""
    parameters = {"D": D, "gamma": GAMMA, "sigma": SIGMA}
    run = density(start, SHAPE, parameters=parameters, integrator=integrator, dt=DT, seed=2024)
    run.run(steps=300)
    at, after = [], []
    for _ in range(count):
        at.append(np.fft.fftn(run["rho"], norm="ortho"))
        run.run(steps=1)
        after.append(np.fft.fftn(run["rho"], norm="ortho"))
        run.run(steps=APART)
    return np.array(at), np.array(after)


def stability(z: np.ndarray, integrator: str) -> np.ndarray:
    """Factor of a mode in one step without noise, z = -rate*dt."""
    return 1.0 + z if integrator == "euler" else 1.0 + z + z**2 / 2 + z**3 / 6 + z**4 / 24


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
def test_qg_02_every_mode_is_an_ornstein_uhlenbeck_process(start, integrator: str) -> None:
    """QG-02: stationary variance and decay of correlations of all modes, z <= 4 against the theory of the scheme.

    A step multiplies a mode by R(z) and adds sigma*sqrt(dt)*(R(z) - 1)/z times a normal number, z = -rate*dt. For
    Euler the variance is sigma^2/(2 rate (1 - rate dt/2)).
    """
    rate = rates(SHAPE, 1.0, D, GAMMA)
    z = -rate * DT
    factor = stability(z, integrator)
    kick = SIGMA**2 * DT * ((factor - 1.0) / z) ** 2
    variance = kick / (1.0 - factor**2)
    if integrator == "euler":
        np.testing.assert_allclose(variance, SIGMA**2 / (2 * rate * (1 - rate * DT / 2)), rtol=1e-12)
    at, after = samples(start, integrator, 40)
    groups = bins_of(rate, 8)
    assert max(map(abs, z_scores(np.abs(at) ** 2, variance, groups))) <= 4
    # What a step adds has the variance of its kick and is independent of what was there.
    fresh = after - factor * at
    assert max(map(abs, z_scores(np.abs(fresh) ** 2, kick * np.ones(SHAPE), groups))) <= 4
    cross = (fresh * at.conj()).real / np.sqrt(kick * variance)
    flat = cross.reshape(len(cross), -1)
    assert max(abs(flat[:, g].mean()) * math.sqrt(flat[:, g].size) for g in groups) <= 4


def test_qg_02_the_limit_of_small_steps(start) -> None:
    """QG-02: at a small step the variance is sigma^2/(2 (D k^2 + gamma)), and theory with a wrong sigma is seen."""
    parameters = {"D": 0.5, "gamma": 2.0, "sigma": SIGMA}
    run = density(start, [96, 80], 2.0, parameters=parameters, integrator="rk4", dt=0.02, seed=5)
    run.run(steps=250)
    wanted = SIGMA**2 / (2 * rates([96, 80], 2.0, 0.5, 2.0))
    power = np.abs(np.fft.fftn(run["rho"], norm="ortho"))[None] ** 2
    groups = bins_of(wanted, 6)
    assert max(map(abs, z_scores(power, wanted, groups))) <= 4
    assert max(map(abs, z_scores(power, 1.2 * wanted, groups))) > 4


@pytest.mark.parametrize("dt", [0.05, 1.0, 30.0])
def test_qg_02_exact_variance_at_every_step_size(start, dt: float) -> None:
    """QG-02: with exponential_modes every mode has the variance sigma^2/(2 (D k^2 + gamma)), however large the step."""
    parameters = {"D": D, "gamma": GAMMA, "sigma": SIGMA}
    run = density(start, [96, 80], parameters=parameters, integrator="exponential_modes", dt=dt, seed=11)
    run.run(steps=max(3, round(8 / dt)))
    rate = rates([96, 80], 1.0, D, GAMMA)
    wanted, groups = SIGMA**2 / (2 * rate), bins_of(rate, 8)
    at = np.fft.fftn(run["rho"], norm="ortho")[None]
    assert max(map(abs, z_scores(np.abs(at) ** 2, wanted, groups))) <= 4
    assert max(map(abs, z_scores(np.abs(at) ** 2, 1.2 * wanted, groups))) > 4
    # What a step adds is independent of what was there, with the variance that is missing.
    fresh = np.fft.fftn(run.run(steps=1)["rho"], norm="ortho")[None] - np.exp(-rate * dt) * at
    kick = wanted * -np.expm1(-2 * rate * dt)
    assert max(map(abs, z_scores(np.abs(fresh) ** 2, kick, groups))) <= 4
    cross = ((fresh * at.conj()).real / np.sqrt(kick * wanted)).ravel()
    assert max(abs(cross[g].mean()) * math.sqrt(cross[g].size) for g in groups) <= 4


@pytest.mark.parametrize("dt", [0.1, 20.0])
def test_qg_02_exact_variance_between_walls(start, dt: float) -> None:
    """QG-02: the same in the sine and cosine modes of a box."""
    from scipy.fft import dct, dst

    shape = (64, 60)
    lattice = Lattice(shape, upper=[float(n) for n in shape], boundary={"x": "dirichlet", "y": "neumann"})
    model = Model(name="entanglement_density", parameters={"D": D, "gamma": GAMMA, "sigma": SIGMA})
    run = start(lattice, model, integrator="exponential_modes", dt=dt, seed=3)
    rho = run.run(steps=max(3, round(8 / dt)))["rho"]
    angles = np.pi * np.arange(1, 65)[:, None] / 64, np.pi * np.arange(60) / 60
    rate = GAMMA + D * sum(4 * np.sin(angle / 2) ** 2 for angle in angles)
    modes = dct(dst(rho, 2, axis=0, norm="ortho"), 2, axis=1, norm="ortho")
    groups = bins_of(rate, 6)
    assert max(map(abs, z_scores(modes[None] ** 2, SIGMA**2 / (2 * rate), groups))) <= 4
    assert max(map(abs, z_scores(modes[None] ** 2, 1.25 * SIGMA**2 / (2 * rate), groups))) > 4


def test_qg_02_brownian_motion_without_drift(start) -> None:
    """QG-02: without diffusion and decay every site moves by itself, with variance sigma^2 t and normal law."""
    from scipy import stats

    run = density(start, [100, 100], parameters={"D": 0.0, "sigma": 2.0}, integrator="euler", dt=0.01, seed=1)
    assert run.case.model.equations == {"dt(rho)": "sigma*noise()"}
    early = run.run(steps=20)["rho"].copy()
    late = run.run(steps=30)["rho"]
    assert abs(np.mean(late**2) / (4.0 * 0.5) - 1.0) * math.sqrt(late.size / 2) <= 4
    assert abs(np.mean(early * (late - early)) / (4.0 * math.sqrt(0.2 * 0.3))) * math.sqrt(late.size) <= 4
    assert stats.kstest(late.ravel() / math.sqrt(2.0), "norm").pvalue > 1e-4


@pytest.mark.parametrize(
    ("parameters", "right"),
    [
        ({"D": 0.0}, "0"),
        ({"gamma": 0.5}, "D*laplacian(rho) - gamma*rho"),
        ({"D": 0.0, "gamma": 0.5, "sigma": 0.1}, "-gamma*rho + sigma*noise()"),
        ({"D": "1 + x", "sigma": "0.1*x"}, "div(D*grad(rho)) + sigma*noise()"),
    ],
)
def test_zero_terms_are_left_out(parameters: dict[str, Any], right: str) -> None:
    """QG-01, QG-02: what is zero costs nothing; a coefficient that varies stays inside the divergence."""
    from hpcsim.models.build import build_model

    model = build_model("entanglement_density", 2, parameters=parameters)
    assert model.equations == {"dt(rho)": right}
    assert {e.field for e in model.system(2).equations} == {"rho"}
