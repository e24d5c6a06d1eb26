"""Tables of convolutions: what they mean, and what is refused at its key with the nearest name (QG-03, KG-15, F-32)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsim.errors import FormulaError
from hpcsim.symbolic.convolution import Convolution, Kernel
from hpcsim.symbolic.expr import ONE, ZERO, Coordinate, FieldValue, Num, Symbol, call
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parity import EVEN, NEITHER, ODD, parity
from hpcsim.symbolic.parse import parse_scalar
from hpcsim.symbolic.system import System, build_system

CELL = (0, 0)
FIELDS = {"u": (CELL,), "v": (CELL, CELL), "p": (CELL,)}


def system(tables: dict[str, Any], equations: dict[str, str] | None = None, **parameters: Any) -> System:
    """A system on two axes with u evolving."""
    given = {"dt(u)": "laplacian(u)"} if equations is None else equations
    return build_system(2, FIELDS, parameters, given, convolutions=tables)


def one(source: Any = "u", kernel: Any = "exp(-r)", **parameters: Any) -> tuple[Convolution, ...]:
    """The components of v."""
    return system({"v": {"source": source, "kernel": kernel}}, **parameters).convolutions


def faults(tables: dict[str, Any], **options: Any) -> dict[str, str]:
    """Key to message."""
    with pytest.raises(FormulaError) as error:
        system(tables, **options)
    return {problem.where: problem.message for problem in error.value.problems}


def test_one_source_and_kernel_stand_for_all_components() -> None:
    """QG-03: text for all, lists for each, a vector for its components."""
    u = FieldValue("u", 0)
    kernel = Kernel(formula=call("exp", -Symbol("r")))
    assert one() == (Convolution("v", 0, u, kernel), Convolution("v", 1, u, kernel))
    assert [part.source for part in one(["u", "2*u"])] == [u, 2 * u]
    assert [part.source for part in one("grad(u)")] == [part.source for part in one(["d(u, x)", "d(u, y)"])]
    first, second = one(kernel=["exp(-r)", "yukawa"])
    assert (first.kernel, second.kernel) == (kernel, Kernel("yukawa"))


def test_a_kernel_is_a_name_a_formula_or_a_table() -> None:
    """KG-15, QG-03: a bare name is one of the catalogue, unless it means something in a formula."""
    r, x, y = Symbol("r"), Coordinate(0, 0, 0), Coordinate(1, 0, 0)
    assert one(kernel="coulomb")[0].kernel == Kernel("coulomb")
    assert one(kernel="r")[0].kernel == Kernel(formula=r)
    assert one(kernel="a", a=2.0)[0].kernel == Kernel(formula=Symbol("a"))
    assert one(kernel="x*y/r")[0].kernel == Kernel(formula=x * y / r)
    table = {"name": "yukawa", "length": "2*a", "times": "x/r", "origin": 0.5}
    wanted = Kernel("yukawa", (("length", 2 * Symbol("a")),), x / r, Num(0.5))
    assert one(kernel=table, a=3.0)[0].kernel == wanted
    assert one(kernel={"name": "gaussian", "length": 1})[0].kernel == Kernel("gaussian", (("length", Num(1)),), ONE)
    assert one(kernel={"name": "formula", "formula": "1/r", "origin": "a"}, a=1.0)[0].kernel == Kernel(
        formula=1 / r, origin=Symbol("a")
    )
    assert one(kernel="0")[0].kernel.zero and one(kernel="0")[0].kernel.formula == ZERO


def test_kernels_may_use_parameters_that_are_numbers() -> None:
    """A formula of numbers is one too; one of space, time or fields is not the same for all pairs of sites."""
    assert one(kernel="exp(-r/b)", a=2.0, b="2*a")[0].kernel.formula == call("exp", -(Symbol("r") / (2 * Symbol("a"))))
    for parameter in ("1 + x", "t", "u"):
        found = faults({"v": {"source": "u", "kernel": "b*exp(-r)"}}, b=parameter)
        assert "unknown name 'b'" in found["model.convolutions.v.kernel"]
    for name in ("t", "u"):
        found = faults({"v": {"source": "u", "kernel": f"{name}*exp(-r)"}})
        assert f"unknown name '{name}'" in found["model.convolutions.v.kernel"]


def test_sources_may_use_what_equations_may() -> None:
    """Fields, parameters, derivatives, coordinates and time; not noise, which differs from stage to stage."""
    source = one("c*laplacian(u) + rho + sin(t)*x", c=2.0, rho="exp(-x**2)")[0].source
    assert {type(node).__name__ for node in source.walk()} >= {"Derivative", "Static", "Symbol", "Coordinate"}
    assert "noise() may only" in faults({"v": {"source": "u*noise()", "kernel": "r"}})["model.convolutions.v.source"]


def test_a_field_without_time_derivative_is_a_system() -> None:
    """KG-15: a given source needs no equation beside the convolution."""
    found = system({"p": {"source": "exp(-x**2)", "kernel": "exp(-r)"}}, equations={})
    assert not found.equations and [part.field for part in found.convolutions] == ["p"]
    with pytest.raises(FormulaError, match="at least one equation"):
        system({}, equations={})


def test_an_unnamed_constraint_is_not_for_a_convolved_field() -> None:
    """The unknown of ``0 = ...`` is the differentiated field without an equation or a convolution."""
    found = system(
        {"p": {"source": "u", "kernel": "exp(-r)"}}, {"dt(u)": "u", "0": "laplacian(v) - vector(d(p, x), u)"}
    )
    assert {part.field for part in found.constraints} == {"v"}


@pytest.mark.parametrize(
    ("table", "where", "message"),
    [
        ({"q": {"source": "u", "kernel": "r"}}, "q", "unknown field 'q'"),
        ({"u": {"source": "p", "kernel": "r"}}, "u", "'u' already has an equation"),
        ({"v": "coulomb"}, "v", "a table is needed"),
        ({"v": {"source": "u", "kernel": "r", "mod": "padded"}}, "v.mod", "did you mean 'mode'?"),
        ({"v": {"source": "u", "kernel": "r", "mode": 3}}, "v.mode", "a name is needed, got 3"),
        ({"v": {"kernel": "r"}}, "v.source", "is needed"),
        ({"v": {"source": "u"}}, "v.kernel", "is needed"),
        ({"v": {"source": "rh", "kernel": "r"}}, "v.source", "did you mean 'rho'?"),
        ({"v": {"source": ["u", "rh"], "kernel": "r"}}, "v.source[1]", "did you mean 'rho'?"),
        ({"v": {"source": ["u"], "kernel": "r"}}, "v.source", "1 entries for 2 component(s)"),
        ({"p": {"source": "v", "kernel": "r"}}, "p.source", "2 entries for 1 component(s)"),
        ({"v": {"source": ["u", "v"], "kernel": "r"}}, "v.source[1]", "this formula is a vector"),
        ({"v": {"source": 1.0, "kernel": "r"}}, "v.source", "a formula, or a list of them is needed, got 1.0"),
        ({"v": {"source": ["u", 1.0], "kernel": "r"}}, "v.source[1]", "a formula is needed, got 1.0"),
        ({"v": {"source": "u", "kernel": ["r", "r", "r"]}}, "v.kernel", "3 entries for 2 component(s)"),
        ({"v": {"source": "u", "kernel": ["r", "rr*1"]}}, "v.kernel[1]", "unknown name 'rr'"),
        ({"v": {"source": "u", "kernel": "z*r"}}, "v.kernel", "unknown name 'z'"),
        ({"v": {"source": "u", "kernel": "laplacian(r*x)"}}, "v.kernel", "may not differentiate"),
        ({"v": {"source": "u", "kernel": "vector(r, x)"}}, "v.kernel", "a scalar is needed"),
        ({"v": {"source": "u", "kernel": 2}}, "v.kernel", "is needed, got 2"),
        ({"v": {"source": "u", "kernel": {"length": 1.0}}}, "v.kernel.name", "is needed"),
        ({"v": {"source": "u", "kernel": {"name": "formula"}}}, "v.kernel.formula", "is needed"),
        ({"v": {"source": "u", "kernel": {"name": "yukawa", "length": "x"}}}, "v.kernel.length", "unknown name 'x'"),
        ({"v": {"source": "u", "kernel": {"name": "yukawa", "length": True}}}, "v.kernel.length", "got True"),
        ({"v": {"source": "u", "kernel": {"name": "yukawa", "times": 2}}}, "v.kernel.times", "a formula is needed"),
    ],
)
def test_faults_are_named_at_their_key(table: dict[str, Any], where: str, message: str) -> None:
    """F-32: what was given, what is allowed, the nearest name."""
    found = faults(table, rho=1.0)
    assert message in found[f"model.convolutions.{where}"], found


def test_every_fault_is_reported_at_once() -> None:
    """F-32: two tables with a fault each, and one of an equation."""
    tables = {"v": {"source": "uu", "kernel": "r"}, "p": {"source": "u", "kernel": "q*r"}}
    found = faults(tables, equations={"dt(u)": "w"})
    assert found.keys() == {"model.convolutions.v.source", "model.convolutions.p.kernel", "model.equations.'dt(u)'"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("r*y", EVEN), ("x", ODD), ("x**2*y/r", EVEN), ("x**3 - x*y", ODD), ("x + 1", NEITHER), ("exp(-x**2)", EVEN),
        ("exp(x)", NEITHER), ("sin(x)*x", EVEN), ("cos(x)*x", ODD), ("abs(x)", EVEN), ("1/x", ODD), ("x**0.5", NEITHER),
        ("where(x < 1, 1, 2)", NEITHER), ("where(r < 1, 1, 2)", EVEN), ("where(x**2 < 1, x, y)", NEITHER),
        ("min(x, y)", NEITHER), ("tanh(x*y)", ODD), ("2**x", NEITHER),
    ],
)  # fmt: skip
def test_parity_is_seen_in_the_form(text: str, wanted: int) -> None:
    """QG-04: which kernels have real modes; what is not clear counts as neither."""
    assert parity(parse_scalar(text, Names(2, symbols=frozenset("r"))), Coordinate(0, 0, 0)) == wanted
