"""Diffusion with decay and a reaction."""

from __future__ import annotations

from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.parameters import ParameterValue

PARAMETERS = {
    "D": ParameterInfo(
        1.0,
        "length**2/time",
        "diffusion coefficient, or a formula of x, y, z, w, t or u; positive values smooth",
        lower=0.0,
        formula=True,
        reason="a negative D is the backward heat equation: it sharpens instead of smoothing and has no stable scheme",
    ),
    "decay": ParameterInfo(0.0, "1/time", "decay rate, or a formula", formula=True),
    "reaction": ParameterInfo(0.0, "u/time", "source term, or a formula such as u*(1 - u)", formula=True),
}


@model_builder(PARAMETERS)
def diffusion(ndim: int, parameters: dict[str, ParameterValue]) -> Model:
    """Diffusion: dt(u) = div(D*grad(u)) - decay*u + reaction; a positive D smooths.

    A D that varies is kept inside the divergence, so content only moves; terms that are zero are left out.
    """
    kept = {"D": parameters["D"]}
    right = "div(D*grad(u))" if isinstance(kept["D"], str) else "D*laplacian(u)"
    for name, term in (("decay", " - decay*u"), ("reaction", " + reaction")):
        if parameters[name] != 0.0:
            kept[name] = parameters[name]
            right += term
    return Model(
        name="diffusion",
        fields={"u": FieldSpec("u")},
        parameters=kept,
        equations={"dt(u)": right},
        quantities={"content": {"integral": "u"}},
        description="diffusion with decay and a reaction",
    )
