"""A model as data: fields, parameters and equations in text, and the builders that make one for a dimension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.fields.spec import FieldSpec
from hpcsim.models.parameters import ParameterInfo, ParameterValue, check_parameters
from hpcsim.symbolic.operators import AXES
from hpcsim.symbolic.system import System, build_system

__all__ = ["Model", "ModelBuilder", "ParameterInfo", "model_builder"]

REDUCTIONS = ("integral", "max", "min", "mean", "norm2")


@dataclass(frozen=True)
class Model:
    """Equations of one or several fields, as text that the symbolic layer turns into stencils.

    Parameters
    ----------
    name : str
        Name of the model.
    fields : dict of str to FieldSpec
        The fields of the state. One without an equation keeps its initial values.
    parameters : dict of str to (float, str or list of those)
        Numbers, formulas of space, time and fields, or vectors of them.
    equations : dict of str to str
        ``"dt(u)"`` or ``"dtt(u)"`` to the right-hand side.
    derived : dict of str to str
        Names for formulas that equations, output and diagnostics may use.
    convolutions : dict of str to dict
        Fields that are integrals at every time: ``{"Phi": {"source": "-4*pi*G*rho", "kernel": "coulomb"}}``, and
        ``mode``. Source and kernel may be lists with one entry per component.
    quantities : dict of str to dict of str to str
        Default diagnostics: ``{"content": {"integral": "u"}}``; also max, min, mean and norm2. Their formulas may use
        ``dt`` and, for a second-order field E, the earlier time level ``E_prev``.
    integrator : str
        Integrator used unless the run names another.
    boundary_vectors : tuple of str
        Fields whose components point along the axes: a mirror turns their normal component round.
    description : str
        One line for people.

    Raises
    ------
    ConfigError
        If a name belongs to a field in another sense or a quantity has no meaning; every fault is listed. Faults in
        the equations are found by `system`, which knows the dimension.

    Examples
    --------
    >>> heat = Model("heat", {"u": FieldSpec("u")}, {"D": 0.1}, {"dt(u)": "D*laplacian(u)"})
    >>> heat.system(2).orders, heat.integrator
    ({'u': 1}, 'rk4')
    """

    name: str
    fields: dict[str, FieldSpec]
    parameters: dict[str, ParameterValue]
    equations: dict[str, str]
    derived: dict[str, str] = field(default_factory=dict)
    convolutions: dict[str, dict[str, Any]] = field(default_factory=dict)
    quantities: dict[str, dict[str, str]] = field(default_factory=dict)
    integrator: str = "rk4"
    boundary_vectors: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        faults = [*_name_faults(self), *_quantity_faults(self)]
        if faults:
            raise ConfigError(faults)

    def system(self, ndim: int) -> System:
        """The texts parsed for a lattice of `ndim` axes.

        Raises
        ------
        ConfigError
            If a name is not allowed, a formula has no meaning, or components and centring do not suit the dimension;
            every fault is listed.
        """
        faults: list[Problem] = []
        locations = {}
        for name, spec in self.fields.items():
            try:
                locations[name] = spec.locations(ndim)
            except ConfigError as error:
                faults.extend(Problem(f"model.fields.{name}", problem.message) for problem in error.problems)
        if faults:
            raise ConfigError(faults)
        return build_system(ndim, locations, self.parameters, self.equations, self.derived, self.convolutions)

    def with_dtype(self, dtype: str) -> Model:
        """The same model with the values of every field in another number type."""
        return replace(self, fields={name: replace(spec, dtype=dtype) for name, spec in self.fields.items()})


def _name_faults(model: Model) -> list[Problem]:
    """Names that stand for a component or an earlier time level of a field, and vectors that are none."""
    faults = []
    taken = {kind: getattr(model, kind) for kind in ("fields", "parameters", "derived")}
    for name, spec in model.fields.items():
        parts = [f"{name}_{axis}" for axis in AXES[: spec.components]] if spec.components > 1 else []
        for implied in (*parts, f"{name}_prev"):
            for kind in (kind for kind, names in taken.items() if implied in names):
                faults.append(
                    Problem(f"model.{kind}.{implied}", f"this name belongs to field '{name}'; choose another")
                )
    for name in model.boundary_vectors:
        if name not in model.fields:
            faults.append(Problem("model.boundary_vectors", unknown_name("field", name, model.fields)))
    return faults


def _quantity_faults(model: Model) -> list[Problem]:
    faults = []
    for name, table in model.quantities.items():
        where = f"model.quantities.{name}"
        if len(table) != 1:
            faults.append(Problem(where, f"{len(table)} reductions given; one of {', '.join(REDUCTIONS)} is needed"))
        faults.extend(Problem(where, unknown_name("reduction", r, REDUCTIONS)) for r in table if r not in REDUCTIONS)
    return faults


class ModelBuilder:
    """A named model for any dimension: checks the parameters, then makes the `Model`.

    Parameters
    ----------
    build : callable
        ``build(ndim, parameters) -> Model`` for parameters that are complete and checked.
    parameters : mapping of str to ParameterInfo, optional
        What the model may be given; None leaves the parameters to `build`.

    Attributes
    ----------
    PARAMETERS : dict of str to ParameterInfo
        The parameters, empty if any are allowed.
    """

    def __init__(self, build: Callable[..., Model], parameters: Mapping[str, ParameterInfo] | None) -> None:
        self.PARAMETERS = dict(parameters or {})
        self._open = parameters is None
        self._build = build
        self.__doc__ = build.__doc__

    def __call__(self, ndim: int, parameters: Mapping[str, Any] | None = None, **tables: Any) -> Model:
        """The model in `ndim` dimensions.

        Raises
        ------
        ConfigError
            If parameters are unknown, of a wrong kind or out of range; every fault is listed.
        """
        given = dict(parameters or {})
        checked = given if self._open else check_parameters(self.PARAMETERS, given, ndim)
        return self._build(ndim, checked, **tables)


def model_builder(parameters: Mapping[str, ParameterInfo] | None) -> Callable[[Callable[..., Model]], ModelBuilder]:
    """Decorator that turns ``build(ndim, parameters) -> Model`` into a `ModelBuilder`.

    Examples
    --------
    >>> @model_builder({"D": ParameterInfo(1.0, "length**2/time", "diffusion coefficient", lower=0.0)})
    ... def heat(ndim, parameters):
    ...     return Model("heat", {"u": FieldSpec("u")}, parameters, {"dt(u)": "D*laplacian(u)"})
    >>> heat(2, {"D": 0.5}).parameters
    {'D': 0.5}
    """
    return lambda build: ModelBuilder(build, parameters)
