"""Steps in the modes of the lattice against matrix exponentials of the same differences (ENG-08, QG-01, QG-02)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError
from hpcsim.solvers.propagate import _phi1

Array = np.ndarray
PARAMETERS = {"D": 0.3, "k": 0.2, "c": 0.7, "s": 0.5}
DECAY = "D*laplacian(u) - k*u"
DRIFT = "D*laplacian(u) - k*u - c*d(u, x) + c*d(u, y, 2)/3"
SHAPES = {1: (9,), 2: (6, 7), 3: (5, 4, 6), 4: (4, 3, 5, 4)}
# Two ends per axis; the axes of a lattice take them in turn.
WALLS: dict[str, list[Any]] = {
    "periodic": ["periodic"],
    "dirichlet": ["dirichlet"],
    "neumann": ["neumann"],
    "mixed": [["dirichlet", "neumann"], "periodic", ["neumann", "dirichlet"]],
    "odd": [{"type": "reflecting", "parity": "odd"}, "reflecting"],
}


def made(
    right: str,
    shape: Sequence[int],
    walls: Sequence[Any] = ("periodic",),
    *,
    integrator: str = "exponential_modes",
    centring: str = "cell",
    order: int = 2,
    **run: Any,
) -> Simulation:
    """A field u on one block, spacing about 1."""
    boundary = {axis: walls[n % len(walls)] for n, axis in enumerate("xyzw"[: len(shape)])}
    lattice = Lattice(list(shape), upper=[1.1 * n for n in shape], boundary=boundary)
    model = Model({"dt(u)": right}, fields={"u": {"centring": centring}}, parameters=PARAMETERS, order=order)
    run = {"dt": 1.0, "backend": "numpy", "allow_unstable": True, **run}
    return Simulation(lattice, model, integrator=integrator, **run)


class Trial:
    """A simulation as a function of its unknowns: sites on walls that are fixed are none."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        domain = simulation.case.domain
        (location,) = simulation.state["u"].spec.locations(domain.ndim)
        block = simulation.setting.storage.blocks[0]
        fixed = simulation.setting.ghosts.fixed_planes("u", 0)
        shape = [b - a for a, b in zip(*simulation.layout.owned_box(block, location), strict=True)]
        self.inside = tuple(slice(a, n - b) for (a, b), n in zip(fixed, shape, strict=True))

        self.noises = [register.name for register in simulation.state if register.name.startswith("noise")]

    def values(self, register: str = "u") -> Array:
        """View of the unknowns."""
        block = self.simulation.setting.storage.blocks[0]
        view: Array = self.simulation.state.interior(register, block, 0)[self.inside]
        return view

    def step(self, start: Array, normal: dict[str, Array] | None = None) -> Array:
        """The unknowns a step later, without noise, or with the given numbers for it."""
        run = self.simulation
        self.values()[...] = start.reshape(self.values().shape)
        for register in self.noises:
            numbers = (normal or {}).get(register, np.zeros(start.size))
            self.values(register)[...] = numbers.reshape(self.values().shape)
        run.program.step(0.0, run.dt)
        run.program.accept(run.dt, run.dt)
        return self.values().copy().ravel()

    def matrix(self, of_noise: bool = False) -> Array:
        """What a step does to unit vectors of the unknowns, or of the noise."""
        size = self.values().size
        zero = np.zeros(size)
        units = np.eye(size)
        if of_noise:
            (register,) = self.noises
            return np.array([self.step(zero, {register: unit}) for unit in units]).T
        return np.array([self.step(unit) for unit in units]).T


def slope(right: str, *arguments: Any, **options: Any) -> Array:
    """Matrix of the right-hand side, by steps of forward Euler of size 1."""
    with made(right, *arguments, integrator="euler", **options) as run:
        found = Trial(run).matrix()
    return found - np.eye(len(found))


CASES = [
    (ndim, walls, centring, order)
    for ndim in SHAPES
    for walls in WALLS
    for centring in ("cell", "vertex")
    for order in (2, 4)
    if ndim <= 2 or (centring, order) in (("cell", 2), ("vertex", 4))
]


