"""Small problems for integrator tests: schemes of given equations, and runs on a few sites."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.fields.spec import FieldSpec
from hpcsim.integrators import INTEGRATORS
from hpcsim.integrators.scheme import Scheme
from hpcsim.sweeps.discrete import Discrete
from hpcsim.symbolic.discretize import Discretizer
from hpcsim.symbolic.system import build_system

SPACINGS = ("h_x", "h_y", "h_z", "h_w")
EXACT = {"rtol": 1e-13, "atol": 1e-14, "newton_rtol": 1e-12}
"""Solvers to rounding, so that what is measured is the scheme."""


def discrete(equations: dict[str, str], ndim: int = 1, parameters: dict | None = None, **centrings: str) -> Discrete:
    """A discretised system; every field is a cell-centred scalar unless its centring is given."""
    names = [left[left.find("(") + 1 : -1] for left in equations]
    places = {}
    for name in names:
        centring = centrings.get(name, "cell")
        places[name] = FieldSpec(name, ndim if centring in ("face", "edge") else 1, centring).locations(ndim)
    system = build_system(ndim, places, parameters or {}, equations)
    return Discrete(system, Discretizer(ndim, 2, places, SPACINGS[:ndim]))


def scheme_of(name: str, equations: dict[str, str], **options: Any) -> Scheme:
    """A scheme of the registry for some equations."""
    return INTEGRATORS.get(name)(discrete(equations, **options))


def ode(equations: dict[str, str], initial: dict[str, Any], integrator: str, dt: float, **options: Any) -> Simulation:
    """An ordinary differential equation at every site of a small lattice."""
    parameters = options.pop("parameters", {})
    options = {"allow_unstable": True, "solver": EXACT, **options}
    return Simulation(
        Lattice([4]), Model(equations, parameters=parameters), initial=initial, integrator=integrator, dt=dt,
        backend="numpy", **options,
    )  # fmt: skip


def final(simulation: Simulation, name: str = "u") -> float:
    """Value at the first site; all sites are alike."""
    values = simulation[name]
    assert np.all(values == values[0])
    return float(values[0])


def observed_order(
    equations: dict[str, str],
    initial: dict[str, Any],
    integrator: str,
    exact: float,
    steps: tuple[int, ...],
    **options: Any,
) -> float:
    """Slope of the error at t = 1 between the two finest step sizes."""
    errors = []
    for count in steps:
        run = ode(equations, initial, integrator, 1.0 / count, **options).run(steps=count)
        errors.append(abs(final(run) - exact))
    return float(np.log(errors[-2] / errors[-1]) / np.log(steps[-1] / steps[-2]))
