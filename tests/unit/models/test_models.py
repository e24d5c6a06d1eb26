"""Built-in models: their texts parse in every dimension, parameters are checked, invariants hold exactly."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.fields.spec import FieldSpec
from hpcsim.models import MODELS
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.build import build_model
from hpcsim.models.parameters import check_parameters
from hpcsim.symbolic.discretize import Discretizer
from hpcsim.symbolic.evaluate import Evaluator
from hpcsim.symbolic.expr import Access, Derivative, Expr, FluxDerivative, Rate, Static, Symbol
from hpcsim.symbolic.parse import parse_scalar

WAVES = {"fields": {"u": {}, "v": {}}, "equations": {"dtt(u)": "laplacian(u) - v", "dtt(v)": "laplacian(v)"}}
AXES = "xyzw"


def make(name: str, ndim: int, **parameters: object) -> Model:
    tables = WAVES if name == "equations" else {}
    return build_model(name, ndim, parameters=parameters, **tables)


def messages(error: pytest.ExceptionInfo[ConfigError]) -> dict[str, str]:
    return {problem.where: problem.message for problem in error.value.problems}


def quantity_names(model: Model, ndim: int):
    """Names of a diagnostic: those of the system, dt and the earlier time level of every field."""
    system = model.system(ndim)
    fields = {**system.components, **{f"{name}_prev": n for name, n in system.components.items()}}
    return system.names(fields=fields, symbols=frozenset({*system.symbols, "dt"}))


# Fields that are given at the start and stay, and models with a limit to the number of axes.
GIVEN = {"entanglement_tensor": {"rho"}}
MOST_AXES = {"entanglement_tensor": 3}


@pytest.mark.parametrize(
    ("name", "ndim"), [(name, d) for name in MODELS.names() for d in range(1, MOST_AXES.get(name, 4) + 1)]
)
def test_every_model_parses_in_every_dimension(name: str, ndim: int) -> None:
    """Defaults of every registered model give equations and quantities without a fault, for d = 1..4."""
    model = make(name, ndim)
    system = model.system(ndim)
    found = {part.field for part in (*system.equations, *system.constraints, *system.convolutions)}
    assert found | GIVEN.get(name, set()) == model.fields.keys()
    for table in model.quantities.values():
        ((_, text),) = table.items()
        parse_scalar(text, quantity_names(model, ndim))
    assert MODELS.summary(name)


@pytest.mark.parametrize("name", [name for name in MODELS.names() if name != "equations"])
def test_parameters_say_what_they_are(name: str) -> None:
    for info in MODELS.get(name).PARAMETERS.values():
        assert info.unit
        assert info.help
        assert info.allowed()


@pytest.mark.parametrize(
    ("chi", "kind"),
    [("0.2 + 0.8*exp(-(x - 3)**2)", Static), ("0.25 + 0.08*cos(0.5*t)", Symbol), ("0.15 + 0.5*E**2", Access)],
)
def test_chi_may_vary_in_space_time_or_with_the_field(chi: str, kind: type) -> None:
    """KG-14, KG-22: the mass is a formula; of space alone it is tabulated."""
    system = make("klein_gordon", 2, chi=chi).system(2)
    rhs = system.equations[0].rhs
    if kind is Static:
        assert any(node == Static("chi") for node in rhs.walk())
    elif kind is Symbol:
        assert any(node == Symbol("t") for node in rhs.walk())
    else:
        assert not system.statics
        assert "chi" in system.meanings


def test_zero_damping_leaves_no_term() -> None:
    """KG-11: damping is a rate; without it the equation has no rate in it."""
    still = make("klein_gordon", 1).system(1).equations[0].rhs
    damped = make("klein_gordon", 1, damping=0.1).system(1).equations[0].rhs
    assert not any(isinstance(node, Rate) for node in still.walk())
    assert any(isinstance(node, Rate) for node in damped.walk())
    assert "damping" not in make("klein_gordon", 1).parameters
    assert make("klein_gordon", 1).integrator == "leapfrog"


def test_diffusion_is_in_flux_form_only_where_it_must_be() -> None:
    constant = make("diffusion", 2, D="1/4")
    varying = make("diffusion", 2, D="1 + x", decay=0.1, reaction="u*(1 - u)")
    assert constant.equations == {"dt(u)": "D*laplacian(u)"}
    assert constant.parameters == {"D": 0.25}
    assert varying.equations == {"dt(u)": "div(D*grad(u)) - decay*u + reaction"}
    nodes = [node for equation in varying.system(2).equations for node in equation.rhs.walk()]
    assert any(isinstance(node, FluxDerivative) for node in nodes)


def test_positive_diffusion_smooths() -> None:
    """QG-01: the discrete right-hand side lowers a peak for the default D, and a negative D is refused."""
    model = make("diffusion", 1)
    rate = discrete(model, 1, model.system(1).equations[0].rhs, {"u": np.array([0.0, 0.0, 1.0, 0.0, 0.0])}, 1.0)
    np.testing.assert_array_equal(rate, [0.0, 1.0, -2.0, 1.0, 0.0])
    with pytest.raises(ConfigError, match="backward heat equation"):
        make("diffusion", 1, D=-0.1)


def test_advection_velocity_has_one_entry_per_axis() -> None:
    assert make("advection", 1, velocity=2).parameters == {"velocity": [2.0]}
    model = make("advection", 2, velocity=["-y", "x"])
    assert sum(isinstance(node, FluxDerivative) for node in model.system(2).equations[0].rhs.walk()) == 2
    with pytest.raises(ConfigError, match="2 axes"):
        make("advection", 2, velocity=1.0)
    with pytest.raises(ConfigError) as error:
        make("advection", 2, velocity=[float("nan"), True])
    assert set(messages(error)) == {"model.parameters.velocity[x]", "model.parameters.velocity[y]"}


def test_every_wrong_parameter_is_reported_at_once() -> None:
    """F-32: unknown names get the nearest one, values out of range the allowed ones."""
    with pytest.raises(ConfigError) as error:
        make("klein_gordon", 1, chii=1.0, c=0.0, damping=-1.0)
    found = messages(error)
    assert "did you mean 'chi'?" in found["model.parameters.chii"]
    assert "a number > 0" in found["model.parameters.c"]
    assert "every wave grow" in found["model.parameters.damping"]


@pytest.mark.parametrize("value", [True, None, "", float("inf"), 10**400, [1.0], {}, "fast"])
def test_a_number_is_a_finite_number(value: object) -> None:
    with pytest.raises(ConfigError, match="model.parameters.c"):
        make("klein_gordon", 1, c=value)


def test_bounds_are_inclusive_unless_positive() -> None:
    table = {"a": ParameterInfo(0.5, "1", "", lower=0.0, upper=1.0)}
    for value in (0.0, 1.0, "1/2"):
        check_parameters(table, {"a": value}, 1)
    for value in (-1e-9, 1.1, "1 + 1/1000"):
        with pytest.raises(ConfigError, match="out of range"):
            check_parameters(table, {"a": value}, 1)


def test_unknown_model_and_foreign_tables() -> None:
    with pytest.raises(ConfigError, match="did you mean 'klein_gordon'"):
        build_model("klein_gorden", 1)
    with pytest.raises(ConfigError, match="has its own equations"):
        build_model("diffusion", 1, equations={"dt(u)": "u"})


def test_derived_fields_may_be_added_to_any_model() -> None:
    model = build_model("klein_gordon", 1, derived={"squared": "E**2"}, dtype="float32")
    assert model.system(1).derived == ("squared",)
    assert model.fields["E"].dtype == "float32"


def test_equations_from_tables() -> None:
    model = build_model(
        "equations",
        2,
        parameters={"D": "1/10", "flow": [1, "x"]},
        fields={"u": {"dtype": "float32"}, "V": {"components": 2, "centring": "face"}},
        equations={"dt(u)": "D*laplacian(u) - div(V*u)"},
        dtype="float64",
    )
    assert model.parameters == {"D": 0.1, "flow": [1.0, "x"]}
    assert (model.fields["u"].dtype, model.fields["V"].dtype) == ("float32", "float64")
    assert model.integrator == "rk4"
    assert model.system(2).orders == {"u": 1}
    assert make("equations", 1).integrator == "leapfrog"


def test_faults_of_tables_are_listed_together() -> None:
    """F-32, F-34: fields, parameters and formulas are all checked before anything runs."""
    with pytest.raises(ConfigError) as error:
        build_model(
            "equations",
            2,
            parameters={"a": float("nan"), "b": [[1.0]], "c": []},
            fields={"u": {"centering": "cell"}, "v": {"components": True}, "V": {"centring": "face"}, "p": 3},
            equations={"dt(u)": "__import__('os')", "dt(q)": "1"},
        )
    found = messages(error)
    assert "did you mean 'centring'" in found["model.fields.u"]
    assert "whole number" in found["model.fields.v"]
    assert "one component per axis" in found["model.fields.V"]
    assert "a table is needed" in found["model.fields.p"]
    assert {"model.parameters.a", "model.parameters.b[0]", "model.parameters.c"} <= found.keys()
    assert any("dt(u)" in where for where in found)
    assert any("dt(q)" in where for where in found)


def test_names_that_belong_to_a_field() -> None:
    fields = {"V": FieldSpec("V", components=2)}
    with pytest.raises(ConfigError) as error:
        Model("m", fields, {"V_x": 1.0, "V_prev": 1.0}, {"dt(V)": "V"}, quantities={"q": {"sum": "V_x"}})
    assert {"model.parameters.V_x", "model.parameters.V_prev", "model.quantities.q"} <= messages(error).keys()
    with pytest.raises(ConfigError, match="unknown field 'W'"):
        Model("m", fields, {}, {"dt(V)": "V"}, boundary_vectors=("W",))


def test_a_model_is_added_by_one_line() -> None:
    @model_builder({"rate": ParameterInfo(1.0, "1/time", "growth rate")})
    def growth(ndim: int, parameters: dict) -> Model:
        """Growth: dt(u) = rate*u."""
        return Model("growth", {"u": FieldSpec("u")}, parameters, {"dt(u)": "rate*u"})

    assert growth.__doc__ == "Growth: dt(u) = rate*u."
    assert growth(3, {"rate": 2}).system(3).symbols == {"rate": 2.0}


# -- the conserved quantities of leapfrog, evaluated through the symbolic layer on a periodic lattice


def discrete(model: Model, ndim: int, expr: Expr, arrays: dict[str, np.ndarray], dt: float, order: int = 2, **tables):
    """A continuous expression on periodic arrays with unit spacing."""
    system = model.system(ndim)
    locations = {**system.locations, **{f"{name}_prev": at for name, at in system.locations.items()}}
    stencil = Discretizer(ndim, order, locations, ("h",) * ndim)(expr, (0,) * ndim)
    scalars = {**system.symbols, "dt": dt, "h": 1.0}

    def leaf(node: Expr) -> object:
        if isinstance(node, Symbol):
            return scalars[node.name]
        values = tables[node.register.split(":")[1]] if ":" in node.register else arrays[node.register]
        return np.roll(values, [-o for o in node.offset], axis=tuple(range(ndim)))

    return Evaluator(leaf)(stencil)


def leapfrog(model: Model, ndim: int, steps: int, order: int = 2, **tables) -> tuple[dict[str, list[float]], float]:
    """Integrals of the model's quantities over a run from smooth random data, and the largest sum of magnitudes."""
    rng, dt = np.random.default_rng(3), 0.4
    shape = (24,) if ndim == 1 else (10,) * ndim
    earlier, now = (rng.standard_normal(shape) for _ in range(2))
    rhs = model.system(ndim).equations[0].rhs
    formulas = {n: parse_scalar(q["integral"], quantity_names(model, ndim)) for n, q in model.quantities.items()}
    found: dict[str, list[float]] = {name: [] for name in formulas}
    scale = 0.0
    for _ in range(steps):
        acceleration = discrete(model, ndim, rhs, {"E": now}, dt, order, **tables)
        earlier, now = now, 2 * now - earlier + dt**2 * acceleration
        for name, formula in formulas.items():
            density = discrete(model, ndim, formula, {"E": now, "E_prev": earlier}, dt, order, **tables)
            found[name].append(float(density.sum()))
            scale = max(scale, float(np.abs(density).sum()))
    return found, scale