@pytest.mark.parametrize(("ndim", "walls", "centring", "order"), CASES)
def test_a_step_is_the_exponential(ndim: int, walls: str, centring: str, order: int) -> None:
    """QG-01: a step of any size is exact for the differences at hand, d = 1..4, walls included."""
    place = (SHAPES[ndim], WALLS[walls])
    exact = slope(DECAY, *place, centring=centring, order=order)
    start = np.random.default_rng(1).standard_normal(len(exact))
    for dt in (0.1, 30.0):
        with made(DECAY, *place, centring=centring, order=order, dt=dt) as run:
            found = Trial(run).step(start)
        assert np.abs(found - expm(dt * exact) @ start).max() <= 2e-13 * np.abs(start).max()


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (6, 9, 4)])
def test_first_derivatives_on_periodic_axes(shape: tuple[int, ...], order: int) -> None:
    """ENG-08: complex eigenvalues, even and odd numbers of sites."""
    exact = slope(DRIFT, shape, order=order)
    start = np.random.default_rng(2).standard_normal(len(exact))
    with made(DRIFT, shape, order=order, dt=3.0) as run:
        found = Trial(run).step(start)
    assert np.abs(found - expm(3.0 * exact) @ start).max() <= 1e-13 * np.abs(start).max()


def test_first_derivatives_beside_walls() -> None:
    """ENG-08: along a periodic axis, between walls of the other one; mixed derivatives on a periodic lattice."""
    for right, walls in (("laplacian(u)/9 - c*d(u, y)", ["dirichlet", "periodic"]),
                         ("laplacian(u) + d(d(u, x), y)/2", ["periodic"])):  # fmt: skip
        exact = slope(right, (6, 8), walls)
        start = np.random.default_rng(3).standard_normal(len(exact))
        with made(right, (6, 8), walls, dt=2.0) as run:
            found = Trial(run).step(start)
        assert np.abs(found - expm(2.0 * exact) @ start).max() <= 1e-13 * np.abs(start).max()


@pytest.mark.parametrize(
    ("right", "shape", "walls", "centring"),
    [
        (DECAY, (9,), "periodic", "cell"),
        (DECAY, (5, 6), "mixed", "cell"),
        (DECAY, (5, 6), "neumann", "cell"),
        (DECAY, (5, 6), "dirichlet", "vertex"),
        (DECAY, (3, 4, 2), "odd", "cell"),
        (DRIFT, (5, 6), "periodic", "cell"),
        ("D*laplacian(u)", (6, 4), "neumann", "cell"),
    ],
)
@pytest.mark.parametrize("dt", [0.05, 4.0])
def test_noise_has_the_exact_covariance(
    right: str, shape: tuple[int, ...], walls: str, centring: str, dt: float
) -> None:
    """QG-02: a step adds s^2 times the integral of exp(A t) exp(A' t) over dt, whatever dt is."""
    place = {"walls": WALLS[walls], "centring": centring}
    generator = slope(right, shape, **place)
    both = generator + generator.T
    with made(f"{right} + s*noise()", shape, dt=dt, **place) as run:
        trial = Trial(run)
        response, propagator = trial.matrix(of_noise=True), trial.matrix()
    rates, modes = np.linalg.eigh(both)
    gained = PARAMETERS["s"] ** 2 * dt * (modes * _phi1(rates * dt)) @ modes.T
    assert np.abs(response @ response.T - gained).max() <= 1e-12 * np.abs(gained).max()
    if np.all(rates < -1e-3):
        # The stationary variance of a mode of rate a is s^2/(2 a), to rounding.
        stationary = -(PARAMETERS["s"] ** 2) * np.linalg.inv(both)
        next_one = propagator @ stationary @ propagator.T + gained
        assert np.abs(next_one - stationary).max() <= 1e-12 * np.abs(stationary).max()


def test_two_noises_and_a_common_one() -> None:
    """QG-02: independent noises add their squares, two terms of one noise their amplitudes."""
    for right, squared in (("noise() + 2*noise(2)", 5.0), ("noise() + 2*noise()", 9.0), ("3*(u*0 + noise())", 9.0)):
        with made(f"-k*u + {right}", (6,), dt=0.7) as run:
            trial = Trial(run)
            total = sum(trial.step(np.zeros(6), {name: np.ones(6)}) ** 2 for name in trial.noises)
        assert np.allclose(total, squared * (1 - np.exp(-2 * 0.2 * 0.7)) / (2 * 0.2), rtol=1e-13)


def test_the_rest_counts_as_constant_during_a_step() -> None:
    """ENG-08: ETD1, u(n+1) = exp(A dt) u + dt phi1(A dt) N(u), with N at the start of the step."""
    linear, rest = "D*laplacian(u) - k*(u - 1)", "sin(x)*u**2 + t"
    exact = slope(DECAY, (7, 5), ["neumann", "periodic"])
    start = np.random.default_rng(4).standard_normal(len(exact))
    with made(f"{linear} + {rest}", (7, 5), ["neumann", "periodic"], dt=0.9, start_time=0.3) as run:
        found = Trial(run)
        x = (1.1 * (np.arange(7) + 0.5))[:, None] * np.ones(5)
        known = np.sin(x).ravel() * start**2 + PARAMETERS["k"]
        values = found.step(start)
    rates, modes = np.linalg.eigh(exact)
    after = (modes * np.exp(0.9 * rates)) @ modes.T @ start + 0.9 * (modes * _phi1(0.9 * rates)) @ modes.T @ known
    assert np.abs(values - after).max() <= 1e-13


