"""Initial conditions: values against closed forms, the same bits for every cut, and refusals in words."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.fields.random import normal, stream_id, uniform
from hpcsim.fields.sites import site_numbers
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import component_locations, owned_extent
from hpcsim.models.initial import InitialCondition, resolve_initial
from hpcsim.models.initials import INITIAL
from hpcsim.models.sampling import GROUP, SLAB_SITES

LINE = Domain((64,), (-1.0,), (7.0,), (True,))
PLANE = Domain((23, 37), (0.0, -2.0), (4.6, 5.4), (True, False))
SPACE = Domain((9, 14, 33), (0.0, 0.0, -1.0), (1.0, 2.0, 1.0), (True, True, False))
HYPER = Domain((5, 4, 6, 19), (0.0,) * 4, (1.0,) * 4, (True,) * 4)

START: dict[str, Any] = {
    "expression": {
        "kind": "expression",
        "value": "exp(-x**2)*sin(1e8*x) + atan2(x, 3)**2 + abs(x + 0.1)**1.7 + where(x < 0.4, tanh(x), log(2 + x))",
    },
    "gaussian": {"kind": "gaussian", "center": 0.3, "width": 0.4, "amplitude": 2.0, "background": -1.0},
    "plane_wave": {"kind": "plane_wave", "mode": 3, "amplitude": 0.7, "phase": 0.2},
    "packet": {"kind": "packet", "center": 0.3, "width": 0.4, "mode": 2, "phase": 0.5},
    "random": {"kind": "random", "distribution": "normal", "mean": 1.0, "amplitude": 0.1},
}


def start(
    spec: object, domain: Domain, centring: str = "cell", components: int = 1, **setting: Any
) -> InitialCondition:
    locations = component_locations(centring, domain.ndim, components)
    return resolve_initial(spec, "initial.E", domain, locations, **setting)


def whole(condition: InitialCondition, domain: Domain, location: tuple[int, ...] | None = None, component: int = 0):
    place = location or (0,) * domain.ndim
    return condition.values(domain, (0,) * domain.ndim, owned_extent(domain, place), place, component)


def whole_rate(condition: InitialCondition, domain: Domain):
    place = (0,) * domain.ndim
    return condition.rate(domain, place, owned_extent(domain, place), place)


def points(domain: Domain, axis: int = 0, staggered: bool = False) -> np.ndarray:
    n = domain.shape[axis] + (staggered and not domain.periodic[axis])
    return domain.coordinate(axis, np.arange(n), staggered)


def per_axis(spec: dict[str, Any], ndim: int) -> dict[str, Any]:
    """The table of one axis repeated for all."""
    return {k: [v] * ndim if k in ("center", "mode", "wave_vector") else v for k, v in spec.items()}


def cuts(extent: tuple[int, ...], rng: np.random.Generator) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Boxes of a random grid of cuts."""
    edges = []
    for n in extent:
        inner = rng.choice(np.arange(1, n), size=min(n - 1, int(rng.integers(0, 4))), replace=False)
        edges.append([0, *sorted(int(i) for i in inner), n])
    ranges = [list(itertools.pairwise(edge)) for edge in edges]
    return [tuple(zip(*box, strict=True)) for box in itertools.product(*ranges)]  # type: ignore[misc]


def test_every_kind_is_tried() -> None:
    assert {*START, "file"} == set(INITIAL.names())
    assert all(INITIAL.summary(kind) for kind in INITIAL)


# -- the same bits for every cut


@pytest.mark.parametrize("domain", [LINE, PLANE, SPACE, HYPER], ids=lambda d: f"d{d.ndim}")
@pytest.mark.parametrize("kind", START)
@pytest.mark.parametrize("staggered", [0, 1])
def test_any_cut_gives_the_same_bits(kind: str, domain: Domain, staggered: int) -> None:
    """ENG-01: blocks start from the same bits whatever their boxes are, cell or vertex centred."""
    rng = np.random.default_rng(7)
    spec = per_axis(START[kind], domain.ndim)
    place = (staggered,) * domain.ndim
    centring = "vertex" if staggered else "cell"
    condition = start(spec, domain, centring, second_order=True, parameters={"c": 1.0, "chi": 0.5})
    extent = owned_extent(domain, place)
    for evaluate in (condition.values, condition.rate):
        expected = evaluate(domain, (0,) * domain.ndim, extent, place, 0)
        for _ in range(3):
            pieced = np.full(extent, np.nan)
            for lo, hi in cuts(extent, rng):
                box = tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))
                pieced[box] = evaluate(domain, lo, hi, place, 0)
            assert pieced.tobytes() == expected.tobytes()


