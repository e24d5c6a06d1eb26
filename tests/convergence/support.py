"""What the convergence tests share: set-ups, discrete theory, and measurements that are the same on every rank.

Nothing is gathered: a measurement is an exact sum or a maximum over the sites of all ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.fields.random import normal
from hpcsim.fields.reduce import exact_sum

Array = NDArray[np.float64]
Profile = Callable[..., Any]
Start = Callable[..., Simulation]

ORDERS = (2, 4, 6, 8)


def klein_gordon(
    start: Start,
    shape: Sequence[int],
    spacing: float,
    *,
    order: int = 2,
    lower: Sequence[float] | None = None,
    boundary: Any = "periodic",
    initial: dict[str, Any] | None = None,
    walls: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    **run: Any,
) -> Simulation:
    """Klein-Gordon waves on a lattice of one spacing."""
    low = [0.0] * len(shape) if lower is None else list(lower)
    upper = [a + n * spacing for a, n in zip(low, shape, strict=True)]
    lattice = Lattice(shape, lower=low, upper=upper, boundary=boundary)
    model = Model(name="klein_gordon", parameters=parameters or {}, order=order)
    return start(lattice, model, initial=initial, boundary=walls, **run)


# ---- discrete theory


def second_symbol(order: int, theta: float) -> float:
    """Minus the symbol of the second derivative at k*dx = theta, in units of 1/dx**2.

    The partial sum of the series 2*arcsin(s)**2 = sum (2 s)**(2 j)/(j**2 binomial(2 j, j)) with s = sin(theta/2): the
    only symmetric stencil of 2*(order/2) + 1 points whose symbol agrees with theta**2 up to that order.
    """
    s = math.sin(theta / 2)
    return 2 * sum((2 * s) ** (2 * j) / (j**2 * math.comb(2 * j, j)) for j in range(1, order // 2 + 1))


def first_symbol(order: int, theta: float) -> float:
    """Symbol of the centred first derivative divided by i, in units of 1/dx."""
    s = math.sin(theta / 2)
    terms = (4**j * math.factorial(j) ** 2 * s ** (2 * j) / math.factorial(2 * j + 1) for j in range(order // 2))
    return math.sin(theta) * sum(terms)


def staggered_symbol(order: int, theta: float) -> float:
    """Symbol of the first derivative between staggered points divided by i, in units of 1/dx: 2*arcsin(s) cut off."""
    s = math.sin(theta / 2)
    return 2 * sum(math.comb(2 * j, j) * s ** (2 * j + 1) / (4**j * (2 * j + 1)) for j in range(order // 2))


def plane(waves: Sequence[float], points: Sequence[Any]) -> Any:
    """Phase k.x of a plane wave."""
    return sum(k * x for k, x in zip(waves, points, strict=True))


def stiffness(order: int, waves: Sequence[float], spacing: float, chi: float = 0.0) -> float:
    """Square of the semi-discrete frequency of a plane wave, c = 1."""
    return sum(second_symbol(order, k * spacing) for k in waves) / spacing**2 + chi**2


def leapfrog_frequency(square: float, dt: float) -> float:
    """Frequency of the leapfrog step for the semi-discrete frequency squared: sin(omega dt/2)**2 = dt**2 square/4."""
    return 2 / dt * math.asin(dt * math.sqrt(square) / 2)


def slope(spacings: Sequence[float], errors: Sequence[float]) -> float:
    """Observed order between the two finest of at least three grids (the last two)."""
    assert len(errors) >= 3
    return math.log(errors[-2] / errors[-1]) / math.log(spacings[-2] / spacings[-1])


def assert_order(spacings: Sequence[float], errors: Sequence[float], order: int) -> None:
    """The observed order is the theoretical one within 0.1, or 0.2 from the fourth order on."""
    found = slope(spacings, errors)
    assert abs(found - order) <= (0.1 if order < 4 else 0.2), f"order {found:.3f} instead of {order}; errors {errors}"


# ---- registers and measurements


def pieces(simulation: Simulation, name: str, component: int = 0) -> Iterator[tuple[Array, list[Array]]]:
    """Values and coordinates of the sites of each block of this rank; writing to the values changes the state."""
    state, domain = simulation.state, simulation.case.domain
    location = state[name].spec.locations(domain.ndim)[component]
    for block in simulation.setting.storage.blocks:
        values = state.interior(name, block, component)
        lo, hi = simulation.layout.owned_box(block, location)
        points = [
            domain.coordinate(axis, np.arange(a, b), bool(location[axis])).reshape(
                [-1 if other == axis else 1 for other in range(domain.ndim)]
            )
            for axis, (a, b) in enumerate(zip(lo, hi, strict=True))
        ]
        yield values, points


def put(simulation: Simulation, name: str, profile: Profile) -> None:
    """Fill a register by a function of the coordinates."""
    for values, points in pieces(simulation, name):
        values[...] = profile(*points)


def noise(seed: int) -> Profile:
    """Random values that depend on the place alone, the same for every cut of the lattice."""

    def values(*points: Array) -> Array:
        place = sum(x * 31.0**axis for axis, x in enumerate(points))
        sites = np.ascontiguousarray(np.round(64 * place).astype(np.int64)).astype(np.uint64)
        return normal(seed, 7, sites.ravel(), 0).reshape(sites.shape)

    return values


def put_levels(simulation: Simulation, level: Callable[..., Any], name: str = "E") -> None:
    """Fill both time levels of leapfrog by a function of the coordinates and the time."""
    t, dt = simulation.time, simulation.dt
    put(simulation, name, lambda *points: level(*points, t))
    put(simulation, f"{name}@prev", lambda *points: level(*points, t - dt))


def put_at_rest(simulation: Simulation, profile: Profile, name: str = "E") -> None:
    """Fill a field by a function of the coordinates and let leapfrog start with no rate."""
    put(simulation, name, profile)
    # Until the start, the earlier level holds the initial rate.
    put(simulation, f"{name}@prev", lambda *points: 0.0)
    simulation.start()


def total(simulation: Simulation, name: str, weight: Profile | None = None, power: int = 1) -> float:
    """Sum of weight * value**power over the sites of all ranks."""
    terms = [
        values**power * (1.0 if weight is None else weight(*points)) for values, points in pieces(simulation, name)
    ]
    return exact_sum(simulation.context, [np.ascontiguousarray(term) for term in terms])


def largest(simulation: Simulation, name: str, profile: Profile | None = None) -> float:
    """Largest modulus of value - profile over the sites of all ranks; NaN counts as infinite."""
    found = 0.0
    for values, points in pieces(simulation, name):
        difference = np.abs(values - (0.0 if profile is None else profile(*points)))
        found = max(found, float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max(initial=0.0)))
    return float(simulation.context.max(found))


def value_at(simulation: Simulation, name: str, *place: float) -> float:
    """Value at the site whose coordinates are given, to a thousandth of the spacing."""
    spacing = simulation.case.domain.spacing

    def here(*points: Array) -> Any:
        hit: Any = 1.0
        for x, at, dx in zip(points, place, spacing, strict=True):
            hit = hit * (np.abs(x - at) < 1e-3 * dx)
        return hit

    assert total(simulation, name, here, power=0) == 1.0
    return total(simulation, name, here)


def record(simulation: Simulation, steps: int, measure: Callable[[Simulation], Any]) -> Array:
    """A measurement at the start and after each of some steps."""
    found = [measure(simulation)]
    for _ in range(steps):
        simulation.run(steps=1)
        found.append(measure(simulation))
    return np.array(found)


def frequency(amplitudes: Array, dt: float) -> float:
    """Frequency of a series that obeys a(n+1) + a(n-1) = 2 cos(omega dt) a(n), by least squares."""
    # 2 - 2 cos(theta) = 4 sin(theta/2)**2 keeps its digits when theta is small.
    middle = amplitudes[1:-1]
    defect = float(np.dot(2 * middle - amplitudes[2:] - amplitudes[:-2], middle) / np.dot(middle, middle))
    return 2 / dt * math.asin(math.sqrt(defect) / 2)


def mode_frequency(simulation: Simulation, weight: Profile, steps: int, name: str = "E") -> float:
    """Measured frequency of the part of a field along a weight."""
    return frequency(record(simulation, steps, lambda s: total(s, name, weight)), simulation.dt)
