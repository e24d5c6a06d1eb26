"""Entanglement density: diffusion and decay under white noise."""

from __future__ import annotations

from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.parameters import ParameterValue

PARAMETERS = {
    "D": ParameterInfo(
        1.0,
        "length**2/time",
        "diffusion coefficient, or a formula of x, y, z, w, t or rho; positive values smooth",
        lower=0.0,
        formula=True,
        reason="a negative D is the backward heat equation: it sharpens instead of smoothing and has no stable scheme",
    ),
    "gamma": ParameterInfo(0.0, "1/time", "decay rate, or a formula", formula=True),
    "sigma": ParameterInfo(
        0.0,
        "rho/sqrt(time)",
        "strength of the noise of a site: without diffusion and decay its variance grows as sigma**2*t; or a formula",
        lower=0.0,
        formula=True,
    ),
}


@model_builder(PARAMETERS)
def entanglement_density(ndim: int, parameters: dict[str, ParameterValue]) -> Model:
    """Entanglement density: dt(rho) = D*laplacian(rho) - gamma*rho + sigma*noise(); a positive D smooths.

    A D that varies is kept inside the divergence, so content only moves; terms that are zero are left out.
    """
    terms = {
        "D": "div(D*grad(rho))" if isinstance(parameters["D"], str) else "D*laplacian(rho)",
        "gamma": "-gamma*rho",
        "sigma": "sigma*noise()",
    }
    kept = {name: parameters[name] for name in terms if parameters[name] != 0.0}
    right = " + ".join(terms[name] for name in kept).replace("+ -", "- ")
    return Model(
        name="entanglement_density",
        fields={"rho": FieldSpec("rho")},
        parameters=kept,
        equations={"dt(rho)": right or "0"},
        quantities={"content": {"integral": "rho"}},
        description="diffusion and decay under white noise",
    )