@pytest.mark.parametrize(("ndim", "order"), [(1, 2), (1, 4), (2, 2)])
def test_energy_and_momentum_are_the_invariants_of_leapfrog(ndim: int, order: int) -> None:
    """KG-03, KG-10: constant chi on a periodic lattice keeps energy and every momentum to rounding."""
    found, scale = leapfrog(make("klein_gordon", ndim, chi=0.3, c=0.8), ndim, 200, order)
    assert set(found) == {"energy", *(f"momentum_{axis}" for axis in AXES[:ndim])}
    for values in found.values():
        assert np.ptp(values) <= 1e-13 * scale
        assert abs(values[0]) > 1e-3 * scale


def test_energy_is_the_invariant_for_a_mass_that_varies_in_space() -> None:
    """KG-03: the energy still does not drift; the momentum does, since the lattice is no longer uniform."""
    chi = 0.2 + 0.8 * np.exp(-(((np.arange(24) - 12) / 4) ** 2))
    found, scale = leapfrog(make("klein_gordon", 1, chi="0.2 + 0.8*exp(-((x - 12)/4)**2)"), 1, 200, chi=chi)
    assert np.ptp(found["energy"]) <= 1e-13 * scale
    assert np.ptp(found["momentum_x"]) > 1e-3 * scale


def test_energy_reads_the_laplacian_of_one_level_only() -> None:
    """The energy density needs the ghosts of the earlier level, one second derivative per axis."""
    model = make("klein_gordon", 3)
    energy = parse_scalar(model.quantities["energy"]["integral"], quantity_names(model, 3))
    orders = sorted(node.order for node in energy.walk() if isinstance(node, Derivative))
    assert orders == [2, 2, 2]