def test_components_have_their_own_equations() -> None:
    """QG-01: components of a vector decay at their own rates, at their own places between walls."""
    model = Model(
        {"dt(V)": "vector(laplacian(V_x) - V_x/2, d(V_y, x, 2)/3 - V_x/5)", "dt(n)": "-n"},
        fields={"V": {"centring": "face", "components": 2}, "n": {}},
    )
    ends: list[list[list[Array]]] = []
    for integrator, dt, steps in (("exponential_modes", 1.0, 1), ("rk4", 1e-3, 1000)):
        with Simulation(
            Lattice([6, 5], boundary={"x": "reflecting", "y": "periodic"}), model, integrator=integrator, dt=dt,
            initial={"V": [0.0, "cos(pi*x/6)*sin(2*pi*y/5)"], "n": "x*y"}, backend="numpy",
        ) as run:  # fmt: skip
            run.run(steps=steps)
            ends.append([[part.copy() for part in run.values(name)[0]] for name in ("V", "n")])
    for mine, reference in zip(sum(ends[0], []), sum(ends[1], []), strict=True):
        assert np.abs(mine - reference).max() <= 1e-11


def test_single_precision_fields() -> None:
    """QG-01: fields of float32 are transformed in double precision and rounded once a step."""
    start = np.random.default_rng(5).standard_normal(48).astype(np.float32)
    exact = slope(DECAY, (6, 8))
    with made(DECAY, (6, 8), dtype="float32", dt=2.0) as run:
        found = Trial(run).step(start)
        assert found.dtype == np.float32
    difference = found - expm(2.0 * exact) @ start.astype(float)
    assert np.abs(difference).max() <= 6e-8 * np.abs(found).max()


def test_the_quotient_does_not_cancel() -> None:
    """ENG-08: phi1 keeps its digits for small real, complex and vanishing arguments."""
    turn = np.exp(1j * np.linspace(0, 2 * np.pi, 9))
    z = (np.logspace(-9, -0.5, 60)[:, None] * turn).ravel()
    series = sum(z**n / math.factorial(n + 1) for n in range(15))
    assert np.abs(_phi1(z) / series - 1.0).max() <= 2e-15
    assert _phi1(np.array([0.0, -1e300])).tolist() == [1.0, 1e-300]


@pytest.mark.parametrize(
    ("walls", "right", "options", "words"),
    [
        ({"type": "dirichlet", "value": 1.0}, DECAY, {}, "value or slope of this wall is not zero"),
        ({"type": "neumann", "value": "t"}, DECAY, {}, "value or slope of this wall is not zero"),
        ({"type": "robin", "alpha": 1, "beta": 1, "gamma": 0}, DECAY, {}, "no mirror images"),
        ("outflow", DECAY, {"order": 4}, "no mirror images"),
        ("neumann", "laplacian(u) - c*d(u, x)", {}, "derivatives of odd order"),
        ("dirichlet", "laplacian(u) + d(d(u, x), y)", {}, "derivatives of odd order, or mixed ones"),
        ("neumann", f"{DECAY} + s*noise()", {"centring": "vertex"}, "not independent from mode to mode"),
    ],
)
def test_refusals_name_the_wall(walls: Any, right: str, options: dict[str, Any], words: str) -> None:
    """QG-01: what modes cannot do is refused before the run, at the key of the wall."""
    with pytest.raises(ConfigError, match=words) as caught:
        made(right, (8, 8), [walls, "periodic"], **options)
    places = [problem.where for problem in caught.value.problems]
    assert places and all(place.startswith("lattice.boundary.x") for place in places)
    assert "crank_nicolson" in str(caught.value)


def test_walls_that_need_no_modes_of_their_own() -> None:
    """QG-01: outflow and a Robin wall without its value part are mirrors for next neighbours, so they are taken."""
    for wall in ("outflow", {"type": "robin", "alpha": 0, "beta": 2, "gamma": 0}):
        exact = slope(DECAY, (7,), [wall])
        with made(DECAY, (7,), [wall], dt=0.8) as run:
            assert np.abs(Trial(run).matrix() - expm(0.8 * exact)).max() <= 1e-13
