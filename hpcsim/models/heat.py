"""Heat conduction in a material that may vary in space."""

from __future__ import annotations

from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.parameters import ParameterValue

PARAMETERS = {
    "conductivity": ParameterInfo(
        1.0, "power/(length*temperature)", "thermal conductivity, or a formula of x, y, z, w, t or T", lower=0.0,
        formula=True, reason="heat flows from hot to cold",
    ),
    "capacity": ParameterInfo(
        1.0, "energy/(volume*temperature)", "heat capacity of a volume (density times specific heat), or a formula",
        lower=0.0, positive=True, formula=True,
    ),
    "source": ParameterInfo(
        0.0, "power/volume", "heat that is set free, or a formula of x, y, z, w, t or T", formula=True
    ),
}  # fmt: skip


@model_builder(PARAMETERS)
def heat(ndim: int, parameters: dict[str, ParameterValue]) -> Model:
    """Heat conduction: capacity*dt(T) = div(conductivity*grad(T)) + source, by implicit steps.

    A conductivity that varies stays inside of the divergence, so that heat only moves. The step size is free of the
    explicit limit; give run.dt as fine as the answer must be in time.
    """
    kept = {name: parameters[name] for name in ("conductivity", "capacity")}
    flux = "div(conductivity*grad(T))" if isinstance(kept["conductivity"], str) else "conductivity*laplacian(T)"
    if parameters["source"] != 0.0:
        kept["source"] = parameters["source"]
        flux += " + source"
    return Model(
        name="heat",
        fields={"T": FieldSpec("T")},
        parameters=kept,
        equations={"dt(T)": f"({flux})/capacity"},
        quantities={"heat": {"integral": "capacity*T"}, "hottest": {"max": "T"}},
        integrator="crank_nicolson",
        description="heat conduction with implicit steps",
    )