def test_vector_loops_see_every_site_at_the_same_place() -> None:
    """ENG-01: a function whose vector loop treats its tail otherwise still gives one value per site."""
    seen: list[tuple[int, int]] = []
    condition = start("sin(x)", LINE)
    original = np.sin

    def watching(values: np.ndarray) -> np.ndarray:
        seen.append((round((values.flat[0] - LINE.coordinate(0, 0, False)) / LINE.spacing[0]), values.size))
        assert values.flags.c_contiguous
        return original(values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "sin", watching)
        condition.values(LINE, (5,), (37,), (0,))
    assert seen
    assert all(first % GROUP == 0 and size % GROUP == 0 for first, size in seen)


def test_a_large_box_is_evaluated_in_slabs() -> None:
    long = Domain((3 * SLAB_SITES + 5,), (0.0,), (1.0,), (True,))
    np.testing.assert_array_equal(whole(start("2*x", long), long), 2 * points(long))


# -- closed forms


def test_numbers_formulas_and_parameters() -> None:
    x, y = points(PLANE, 0)[:, None], points(PLANE, 1)[None, :]
    assert np.all(whole(start(0.5, PLANE), PLANE) == 0.5)
    model = {"a": 2.0, "chi": "a*x", "v": [1.0, "a"], "nonlinear": "E**2"}
    value = whole(start("chi + y*t + dot(v, vector(0, 1))", PLANE, parameters=model, start_time=3.0), PLANE)
    np.testing.assert_allclose(value, 2 * x + 3 * y + 2, rtol=1e-15)


def test_components() -> None:
    """A vector formula and a list give each component its own values; a scalar stands for all."""
    for spec in ("vector(x, 2*y)", ["x", "2*y"], {"kind": "expression", "value": ["x", "2*y"]}):
        condition = start(spec, PLANE, "face", 2)
        assert np.all(whole(condition, PLANE, (1, 0), 0)[:, 0] == points(PLANE, 0, True))
        assert np.all(whole(condition, PLANE, (0, 1), 1)[0] == 2 * points(PLANE, 1, True))
    scalar = start("x", PLANE, components=2)
    assert np.array_equal(whole(scalar, PLANE, component=0), whole(scalar, PLANE, component=1))


def test_gaussian_with_periodic_images() -> None:
    """The periodic Gaussian is the sum over all images; a bounded axis has none."""
    x, y = points(PLANE, 0), points(PLANE, 1)
    spec = {"kind": "gaussian", "center": [4.5, 5.0], "width": [0.9, 0.5], "amplitude": 2.0, "background": 1.0}
    across = sum(np.exp(-(((x - 4.5 - n * 4.6) / 0.9) ** 2) / 2) for n in range(-9, 10))
    along = np.exp(-(((y - 5.0) / 0.5) ** 2) / 2)
    np.testing.assert_allclose(whole(start(spec, PLANE), PLANE), 1 + 2 * np.outer(across, along), rtol=1e-14)
    alone = np.exp(-(((x - 4.5) / 0.9) ** 2) / 2)
    value = whole(start({**spec, "images": False}, PLANE), PLANE)
    np.testing.assert_allclose(value, 1 + 2 * np.outer(alone, along), rtol=1e-14)


def test_infinite_width_makes_an_axis_flat() -> None:
    spec = {"kind": "gaussian", "center": [1.0, 0.0], "width": [0.5, math.inf]}
    value = whole(start(spec, PLANE), PLANE)
    assert np.all(value == value[:, :1])
    assert value.max() > 0.9


def test_wide_periodic_gaussian_is_its_mean() -> None:
    """Poisson summation: a Gaussian much wider than the box is flat, sqrt(2 pi) width/length."""
    value = whole(start({"kind": "gaussian", "center": -0.5, "width": 20.0}, LINE), LINE)
    np.testing.assert_allclose(value, math.sqrt(2 * math.pi) * 20.0 / 8.0, rtol=1e-12)


def test_plane_wave_and_its_rate() -> None:
    """KG-03: the wave travels along k with the frequency of the dispersion relation, or with the one given."""
    x, k = points(LINE) + 1.0, 2 * math.pi * 3 / 8
    setting = {"second_order": True, "parameters": {"c": 2.0, "chi": 0.5}}
    spec = {"kind": "plane_wave", "mode": 3, "amplitude": 0.7, "phase": 0.2}
    condition = start(spec, LINE, **setting)
    omega = math.sqrt(4 * k * k + 0.25)
    np.testing.assert_allclose(whole(condition, LINE), 0.7 * np.cos(k * x + 0.2), atol=1e-14)
    np.testing.assert_allclose(whole_rate(condition, LINE), 0.7 * omega * np.sin(k * x + 0.2), atol=1e-13)
    given = start({**spec, "frequency": 1.25}, LINE, **setting)
    np.testing.assert_allclose(whole_rate(given, LINE), 0.7 * 1.25 * np.sin(k * x + 0.2), atol=1e-13)
    at_rest = start({**spec, "frequency": 0}, LINE, **setting)
    assert not whole_rate(at_rest, LINE).any()
    same = {"kind": "plane_wave", "wave_vector": [k], "amplitude": 0.7, "phase": 0.2}
    np.testing.assert_array_equal(whole(start(same, LINE), LINE), whole(condition, LINE))


