"""The Klein-Gordon equation with a mass that may vary in space, in time or with the field."""

from __future__ import annotations

from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.parameters import ParameterValue
from hpcsim.symbolic.operators import AXES

PARAMETERS = {
    "c": ParameterInfo(1.0, "length/time", "wave speed", lower=0.0, positive=True),
    "chi": ParameterInfo(0.0, "1/time", "mass as a frequency, or a formula of x, y, z, w, t or E", formula=True),
    "damping": ParameterInfo(
        0.0,
        "1/time",
        "damping rate; the energy of fast waves falls as exp(-damping*t)",
        lower=0.0,
        formula=True,
        reason="a negative rate makes every wave grow",
    ),
}


@model_builder(PARAMETERS)
def klein_gordon(ndim: int, parameters: dict[str, ParameterValue]) -> Model:
    """Variable-mass Klein-Gordon waves: dtt(E) = c**2*laplacian(E) - chi**2*E - damping*dt(E).

    Energy and momentum are the invariants of the leapfrog scheme itself, not of the continuous equation. Without
    damping the energy is conserved to rounding for any chi of space alone, the momentum for constant chi on a periodic
    lattice.
    """
    right = "c**2*laplacian(E) - chi**2*E"
    kept = dict(parameters)
    if kept["damping"] == 0.0:
        del kept["damping"]
    else:
        right += " - damping*dt(E)"
    return Model(
        name="klein_gordon",
        fields={"E": FieldSpec("E")},
        parameters=kept,
        equations={"dtt(E)": right},
        quantities=_invariants(ndim),
        integrator="leapfrog",
        description="Klein-Gordon waves with a variable mass",
    )


def _invariants(ndim: int) -> dict[str, dict[str, str]]:
    """Energy and momentum per axis over the two time levels of leapfrog.

    With K = chi**2 - c**2*laplacian, the step E_next - 2 E + E_prev = -dt**2 K E keeps
    |E - E_prev|**2/(2 dt**2) + <E, K E_prev>/2 because K is symmetric, and -<E - E_prev, d(E + E_prev)>/(2 dt), which
    equals -<E, d E_prev>/dt, because the centred d is antisymmetric and commutes with K.
    """
    energy = "0.5*((E - E_prev)/dt)**2 + 0.5*E*(chi**2*E_prev - c**2*laplacian(E_prev))"
    momenta = {
        f"momentum_{axis}": {"integral": f"-((E - E_prev)/dt)*d(0.5*(E + E_prev), {axis})"} for axis in AXES[:ndim]
    }
    return {"energy": {"integral": energy}, **momenta}
