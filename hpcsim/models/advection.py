"""Transport of a quantity by a given velocity."""

from __future__ import annotations

from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.parameters import ParameterValue

PARAMETERS = {
    "velocity": ParameterInfo(
        (1.0, 0.0, 0.0, 0.0),
        "length/time",
        "velocity, one number or formula of x, y, z, w, t for each axis",
        formula=True,
        vector=True,
    ),
}


@model_builder(PARAMETERS)
def advection(ndim: int, parameters: dict[str, ParameterValue]) -> Model:
    """Advection in flux form: dt(u) = -div(velocity*u); the content of u is conserved."""
    return Model(
        name="advection",
        fields={"u": FieldSpec("u")},
        parameters=parameters,
        equations={"dt(u)": "-div(velocity*u)"},
        quantities={"content": {"integral": "u"}},
        description="transport by a given velocity",
    )
