"""ENG-05: every registered condition continues the functions that fulfil it, in 1 to 4 dimensions, corners included."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.boundary import BOUNDARIES
from hpcsim.fields.spec import FieldSpec
from tests.unit.boundary.setup import Bench, bounded

AXES = "xyzw"
SLOPES = (0.7, -1.1, 0.4, 2.0)


def linear_text(ndim):
    return "2 + 3*t" + "".join(f" + ({SLOPES[axis]})*{AXES[axis]}" for axis in range(ndim))


def linear(t):
    return lambda _, where: 2 + 3 * t + sum(g * x for g, x in zip(SLOPES, where, strict=False))


def sides(domain, make):
    """A field table with one condition per end, by the sign of the outward normal."""
    ends = [(axis, side) for axis in range(domain.ndim) for side in (0, 1)]
    return {f"{AXES[axis]}_{('lower', 'upper')[side]}": make(axis, 2 * side - 1) for axis, side in ends}


def waves(function):
    """A product of standing waves between the walls."""

    def value(domain):
        def of(_, where):
            factors = [
                function(math.pi * (axis + 1) * (x - low) / (high - low))
                for axis, (x, low, high) in enumerate(zip(where, domain.lower, domain.upper, strict=True))
            ]
            return np.prod(factors, axis=0)

        return of

    return value


def dirichlet(domain):
    return sides(domain, lambda axis, sign: {"type": "dirichlet", "value": linear_text(domain.ndim)}), linear(0.5)


def neumann(domain):
    return sides(domain, lambda axis, sign: {"type": "neumann", "value": sign * SLOPES[axis]}), linear(0.5)


def robin(domain):
    def make(axis, sign):
        return {"type": "robin", "alpha": 2, "beta": "b", "gamma": f"2*({linear_text(domain.ndim)}) + {sign}*b*g{axis}"}

    return sides(domain, make), linear(0.5)


def constant(name):
    def case(domain):
        table = {"type": name, "width": 2} if name == "sponge" else name
        return {"all": table}, lambda _, where: 0.3 + 0 * where[0]

    return case


def periodic(domain):
    def wave(_, where):
        turns = zip(where, domain.lower, domain.upper, strict=True)
        return sum(np.cos(2 * math.pi * (x - low) / (high - low)) for x, low, high in turns)

    return {}, wave


CASES = {
    "dirichlet": [dirichlet],
    "neumann": [neumann],
    "robin": [robin],
    "outflow": [constant("outflow")],
    "sponge": [constant("sponge")],
    "periodic": [periodic],
    "reflecting": [
        lambda domain: ({"all": "reflecting"}, waves(np.cos)(domain)),
        lambda domain: ({"all": {"type": "reflecting", "parity": "odd"}}, waves(np.sin)(domain)),
    ],
}


def test_every_registered_condition_has_a_case():
    assert set(CASES) == set(BOUNDARIES)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("centring", ["cell", "vertex"])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("name", BOUNDARIES.names())
def test_exact_functions_are_continued_over_the_whole_shell(name, ndim, centring, dtype):
    ghost = 2 if ndim < 4 else 1
    domain = bounded(ndim, periodic=(name == "periodic",) * ndim)
    parameters = {"b": 0.3, **{f"g{axis}": SLOPES[axis] for axis in range(ndim)}}
    for case in CASES[name]:
        table, function = case(domain)
        base = "periodic" if name == "periodic" else "outflow"
        bench = Bench(
            domain, base, {"u": table} if table else {}, spec=FieldSpec("u", 1, centring, dtype), ghost=ghost,
            parameters=parameters,
        )  # fmt: skip
        bench.set(function).fill(0.5)
        exact = function(0, bench.coordinates(bench.layout.blocks[0], 0, ghost))
        shell = bench.shell()
        assert not np.isnan(shell).any()
        assert np.abs(shell - exact).max() <= (1e-13 if dtype == "float64" else 1e-5) * 30


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("centring", ["cell", "vertex"])
def test_without_corners_only_faces_are_filled(ndim, centring):
    domain = bounded(ndim)
    table, function = dirichlet(domain)
    bench = Bench(domain, "outflow", {"u": table}, spec=FieldSpec("u", 1, centring), ghost=2, corners=False)
    bench.set(function).fill(0.5)
    faces, shell = bench.faces(), bench.shell()
    exact = function(0, bench.coordinates(bench.layout.blocks[0], 0, 2))
    assert np.abs(shell - exact)[faces].max() < 1e-13 * 30
    assert np.isnan(shell[~faces]).all()


@pytest.mark.parametrize(
    ("centring", "count", "name", "wave"),
    [("vertex", 65, "dirichlet", np.sin), ("cell", 64, "neumann", np.cos), ("cell", 64, "reflecting", np.cos)],
)
@pytest.mark.parametrize("m", [1, 3, 17])
def test_standing_waves_are_eigenvectors(centring, count, name, wave, m):
    """ENG-05: -4/dx^2 sin^2(m pi dx/2) is the eigenvalue of mode m for Dirichlet (65 cells) and Neumann (64)."""
    from hpcsim.lattice.domain import Domain

    bench = Bench(Domain((count,), (0,), (1,), (False,)), name, spec=FieldSpec("u", 1, centring))
    bench.set(lambda _, where: wave(m * math.pi * where[0])).fill()
    u, dx = bench.shell(), 1 / count
    laplacian = (u[2:] - 2 * u[1:-1] + u[:-2]) / dx**2
    moved = slice(1, -1) if name == "dirichlet" else slice(None)
    eigenvalue = -((2 / dx * math.sin(m * math.pi * dx / 2)) ** 2)
    assert np.abs(laplacian - eigenvalue * u[1:-1])[moved].max() < 1e-9 * abs(eigenvalue)


@pytest.mark.parametrize("centring", ["cell", "vertex"])
def test_wall_values_are_wrapped_on_a_periodic_axis(centring):
    """A value that jumps at the end of a periodic axis is the neighbour's value in the ghosts beyond it."""
    domain = bounded(2, periodic=(False, True))
    bench = Bench(
        domain, {"x": {"type": "neumann", "value": "y"}}, spec=FieldSpec("u", 1, centring), ghost=2
    ).set(lambda _, where: 0 * where[0])  # fmt: skip
    bench.fill()
    shell, n = bench.shell(), domain.shape[1]
    assert np.array_equal(shell[:, :2], shell[:, n : n + 2]) and np.array_equal(shell[:, -2:], shell[:, 2:4])
    assert shell[0, 2:-2].std() > 0


