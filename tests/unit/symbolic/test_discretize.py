"""Finite differences from equations: where values live, how accurate they are, that fluxes conserve (ENG-07)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hpcsim.errors import FormulaError
from hpcsim.symbolic.discretize import Discretizer, Location, static_register
from hpcsim.symbolic.evaluate import evaluate
from hpcsim.symbolic.expr import Access, Coordinate, Expr, Static, Symbol
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse, parse_scalar
from hpcsim.symbolic.weights import ORDERS

Field = Callable[..., float]
SPACINGS = ("h_x", "h_y", "h_z", "h_w")
HALF = (0.5, 0.0)


def smooth(*place: float) -> float:
    """A function without symmetry, so that no error cancels by luck."""
    return math.prod(math.sin(0.9 * p + 0.4 + 0.3 * axis) + 0.2 * p for axis, p in enumerate(place))


def discrete(
    expr: Expr, order: int, homes: dict[str, tuple[Location, ...]], target: Location
) -> tuple[Discretizer, Expr]:
    discretizer = Discretizer(len(target), order, homes, SPACINGS[: len(target)])
    return discretizer, discretizer(expr, target)


def value(expr: Expr, homes: dict[str, tuple[Location, ...]], target: Location, h: float, fields: Field) -> float:
    """Value of a discrete expression at the point 0.3 of each axis, with every read taken from a smooth function."""
    ndim = len(target)
    index0 = [0.3 / h - HALF[staggered] for staggered in target]
    env: dict[Expr, float] = {Symbol(name): h for name in SPACINGS}
    for node in expr.walk():
        if isinstance(node, Access):
            if node.register.startswith("parameter:"):
                home = target
            else:
                home = homes[node.register][node.component]
            env[node] = fields(*(h * (index0[a] + node.offset[a] + HALF[home[a]]) for a in range(ndim)))
        elif isinstance(node, Coordinate):
            env[node] = h * (index0[node.axis] + node.offset + HALF[node.staggered])
    return float(evaluate(expr, env))


def slope_of_error(text: str, exact: float, order: int, homes: dict, target: Location, h0: float = 0.2) -> float:
    """Observed order between the two finest of three spacings."""
    names = Names(len(target), fields={name: len(places) for name, places in homes.items()})
    _, expr = discrete(parse_scalar(text, names), order, homes, target)
    errors = [abs(value(expr, homes, target, h, smooth) - exact) for h in (h0, h0 / 1.5, h0 / 2.25)]
    return math.log(errors[1] / errors[2]) / math.log(1.5)


def d(point: tuple[float, ...], *orders: int) -> float:
    """Exact mixed derivative of `smooth`, one order (0, 1, 2) per axis."""
    result = 1.0
    for axis, (p, n) in enumerate(zip(point, orders, strict=True)):
        s = 0.9 * p + 0.4 + 0.3 * axis
        result *= (math.sin(s) + 0.2 * p, 0.9 * math.cos(s) + 0.2, -0.81 * math.sin(s))[n]
    return result


P2, P1 = (0.3, 0.3), (0.3,)
C2: Location = (0, 0)
EXACT_2D = {
    "d(u, x)": d(P2, 1, 0),
    "d(u, y, 2)": d(P2, 0, 2),
    "d(u, x, y)": d(P2, 1, 1),
    "laplacian(u)": d(P2, 2, 0) + d(P2, 0, 2),
    "div(grad(u))": d(P2, 2, 0) + d(P2, 0, 2),
    "div(u*grad(u))": d(P2, 0, 0) * (d(P2, 2, 0) + d(P2, 0, 2)) + d(P2, 1, 0) ** 2 + d(P2, 0, 1) ** 2,
    "d(x*u, x)": d(P2, 0, 0) + 0.3 * d(P2, 1, 0),
    "u": d(P2, 0, 0),
    "u*d(u, x)": d(P2, 0, 0) * d(P2, 1, 0),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("target", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize("home", [(0, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("text", EXACT_2D)
def test_order_of_accuracy(text: str, home: Location, target: Location, order: int) -> None:
    """ENG-07: order p for every operator, from every home to every target (interpolation, staggered, flux form)."""
    if text == "u" and home == target:
        return  # nothing is approximated
    start = {2: 0.1, 4: 0.3, 6: 0.5, 8: 0.7}[order]
    observed = slope_of_error(text, EXACT_2D[text], order, {"u": (home,)}, target, start)
    assert observed == pytest.approx(order, abs=0.1 if order == 2 else 0.45)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_symbol_of_the_laplacian(order: int, ndim: int) -> None:
    """ENG-07: applied to exp(ikx) the stencil is the sum of its one-dimensional symbols, d = 1..4."""
    names = Names(ndim, fields={"u": 1})
    home = {"u": ((0,) * ndim,)}
    _, expr = discrete(parse_scalar("laplacian(u)", names), order, home, (0,) * ndim)
    k, h = [0.7, 1.9, 3.0, 0.2][:ndim], 0.5
    env: dict[Expr, complex] = {Symbol(name): h for name in SPACINGS}
    env |= {n: np.exp(1j * h * np.dot(k, n.offset)) for n in expr.walk() if isinstance(n, Access)}
    theta = np.array(k) * h
    known = {
        2: 4 * np.sin(theta / 2) ** 2,
        4: 5 / 2 - 8 / 3 * np.cos(theta) + np.cos(2 * theta) / 6,
        6: 49 / 18 - 3 * np.cos(theta) + 3 / 10 * np.cos(2 * theta) - np.cos(3 * theta) / 45,
        8: 205 / 72 - 16 / 5 * np.cos(theta) + 2 / 5 * np.cos(2 * theta) - 16 / 315 * np.cos(3 * theta)
        + np.cos(4 * theta) / 280,
    }  # fmt: skip
    assert evaluate(expr, env) == pytest.approx(-np.sum(known[order]) / h**2, abs=1e-12)


def reads(expr: Expr) -> set[tuple[int, ...]]:
    return {node.offset for node in expr.walk() if isinstance(node, Access) and node.register == "u"}


def test_staggered_pair_reads_its_two_nearest_neighbours() -> None:
    """A derivative of order 2 between the halves of an axis spans one spacing, not two."""
    names, homes = Names(1, fields={"u": 1}), {"u": ((1,),)}
    _, expr = discrete(parse_scalar("d(u, x)", names), 2, homes, (0,))
    assert reads(expr) == {(0,), (1,)}
    _, expr = discrete(parse_scalar("d(u, x)", names), 2, {"u": ((0,),)}, (1,))
    assert reads(expr) == {(-1,), (0,)}
    _, expr = discrete(parse_scalar("d(d(u, x), x)", names), 2, {"u": ((0,),)}, (0,))
    assert reads(expr) == {(-1,), (0,), (1,)}


def test_flux_form_is_compact() -> None:
    """Divergence of a flux with a gradient in it reads the nearest neighbours only."""
    names = Names(2, fields={"u": 1}, statics=frozenset({"k"}))
    discretizer, expr = discrete(parse_scalar("div(k*grad(u))", names), 2, {"u": (C2,)}, C2)
    assert reads(expr) == {(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)}
    assert discretizer.statics == {
        static_register("k", (1, 0)): ("k", (1, 0)),
        static_register("k", (0, 1)): ("k", (0, 1)),
    }
    assert Static("k") not in set(expr.walk())


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("text", ["div(u*V)", "div(u*grad(u))", "div((1 + u**2)*grad(u) + V)"])
@pytest.mark.parametrize("home", [(0, 0), (1, 1)])
def test_fluxes_conserve(order: int, text: str, home: Location) -> None:
    """The sum of a divergence over a periodic lattice is zero: both neighbours of a face see the same flux."""
    rng, n, target = np.random.default_rng(1), 12, C2
    homes = {"u": (home,), "V": ((1, 0), (0, 1))}
    names = Names(2, fields={"u": 1, "V": 2})
    _, expr = discrete(parse_scalar(text, names), order, homes, target)
    data = {("u", 0): rng.random((n, n)), ("V", 0): rng.random((n, n)), ("V", 1): rng.random((n, n))}
    env: dict[Expr, object] = {Symbol(name): 0.37 for name in SPACINGS}
    for node in expr.walk():
        if isinstance(node, Access):
            env[node] = np.roll(data[node.register, node.component], [-s for s in node.offset], (0, 1))
    result = evaluate(expr, env)
    assert np.abs(result).max() > 0.1
    assert abs(math.fsum(result.ravel())) < 1e-13 * np.abs(result).sum()


def test_divergence_of_a_curl_vanishes() -> None:
    """PH-03 in the small: on staggered edges and faces div(curl) is zero to rounding, every order."""
    homes = {"E": ((0, 1, 1), (1, 0, 1), (1, 1, 0)), "B": ((1, 0, 0), (0, 1, 0), (0, 0, 1))}
    names = Names(3, fields={"E": 3, "B": 3})
    rng, n = np.random.default_rng(2), 10
    data = {component: rng.random((n, n, n)) for component in range(3)}
    for order in ORDERS:
        discretizer = Discretizer(3, order, homes, ("h_x", "h_y", "h_z"))
        rates = [discretizer(part, homes["B"][i]) for i, part in enumerate(parse("curl(E)", names))]
        env: dict[Expr, object] = {Symbol(name): 0.5 for name in SPACINGS}
        for node in (node for rate in rates for node in rate.walk()):
            if isinstance(node, Access):
                env[node] = np.roll(data[node.component], [-s for s in node.offset], (0, 1, 2))
        change = [evaluate(rate, env) for rate in rates]
        divergence = discretizer(parse_scalar("div(B)", names), (0, 0, 0))
        env |= {
            node: np.roll(change[node.component], [-s for s in node.offset], (0, 1, 2))
            for node in divergence.walk()
            if isinstance(node, Access)
        }
        assert np.abs(change[0]).max() > 1
        assert np.abs(evaluate(divergence, env)).max() < 1e-12


def test_equal_spacings_may_share_a_symbol_and_coordinates_know_their_place() -> None:
    names = Names(2, fields={"u": 1})
    discretizer = Discretizer(2, 2, {"u": (C2,)}, ("h_x", "h_x"))
    expr = discretizer(parse_scalar("d(x*u, x) + d(y*u, y)", names), C2)
    assert {n.name for n in expr.walk() if isinstance(n, Symbol)} == {"h_x"}
    coordinates = {n for n in expr.walk() if isinstance(n, Coordinate)}
    assert coordinates == {Coordinate(axis, step, 0) for axis in (0, 1) for step in (-1, 1)}
    assert discretizer(Coordinate(1, 0, 0), (1, 1)) == Coordinate(1, 0, 1)


def test_nesting_without_end_is_refused() -> None:
    """F-35: a formula whose stencil would explode says so."""
    text = "laplacian(" * 12 + "u" + ")" * 12
    expr = parse_scalar(text, Names(3, fields={"u": 1}))
    with pytest.raises(FormulaError, match="reads"):
        discrete(expr, 8, {"u": ((0, 0, 0),)}, (0, 0, 0))
