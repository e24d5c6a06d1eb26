"""White noise in formulas: where it may stand, what it stands for, and the tables it is read from (QG-02)."""

from __future__ import annotations

import math

import pytest

from hpcsim.errors import FormulaError
from hpcsim.fields.spec import FieldSpec
from hpcsim.symbolic.discretize import Discretizer
from hpcsim.symbolic.evaluate import scalar_value
from hpcsim.symbolic.expr import Access, Expr, Noise, Symbol
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.noise import NoiseTable, reads_noise, without_noise
from hpcsim.symbolic.operators import Vector
from hpcsim.symbolic.parse import parse
from hpcsim.symbolic.simplify import hoist_scalars, normal_form
from hpcsim.symbolic.system import System, build_system
from hpcsim.symbolic.text import to_text

SPACINGS = ("h_x", "h_y", "h_z", "h_w")


def scalars(components: int = 1) -> Names:
    """Names of the equation of a field with so many components, in two dimensions."""
    return Names(2, {"u": 1, "V": 2}, frozenset({"a"}), noise=components)


def system(equations: dict[str, str], specs: list[FieldSpec], ndim: int = 2, **tables: dict) -> System:
    places = {spec.name: spec.locations(ndim) for spec in specs}
    return build_system(ndim, places, tables.get("parameters", {}), equations, tables.get("derived"))


def discretizer(found: System) -> Discretizer:
    return Discretizer(found.ndim, 2, dict(found.locations), SPACINGS[: found.ndim])


def reads(expr: Expr) -> set[tuple[str, tuple[int, ...]]]:
    """Registers of noise and offsets that an expression reads."""
    return {(n.register, n.offset) for n in expr.walk() if isinstance(n, Access) and n.register.startswith("noise")}


def test_noise_of_a_scalar_equation() -> None:
    """noise() is noise(1), and another number is another noise."""
    assert parse("noise()", scalars()) == parse("noise(1)", scalars()) == Noise(1, 0)
    assert parse("a*noise(7)", scalars()) == Symbol("a") * Noise(7, 0)


def test_noise_of_a_vector_has_components() -> None:
    """A vector equation gets one noise per component, and so does each place of vector()."""
    assert parse("noise(3)", scalars(2)) == Vector((Noise(3, 0), Noise(3, 1)))
    assert parse("2*V + noise()", scalars(2))[1].args[-1] == Noise(1, 1)
    for names in (scalars(), scalars(2)):
        assert parse("vector(u, a*noise(), 0)", names)[1] == Symbol("a") * Noise(1, 1)
        assert parse("dot(vector(noise(), noise(2)), vector(1, 1))", names) == Noise(1, 0) + Noise(2, 1)
    # After vector() a scalar equation has its own component again.
    assert parse("div(vector(noise(), noise())) + noise()", scalars()).args[-1] == Noise(1, 0)


@pytest.mark.parametrize("text", ["noise(0)", "noise(-1)", "noise(1.5)", "noise(u)", "noise(1, 2)", "noise(True)",
                                  "noise('1')", "noise(1 + 1)", "noise(1000001)", "noise(a)"])  # fmt: skip
def test_a_number_that_is_none(text: str) -> None:
    """F-34: only a whole number written out names a noise."""
    with pytest.raises(FormulaError, match=r"others are noise\(2\) to noise\(1000000\)"):
        parse(text, scalars())


def test_noise_stands_in_equations_only() -> None:
    """Every other text of a model refuses it, with the place of the text."""
    with pytest.raises(FormulaError, match="only occur on the right-hand side"):
        parse("u + noise()", Names(1, {"u": 1}))
    u, phi = FieldSpec("u"), FieldSpec("phi")
    for equations, tables, where in (
        ({"dt(u)": "p*u"}, {"parameters": {"p": "2 + noise()"}}, "model.parameters.p"),
        ({"dt(u)": "dot(p, p)"}, {"parameters": {"p": [1.0, "noise()"]}}, "model.parameters.p"),
        ({"dt(u)": "u"}, {"derived": {"q": "u*noise()"}}, "model.derived.q"),
        ({"dt(u)": "phi", "solve(phi)": "laplacian(phi) - noise()"}, {}, "model.equations.'solve(phi)'"),
    ):
        with pytest.raises(FormulaError, match="only occur on the right-hand side") as caught:
            system(equations, [u, phi], **tables)
        assert caught.value.problems[0].where == where


@pytest.mark.parametrize("text", ["noise()**2", "noise()*noise(2)", "u/noise()", "exp(noise())", "abs(u + noise())",
                                  "where(noise() > 0, 1, 0)", "max(u, noise())", "(u + noise())*(1 - noise())",
                                  "d(u*noise(), x)*noise()"])  # fmt: skip
