"""A model written as text: fields, parameters and equations all come from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, model_builder
from hpcsim.models.parameters import ParameterValue, constant, finite_number

FIELD_KEYS = ("centring", "components", "dtype")


@model_builder(None)
def equations(
    ndim: int,
    parameters: Mapping[str, Any],
    *,
    fields: Mapping[str, Mapping[str, Any] | FieldSpec] | None = None,
    equations: Mapping[str, str] | None = None,
    derived: Mapping[str, str] | None = None,
    convolutions: Mapping[str, Mapping[str, Any]] | None = None,
) -> Model:
    """The equations of the case file: [model.fields], [model.parameters], [model.equations], [model.convolutions].

    By default leapfrog advances it if every equation is one for dtt(field), else the fourth-order Runge-Kutta scheme.
    """
    faults: list[Problem] = []
    specs = {name: _spec(name, entry, ndim, faults) for name, entry in (fields or {}).items()}
    values = {name: _value(value, f"model.parameters.{name}", ndim, faults) for name, value in parameters.items()}
    if not specs:
        faults.append(Problem("model.fields", "none given; write e.g. u = {}"))
    try:
        model = Model(
            name="equations",
            fields=specs,
            parameters=values,
            equations=dict(equations or {}),
            derived=dict(derived or {}),
            convolutions={name: dict(table) for name, table in (convolutions or {}).items()},
            description="equations of the case file",
        )
        orders = set(model.system(ndim).orders.values())
    except ConfigError as error:
        faults.extend(error.problems)
    if faults:
        raise ConfigError(faults)
    return replace(model, integrator="leapfrog") if orders == {2} else model


def _spec(name: str, entry: object, ndim: int, faults: list[Problem]) -> FieldSpec:
    """The declaration of one field; a faulty one is reported and stands in as a scalar."""
    where = f"model.fields.{name}"
    spec = entry if isinstance(entry, FieldSpec) else None
    try:
        if spec is None:
            if not isinstance(entry, Mapping):
                raise ConfigError(f"{entry!r} given; a table is needed, e.g. {{}} or {{ components = 2 }}")
            unknown = [unknown_name("key", key, FIELD_KEYS) for key in entry if key not in FIELD_KEYS]
            components = entry.get("components", 1)
            if isinstance(components, bool) or not isinstance(components, int):
                unknown.append(f"components = {components!r}; a whole number is needed")
            if unknown:
                raise ConfigError(unknown)
            spec = FieldSpec(name, components, entry.get("centring", "cell"), entry.get("dtype") or "float64")
        spec.locations(ndim)
    except ConfigError as error:
        faults.extend(Problem(where, problem.message) for problem in error.problems)
        return FieldSpec(name or "unnamed")
    return spec


def _value(value: object, where: str, ndim: int, faults: list[Problem]) -> ParameterValue:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if not value:
            faults.append(Problem(where, "the list is empty; give one entry per component"))
        entries: list[float | str] = []
        for position, entry in enumerate(value):
            checked = _value(entry, f"{where}[{position}]", ndim, faults)
            entries.append(0.0 if isinstance(checked, list) else checked)
            if isinstance(checked, list):
                faults.append(Problem(f"{where}[{position}]", "a list inside a list; a number or formula is needed"))
        return entries
    value = constant(value, ndim)
    if isinstance(value, str) and value.strip():
        return value
    number = finite_number(value)
    if number is None:
        faults.append(Problem(where, f"{value!r} given; a finite number, a formula or a list of those is needed"))
        return 0.0
    return number