def test_a_value_that_ends_at_the_rim_is_kept_in_the_corners():
    """sqrt(y) has no value below y = 0: the corner ghosts take the value at the rim instead of NaN."""
    from hpcsim.lattice.domain import Domain

    domain = Domain((4, 4), (0, 0), (1, 1), (False, False))
    bench = Bench(domain, "outflow", {"u": {"y": {"type": "dirichlet", "value": "sqrt(x)"}}})
    bench.set(lambda _, where: 0 * where[0]).fill()
    assert not np.isnan(bench.shell()).any()
    assert bench.shell()[1, 0] == 2 * math.sqrt(0.125) and bench.shell()[0, 0] == 0.0


@pytest.mark.parametrize("beta", [0, 0.5])
def test_robin_without_derivative_is_dirichlet(beta):
    """With beta = 0 the plane of a staggered axis is fixed to gamma/alpha, else it is left to the equation."""
    table = {"u": {"x": {"type": "robin", "alpha": 4, "beta": beta, "gamma": 2}}}
    bench = Bench(bounded(1), "outflow", table, spec=FieldSpec("u", 1, "vertex"))
    bench.set(lambda _, where: 1 + 0 * where[0]).fill()
    fixed = beta == 0
    assert bench.filler.fixed_planes("u") == ((fixed, fixed),)
    assert bench.shell()[1] == (0.5 if fixed else 1.0)