def test_what_has_no_limit_is_refused(text: str) -> None:
    """The square and other functions of white noise have no limit for small steps."""
    with pytest.raises(FormulaError, match="square has no limit"):
        system({"dt(u)": text}, [FieldSpec("u")])


@pytest.mark.parametrize("text", ["-(u + noise())/u**2", "where(u > 0, noise(), 2*noise(2))", "d(u*noise(), x)",
                                  "div(u*vector(noise(), noise()))",
                                  "laplacian(noise()) + u*(noise() - 1)"])  # fmt: skip
def test_what_is_linear_is_taken(text: str) -> None:
    equation = system({"dt(u)": text}, [FieldSpec("u")]).equations[0]
    assert reads_noise(equation.rhs) and not reads_noise(without_noise(equation.rhs))


def test_without_noise_the_rest_stays() -> None:
    """The mean of the equation is what bounds the step."""
    noisy = system({"dt(u)": "-2*u + u*noise() + x"}, [FieldSpec("u")]).equations[0]
    still = system({"dt(u)": "-2*u + x"}, [FieldSpec("u")]).equations[0]
    assert without_noise(noisy.rhs) == still.rhs


def test_the_discrete_form_is_a_table_over_the_root_of_the_step() -> None:
    """Over a step the increment of sigma*noise() is sigma*sqrt(dt) times a normal number."""
    found = system({"dt(u)": "a*noise(2)"}, [FieldSpec("u")], parameters={"a": 3.0})
    make = discretizer(found)
    value = make(found.equations[0].rhs, (0, 0))
    assert reads(value) == {("noise:2", (0, 0))}
    assert make.noises == {"noise:2": NoiseTable(2, 0, (0, 0), 0)}
    (loop,), (factor,) = hoist_scalars([normal_form(Symbol("dt") * value)])
    assert math.isclose(scalar_value(factor, {"a": 3.0, "dt": 0.25}), 3.0 * 0.5, rel_tol=1e-15)
    assert reads(loop) == {("noise:2", (0, 0))}


def test_equations_share_a_noise_by_number_component_and_place() -> None:
    """Two cell fields share noise(); a vertex field, the second component and a flux have tables of their own."""
    fields = [FieldSpec("u"), FieldSpec("v"), FieldSpec("n", centring="vertex"), FieldSpec("V", 2)]
    flux = "div(vector(noise(), noise()))"
    found = system({"dt(u)": "noise()", "dt(v)": f"-noise() + {flux}", "dt(n)": "noise()", "dt(V)": "noise()"}, fields)
    make = discretizer(found)
    values = {(e.field, e.component): make(e.rhs, found.locations[e.field][e.component]) for e in found.equations}
    assert reads(values["u", 0]) == reads(values["V", 0]) == {("noise:1", (0, 0))}
    assert reads(values["n", 0]) == {("noise:1@11", (0, 0))}
    assert reads(values["V", 1]) == {("noise:1[1]", (0, 0))}
    assert reads(values["v", 0]) == {
        ("noise:1", (0, 0)), ("noise:1@10", (0, 0)), ("noise:1@10", (1, 0)), ("noise:1[1]@01", (0, 0)),
        ("noise:1[1]@01", (0, 1)),
    }  # fmt: skip
    assert {name: table.reach for name, table in make.noises.items()} == {
        "noise:1": 0, "noise:1[1]": 0, "noise:1@11": 0, "noise:1@10": 1, "noise:1[1]@01": 1,
    }  # fmt: skip


def test_the_reach_is_the_largest_offset_of_all_equations() -> None:
    texts = {"dt(u)": "noise()", "dt(v)": "d(noise(), x) + laplacian(noise())"}
    found = system(texts, [FieldSpec("u"), FieldSpec("v")])
    for equations in (found.equations, found.equations[::-1]):
        make = Discretizer(2, 6, dict(found.locations), SPACINGS[:2])
        for equation in equations:
            make(equation.rhs, (0, 0))
        assert make.noises == {"noise:1": NoiseTable(1, 0, (0, 0), 3)}


def test_text_of_noise() -> None:
    """What `hpcsim inspect` shows."""
    assert to_text(2 * Noise(1, 0) + Noise(3, 1)) == "2*noise(1) + noise(3)[1]"


def test_the_name_is_reserved() -> None:
    with pytest.raises(FormulaError, match="'noise' is reserved"):
        system({"dt(u)": "noise*u"}, [FieldSpec("u")], parameters={"noise": 0.1})
