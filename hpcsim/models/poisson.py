"""The Poisson and the Helmholtz equation, with a coefficient that may vary."""

from __future__ import annotations

from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.parameters import ParameterValue

PARAMETERS = {
    "source": ParameterInfo(0.0, "k*phi/length**2", "right-hand side, or a formula of x, y, z, w", formula=True),
    "k": ParameterInfo(
        1.0, "1", "coefficient inside of the divergence, or a formula of x, y, z, w or phi", lower=0.0, positive=True,
        formula=True, reason="with a k that changes sign the equation has no unique solution",
    ),
    "shift": ParameterInfo(0.0, "k/length**2", "factor of the term -shift*phi, or a formula", formula=True),
}  # fmt: skip


@model_builder(PARAMETERS)
def poisson(ndim: int, parameters: dict[str, ParameterValue]) -> Model:
    """A potential: 0 = div(k*grad(phi)) - shift*phi - source.

    It has no time derivative: a run solves once and ends. Terms that are zero are left out. Without a shift, and
    between walls that fix no value, phi is determined up to a constant; its mean is then zero and the mean of the
    source is taken out.
    """
    kept = {"k": parameters["k"]}
    residual = "div(k*grad(phi))" if isinstance(kept["k"], str) else "k*laplacian(phi)"
    for name, term in (("shift", " - shift*phi"), ("source", " - source")):
        if parameters[name] != 0.0:
            kept[name] = parameters[name]
            residual += term
    return Model(
        name="poisson",
        fields={"phi": FieldSpec("phi")},
        parameters=kept,
        equations={"solve(phi)": residual},
        quantities={"mean": {"mean": "phi"}, "largest": {"max": "abs(phi)"}},
        description="potential of a given source",
    )
