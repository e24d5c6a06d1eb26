"""Entanglement tensor: ten components, each the convolution of a density with a kernel of its own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

from hpcsim.errors import ConfigError, Problem
from hpcsim.fields.spec import FieldSpec
from hpcsim.models.base import Model, ParameterInfo, model_builder
from hpcsim.models.entanglement_density import PARAMETERS as DENSITY
from hpcsim.models.entanglement_density import entanglement_density
from hpcsim.models.parameters import ParameterValue
from hpcsim.solvers.fft.greens import GREENS, make_green

INDICES = "txyz"
COMPONENTS = tuple(a + b for a, b in combinations_with_replacement(INDICES, 2))
"""Independent components of a symmetric 4x4 tensor in the order of the field: tt, tx, ty, tz, xx, xy, ..., zz."""

MOST_AXES = len(INDICES) - 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OPEN, _PERIODIC = "open", "periodic"

PARAMETERS = {
    "kernel": ParameterInfo(
        "gaussian",
        "g",
        "radial part g of the kernel: a Green's function, or a formula of the distance r",
        formula=True,
        choices=tuple(name for name in GREENS if name != "formula"),
    ),
    "length": ParameterInfo(1.0, "length", "range of the kernel", lower=0.0, positive=True),
    "coupling": ParameterInfo(1.0, "E/(rho*g*length**d)", "strength of the source, or a formula", formula=True),
    "space": ParameterInfo(
        _OPEN, "1", "whether space goes on empty outside of the lattice or repeats it", choices=(_OPEN, _PERIODIC)
    ),
    "D": replace(DENSITY["D"], default=0.0),
    "gamma": DENSITY["gamma"],
    "sigma": DENSITY["sigma"],
}


@model_builder(PARAMETERS)
def entanglement_tensor(ndim: int, parameters: dict[str, ParameterValue]) -> Model:
    """Entanglement tensor: E_mn(x) = integral of coupling*rho(y)*K_mn(x - y) dy, for a density that may evolve.

    The kernel of a source at rest is ``K_mn = g(r)*n_m*n_n`` with ``n = (1, x/r, y/r, z/r)``, the direction of light
    from the source: ``K_tt = g``, ``K_tx = g*x/r``, ``K_xy = g*x*y/r**2``. The field E has the components tt, tx, ty,
    tz, xx, xy, xz, yy, yz, zz on one to three axes; those along an axis that the lattice does not have are zero. The
    names ``E_tt``, ``E_tx``, ... stand for single components.

    The density obeys the equation of the model entanglement_density; without diffusion, decay and noise it is given.
    """
    if ndim > MOST_AXES:
        raise ConfigError([Problem("model.name", f"entanglement_tensor is made for 1 to {MOST_AXES} axes, not {ndim}")])
    density = entanglement_density(ndim, {name: parameters[name] for name in DENSITY})
    given = not density.parameters
    convolution: dict[str, Any] = {
        "source": "coupling*rho",
        "kernel": _kernels(ndim, parameters["kernel"]),
        **({"mode": _PERIODIC} if parameters["space"] == _PERIODIC else {}),
    }
    return Model(
        name="entanglement_tensor",
        fields={"rho": FieldSpec("rho"), "E": FieldSpec("E", len(COMPONENTS))},
        parameters={name: parameters[name] for name in ("length", "coupling")} | density.parameters,
        equations={} if given else density.equations,
        derived={f"E_{name}": _component(place) for place, name in enumerate(COMPONENTS)},
        convolutions={"E": convolution},
        quantities={"content": {"integral": "rho"}, "mass": {"integral": "E_tt"}},
        description="ten components by convolution of a density",
    )


def _component(place: int) -> str:
    """Formula for one component of E."""
    return f"dot(E, vector({', '.join('1' if i == place else '0' for i in range(len(COMPONENTS)))}))"


def _kernels(ndim: int, radial: ParameterValue) -> list[Any]:
    """Kernel of every component."""
    axes = INDICES[: ndim + 1]
    return [
        _kernel(ndim, str(radial), [f"{index}/r" for index in name if index != "t"]) if set(name) <= set(axes) else "0"
        for name in COMPONENTS
    ]


def _kernel(ndim: int, radial: str, directions: list[str]) -> Mapping[str, Any] | str:
    """The radial part times components of the direction."""
    if not _NAME.fullmatch(radial.strip()):
        return "*".join([f"({radial})", *directions])
    name = radial.strip()
    try:
        needs_length = "length" in inspect.signature(GREENS.get(name)).parameters
        make_green(name, ndim, **({"length": 1.0} if needs_length else {}))
    except ConfigError as error:
        raise ConfigError([Problem("model.parameters.kernel", problem.message) for problem in error.problems]) from None
    table: dict[str, Any] = {"name": name}
    if needs_length:
        table["length"] = "length"
    if directions:
        table["times"] = "*".join(directions)
    return table