def test_frequency_for_one_exact_discrete_wave() -> None:
    """KG-03: frequency = sin(omega dt)/dt starts leapfrog on the discrete wave, so its next level is exact."""
    grid, dt, chi = Domain((256,), (0.0,), (256.0,), (True,)), 0.5, 0.2
    k = 2 * math.pi * 16 / 256
    omega = 2 / dt * math.asin(math.sqrt((dt * math.sin(k / 2)) ** 2 + (chi * dt / 2) ** 2))
    spec = {"kind": "plane_wave", "mode": 16, "frequency": math.sin(omega * dt) / dt}
    condition = start(spec, grid, second_order=True, parameters={"c": 1.0, "chi": chi})
    now, rate = whole(condition, grid), whole_rate(condition, grid)
    force = np.roll(now, 1) - 2 * now + np.roll(now, -1) - chi**2 * now
    after = now + dt * rate + 0.5 * dt**2 * force
    np.testing.assert_allclose(after, np.cos(k * points(grid) - omega * dt), atol=5e-14)


def test_packet_moves_with_its_group_velocity() -> None:
    """KG-12: value and rate are those of the packet cos(k x - omega t) g(x - v t) at t = 0, images included."""
    domain = Domain((40, 50), (0.0, 0.0), (8.0, 10.0), (True, True))
    k, omega = np.array([2 * math.pi * 3 / 8, 2 * math.pi * -2 / 10]), 3.0
    velocity = 4.0 * k / omega
    spec = {"kind": "packet", "center": [7.5, 5.0], "width": 1.2, "mode": [3, -2], "amplitude": 1.5, "frequency": omega}
    condition = start(spec, domain, second_order=True, parameters={"c": 2.0, "chi": "0.1*x"})
    x, y = points(domain, 0)[:, None], points(domain, 1)[None, :]

    def exact(t: float) -> np.ndarray:
        envelope = np.zeros(domain.shape)
        for n, m in itertools.product(range(-3, 4), repeat=2):
            dx, dy = x - 7.5 - 8 * n - velocity[0] * t, y - 5.0 - 10 * m - velocity[1] * t
            envelope += np.exp(-(dx**2 + dy**2) / (2 * 1.2**2))
        return 1.5 * envelope * np.cos(k[0] * x + k[1] * y - omega * t)

    np.testing.assert_allclose(whole(condition, domain), exact(0.0), atol=1e-14)
    np.testing.assert_allclose(whole_rate(condition, domain), (exact(1e-5) - exact(-1e-5)) / 2e-5, atol=1e-8)
    assert condition.has_rate


def test_packet_uses_the_dispersion_relation_of_the_model() -> None:
    spec = {"kind": "packet", "center": 3.0, "width": 1.0, "wave_vector": 2.0}
    model = {"second_order": True, "parameters": {"c": 1.5, "chi": 0.4}}
    omega = math.sqrt(1.5**2 * 4 + 0.16)
    explicit = start({**spec, "frequency": omega, "group_velocity": [1.5**2 * 2 / omega]}, LINE, **model)
    np.testing.assert_allclose(whole_rate(start(spec, LINE, **model), LINE), whole_rate(explicit, LINE), atol=1e-14)
    still = start(spec, LINE)
    assert not still.has_rate
    assert not whole_rate(still, LINE).any()


def test_random_is_keyed_by_seed_field_component_and_site() -> None:
    domain, place = PLANE, (0, 0)
    sites = site_numbers(domain, place, ((0, 0), domain.shape))
    spec = {"kind": "random", "distribution": "normal", "mean": 1.0, "amplitude": 0.5}
    value = whole(start(spec, domain, components=2, field="E", seed=9), domain, component=1)
    np.testing.assert_array_equal(value, 1.0 + 0.5 * normal(9, stream_id("initial E", 1), sites, 0))
    flat = whole(start({"kind": "random", "amplitude": 2.0}, domain, field="E", seed=9), domain)
    np.testing.assert_array_equal(flat, 2.0 * (2.0 * uniform(9, stream_id("initial E"), sites, 0) - 1.0))
    assert abs(flat).max() < 2.0
    variants = [{"field": "F", "seed": 9}, {"field": "E", "seed": 8}]
    assert all(
        not np.array_equal(flat, whole(start({"kind": "random", "amplitude": 2.0}, domain, **v), domain))
        for v in variants
    )
    listed = start([{"kind": "random"}, {"kind": "random"}], domain, components=2)
    assert not np.array_equal(whole(listed, domain, component=0), whole(listed, domain, component=1))


