"""Linearised residuals: linearity, shape, symmetry and kind; coefficients against complex steps."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.symbolic.discretize import Discretizer
from hpcsim.symbolic.evaluate import evaluate
from hpcsim.symbolic.expr import Access, Expr, Symbol
from hpcsim.symbolic.linearize import Linearization, linearize, shifted
from hpcsim.symbolic.system import build_system

FIELDS = {"u": ((0, 0),), "v": ((0, 0),)}
UNKNOWNS = [("u", 0), ("v", 0)]


def residuals(order: int = 2, **equations: str) -> list[Expr]:
    """Discrete residuals in two dimensions with a parameter k of space and a number c."""
    texts = {f"solve({name})": text for name, text in equations.items()}
    system = build_system(2, FIELDS, {"k": "1 + 0.5*sin(x)", "c": 2.0}, texts)
    discretizer = Discretizer(2, order, dict(system.locations), ("h_x", "h_y"))
    return [discretizer(c.residual, (0, 0)) for c in system.constraints]


def found(order: int = 2, **equations: str) -> Linearization:
    return linearize(residuals(order, **equations), UNKNOWNS[: len(equations)])


@pytest.mark.parametrize(
    ("text", "order", "linear", "constant", "star", "symmetric", "kind"),
    [
        ("laplacian(u) - v", 2, True, True, True, True, "elliptic"),
        ("laplacian(u) - v", 4, True, True, False, True, "elliptic"),
        ("div(k*grad(u)) - c*u", 2, True, False, True, True, "elliptic"),
        ("k*laplacian(u)", 2, True, False, True, False, "elliptic"),
        ("div(k*grad(u))/(2 + cos(x)) - u", 2, True, False, True, False, "elliptic"),
        ("k*laplacian(u) + d(k, x)*d(u, x)", 2, True, False, True, False, "general"),
        ("laplacian(u) + d(u, x)", 2, True, True, True, False, "general"),
        ("div((1 + u**2)*grad(u))", 2, False, False, True, False, "general"),
        ("laplacian(u) - u**3", 2, False, False, True, True, "elliptic"),
        ("c*u - v", 2, True, True, True, True, "pointwise"),
    ],
)
def test_scalar_forms(
    text: str, order: int, linear: bool, constant: bool, star: bool, symmetric: bool, kind: str
) -> None:
    """One unknown: the properties that choose a solver."""
    form = found(order, u=text)
    assert (form.linear, form.constant, form.star, form.symmetric, form.kind) == (
        linear, constant, star, symmetric, kind,
    )  # fmt: skip


def test_coupled_unknowns() -> None:
    """Two second-order unknowns that read each other are coupled; without that they are elliptic."""
    assert found(u="laplacian(u) - v", v="laplacian(v) - u").kind == "coupled"
    assert found(u="laplacian(u) - c*u", v="laplacian(v)").kind == "elliptic"
    assert found(u="v - d(u, x)", v="u + d(v, x)").kind == "coupled"


@pytest.mark.parametrize(
    "text", ["div((1 + u**2)*grad(u)) - exp(u)*v", "sqrt(1 + u**2)*laplacian(u)", "sin(u*v)/(2 + u)"]
)
def test_coefficients_are_the_complex_step_derivative(text: str) -> None:
    """Every entry equals the derivative by a complex step, to rounding."""
    (residual,) = residuals(u=text)
    random = np.random.default_rng(3)
    values = {node: random.uniform(0.5, 1.5) for node in residual.walk() if isinstance(node, (Access, Symbol))}
    entries = linearize([residual], UNKNOWNS[:1]).entries
    assert entries
    for entry in entries:
        read = Access("u", 0, entry.offset)
        stepped = {**values, read: values[read] + 1e-30j}
        expected = evaluate(residual, stepped, "complex128").imag / 1e-30
        assert float(evaluate(entry.coefficient, values)) == pytest.approx(expected, rel=1e-12)


def test_shift_moves_every_read() -> None:
    """A shifted expression reads sites as many sites away."""
    assert shifted(Access("k", 0, (0, -1)) + Access("k", 0, (0, 0)), (0, 1)) == Access("k", 0, (0, 0)) + Access(
        "k", 0, (0, 1)
    )
