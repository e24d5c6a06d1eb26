"""Stability limits from the symbol against closed forms: heat, advection, Klein-Gordon, staggered pairs (KG-23)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError
from hpcsim.symbolic.expr import Access, Num, call
from hpcsim.symbolic.stability import jacobian, symbol_eigenvalues
from hpcsim.symbolic.weights import staggered

# Largest value of the symbol of the second derivative, in units of 1/h^2.
LARGEST = {2: 4.0, 4: 16 / 3, 6: 272 / 45, 8: 2048 / 315}
# Largest z = -lambda dt on the negative axis and y on the imaginary axis for which a scheme is stable.
REAL = {"euler": 2.0, "ssprk3": 2.5127453266, "rk4": 2.7852935634}
IMAGINARY = {"ssprk3": math.sqrt(3), "rk4": math.sqrt(8)}


def limit(model: Model, shape: list[int], **options: object) -> float:
    upper = options.pop("upper", [0.5 * n for n in shape])
    lattice = Lattice(shape, upper=upper, boundary=options.pop("boundary", "periodic"))
    options.setdefault("initial", {})
    return Simulation(lattice, model, backend="numpy", **options).limit  # type: ignore[arg-type]


@pytest.mark.parametrize("order", sorted(LARGEST))
@pytest.mark.parametrize("integrator", sorted(REAL))
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_heat(order: int, integrator: str, ndim: int) -> None:
    """dt <= z h^2 / (D d s) for the real limit z of the scheme and the largest symbol s of the stencil."""
    model = Model({"dt(u)": "D*laplacian(u)"}, parameters={"D": 0.7}, order=order)
    wanted = REAL[integrator] * 0.25 / (0.7 * ndim * LARGEST[order])
    assert limit(model, [8] * ndim, integrator=integrator) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("integrator", sorted(IMAGINARY))
def test_advection(integrator: str) -> None:
    """Central order 2: eigenvalues i c sin(k h)/h, so dt <= y h/c; order 4 has the largest symbol 1.3722."""
    model = Model({"dt(u)": "-c*d(u, x)"}, parameters={"c": 2.0})
    assert limit(model, [8], integrator=integrator) == pytest.approx(IMAGINARY[integrator] * 0.5 / 2.0, rel=1e-3)
    theta = np.linspace(0, np.pi, 100_001)
    fourth = np.max(np.abs(4 / 3 * np.sin(theta) - np.sin(2 * theta) / 6))
    model = Model({"dt(u)": "-c*d(u, x)"}, parameters={"c": 2.0}, order=4)
    assert limit(model, [8], integrator=integrator) == pytest.approx(IMAGINARY[integrator] * 0.25 / fourth, rel=3e-3)


def test_euler_never_advects() -> None:
    model = Model({"dt(u)": "-d(u, x)"})
    with pytest.raises(ConfigError, match="every step size"):
        limit(model, [8], integrator="euler")


@pytest.mark.parametrize("chi", [0.0, 0.5])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_klein_gordon(ndim: int, chi: float) -> None:
    """KG-23: 2/sqrt(4 d/dx^2 + chi^2); the four digits of the table, then the closed form."""
    model = Model(name="klein_gordon", parameters={"chi": chi})
    found = limit(model, [4] * ndim, upper=[4.0] * ndim)
    table = {0.0: [1, 0.70711, 0.57735, 0.5], 0.5: [0.970143, 0.696311, 0.571429, 0.496139]}
    assert found == pytest.approx(table[chi][ndim - 1], abs=1e-5)
    assert found == pytest.approx(2 / math.sqrt(4 * ndim + chi**2), rel=1e-12)


def test_unequal_spacings_and_a_variable_mass() -> None:
    """The largest chi and every spacing count: 2/sqrt(4/dx^2 + 4/dy^2 + max chi^2)."""
    model = Model(name="klein_gordon", parameters={"chi": "0.2 + x"})
    found = limit(model, [8, 8], upper=[4.0, 8.0])
    assert found == pytest.approx(2 / math.sqrt(4 / 0.25 + 4 + (0.2 + 3.75) ** 2), rel=1e-12)


def test_variable_diffusivity() -> None:
    """A coefficient that varies is frozen at its extremes: at most the exact limit of the whole matrix, and near it."""
    model = Model({"dt(u)": "div(D*grad(u))"}, parameters={"D": "1 + 0.5*sin(pi*x/2)"})
    found = limit(model, [16], integrator="euler")
    face = 1 + 0.5 * np.sin(np.pi * 0.5 * np.arange(16) / 2)
    matrix = np.diag(-face - np.roll(face, -1))
    for i in range(16):
        matrix[i, i - 1] += face[i]
        matrix[i - 1, i] += face[i]
    exact = 2 * 0.25 / np.abs(np.linalg.eigvalsh(matrix)).max()
    assert 0.85 * exact <= found <= exact * (1 + 1e-9)


@pytest.mark.parametrize("order", sorted(LARGEST))
def test_staggered_pair(order: int) -> None:
    """A Maxwell-like pair: eigenvalues +-i c 2 sum|w|/h, so rk4 allows sqrt(8) h/(c s)."""
    model = Model({"dt(u)": "-c*d(v, x)", "dt(v)": "-c*d(u, x)"}, parameters={"c": 3.0},
                  fields={"u": {}, "v": {"centring": "vertex"}}, order=order)  # fmt: skip
    largest = float(sum(abs(w) for _, w in staggered(1, order, True)))
    found = limit(model, [16], integrator="rk4")
    assert found == pytest.approx(math.sqrt(8) * 0.5 / (3.0 * largest), rel=1e-9)


def test_maxwell_in_three_dimensions() -> None:
    """curl-curl on Yee edges and faces: the largest frequency is 2 sqrt(3)/h."""
    fields = {"E": {"centring": "edge", "components": 3}, "B": {"centring": "face", "components": 3}}
    model = Model({"dt(E)": "curl(B)", "dt(B)": "-curl(E)"}, fields=fields)
    found = limit(model, [4, 4, 4], integrator="rk4")
    assert found == pytest.approx(math.sqrt(8) * 0.5 / (2 * math.sqrt(3)), rel=1e-9)


def test_nonlinear_terms_are_linearised_on_the_state() -> None:
    """u' = -u^3 at u = 2: lambda = -12."""
    model = Model({"dt(u)": "-u**3"})
    found = limit(model, [8], integrator="euler", initial={"u": 2.0})
    assert found == pytest.approx(2 / 12, rel=1e-9)


def test_damping_shifts_no_frequency_below_the_limit() -> None:
    u, v = Access("u", 0, (0,)), Access("v", 0, (0,))
    entries = jacobian([-3 * u + 2 * v, u * v], [("u", 0), ("v", 0)])
    slopes = {(e.row, e.column): e.coefficient for e in entries}
    assert slopes == {(0, 0): Num(-3), (0, 1): Num(2), (1, 0): v, (1, 1): u}
    numbers = {(0, 0): -3.0, (0, 1): 2.0, (1, 0): 1.0, (1, 1): -2.0}
    found = symbol_eigenvalues(entries, 2, 1, lambda _: [(numbers[e.row, e.column],) * 2 for e in entries])
    assert sorted(set(np.round(found.real, 9))) == [-4.0, -1.0]
    assert jacobian([call("sign", u) + u - u], [("u", 0)]) == []
    assert symbol_eigenvalues([], 2, 1, lambda _: []).tolist() == [0]