# -- refusals


REFUSED: list[tuple[object, dict[str, Any], str, str]] = [
    ({"kind": "gausian"}, {}, "initial.E.kind", "did you mean 'gaussian'"),
    ({"center": 1}, {}, "initial.E", "needs a 'kind'"),
    ({"kind": "gaussian", "centre": 0.0, "width": 1}, {}, "initial.E.centre", "did you mean 'center'"),
    ({"kind": "gaussian", "width": 1}, {}, "initial.E.center", "needed"),
    ({"kind": "gaussian", "center": 0, "width": 0}, {}, "initial.E.width", "a number > 0"),
    ({"kind": "gaussian", "center": [0, 1], "width": 1}, {}, "initial.E.center", "2 entries given for 1 axes"),
    ({"kind": "gaussian", "center": "x", "width": 1}, {}, "initial.E.center", "a finite number"),
    ({"kind": "gaussian", "center": 0, "width": 1e9}, {}, "initial.E.width", "use inf"),
    ({"kind": "gaussian", "center": 0, "width": 1, "images": 1}, {}, "initial.E.images", "true or false"),
    ({"kind": "plane_wave"}, {}, "initial.E.mode", "needed"),
    ({"kind": "plane_wave", "mode": 1, "wave_vector": 1}, {}, "initial.E.wave_vector", "keep one"),
    ({"kind": "plane_wave", "mode": 1, "frequency": 1}, {}, "initial.E.frequency", "first order"),
    ({"kind": "plane_wave", "mode": 1}, {"second_order": True}, "initial.E.frequency", "not both numbers"),
    (
        {"kind": "packet", "center": 0, "width": 1, "mode": 1, "frequency": 2},
        {"second_order": True},
        "initial.E.group_velocity",
        "not a number",
    ),
    ({"kind": "random", "distribution": "gauss"}, {}, "initial.E.distribution", "Known: normal, uniform"),
    ({"kind": "random", "amplitude": -1}, {}, "initial.E.amplitude", ">= 0"),
    ({"kind": "random", "seed": True}, {}, "initial.E.seed", "whole number"),
    ("sin(x", {}, "initial.E", "not a formula"),
    ("sin(q)", {}, "initial.E", "unknown name 'q'"),
    ("chi", {"parameters": {"chi": "E**2"}}, "initial.E", "unknown name 'chi'"),
    ("d(x, x)", {}, "initial.E", "derivatives are not known"),
    ("vector(x, x)", {}, "initial.E", "vector of 2"),
    (float("nan"), {}, "initial.E", "finite number"),
    (True, {}, "initial.E", "finite number"),
    ({"kind": "expression"}, {}, "initial.E.value", "needed"),
    ([1.0, 2.0], {}, "initial.E", "2 entries given for 1 components"),
    (["y"], {}, "initial.E[0]", "unknown name 'y'"),
    ("__import__('os').getpid()", {}, "initial.E", "this call is not allowed"),
]


@pytest.mark.parametrize(("spec", "setting", "where", "text"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_refusals_say_where_and_what_is_allowed(spec: object, setting: dict[str, Any], where: str, text: str) -> None:
    """F-32, F-34: each fault has its key and the allowed values or the nearest name."""
    with pytest.raises(ConfigError) as error:
        start(spec, LINE, **setting)
    assert any(p.where == where and text in p.message for p in error.value.problems), error.value.problems


def test_all_faults_of_a_table_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        start({"kind": "packet", "width": -1, "wdth": 2, "amplitude": "x"}, LINE)
    names = {problem.where.removeprefix("initial.E.") for problem in error.value.problems}
    assert names == {"center", "width", "wdth", "amplitude", "mode"}


def test_values_that_are_not_finite_are_reported_with_their_place() -> None:
    condition = start("1/(x - 0.0625)", LINE)
    with pytest.raises(ConfigError, match=re.escape("initial.E: the initial value is inf at x = 0.0625")):
        whole(condition, LINE)
    condition.values(LINE, (0,), (8,), (0,))


def test_boxes_outside_the_lattice_are_refused() -> None:
    with pytest.raises(ValueError, match="not inside"):
        start(1.0, LINE).values(LINE, (60,), (65,), (0,))
