"""Manufactured and exact solutions, one for every model of the registry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcsim.api import Model

TURN = 2 * math.pi


@dataclass(frozen=True)
class Solution:
    """A smooth periodic solution on a cube of side 2*pi.

    Attributes
    ----------
    model : callable
        The model for an order in space.
    field : str
        Its field.
    initial : dict of str to str
        Values, and rates under ``dt(field)``, at time 0.
    exact : callable
        The solution, of the coordinates and the time.
    step : callable
        A step size that is well inside the stability limit, of the spacing.
    diffusive : bool
        Whether that step goes with the square of the spacing.
    ndim : int
        Axes.
    time : float
        Length of the run.
    integrators : tuple of str
        Schemes to look at; none stands for all that take the model.
    """

    model: Callable[[int], Model]
    field: str
    initial: dict[str, str]
    exact: Callable[..., Any]
    step: Callable[[float], float]
    diffusive: bool = False
    ndim: int = 1
    time: float = 0.5
    integrators: tuple[str, ...] = ()


def _advected(x: Any, y: Any, t: float) -> Any:
    return np.exp(0.4 * np.sin(x - 0.8 * t) + 0.3 * np.cos(y + 0.5 * t))


def _heat(x: Any, t: float) -> Any:
    return np.exp(0.5 * np.sin(x) - t)


def _entangled(x: Any, y: Any, t: float) -> Any:
    return np.cos(x) * math.exp(-1.1 * t) + 0.5 * np.sin(2 * x + y) * math.exp(-3.9 * t)


def _waves(x: Any, y: Any, t: float) -> Any:
    return np.cos(x - 1.25**0.5 * t) + 0.5 * np.cos(x + y + 1.5 * t)


def _massive(x: Any, t: float) -> Any:
    return np.exp(0.5 * np.sin(x)) * np.cos(1.3 * t)


_G = "0.5*sin(x)"
# For u = exp(g - t) with D = 1 + cos(x)/2: u_t - (D u_x)_x = -u*(1 + D*(g'**2 + g'') + D'*g').
_HEAT_SOURCE = f"-exp({_G} - t)*(1 + (1 + 0.5*cos(x))*((0.5*cos(x))**2 - 0.5*sin(x)) - 0.5*sin(x)*0.5*cos(x) - 0.3)"
# For T = exp(g - t) with a conductivity K = 1 + cos(x)/2 and a capacity C: C*T_t = (K T_x)_x + source.
_CAPACITY = "(1 + 0.3*sin(x))"
_HEATING = f"-exp({_G} - t)*({_CAPACITY} + (1 + 0.5*cos(x))*((0.5*cos(x))**2 - 0.5*sin(x)) - 0.5*sin(x)*0.5*cos(x))"
# For E = exp(h)*cos(1.3 t): E_tt - E_xx + chi**2 E = E*(chi**2 - 1.69 - (h'**2 + h'')).
_MASS = "(0.5 + 0.3*cos(x))"
_MASS_SOURCE = f"exp(0.5*sin(x))*cos(1.3*t)*({_MASS}**2 - 1.69 - ((0.5*cos(x))**2 - 0.5*sin(x)))"

SOLUTIONS = {
    "advection": Solution(
        lambda order: Model(name="advection", parameters={"velocity": [0.8, -0.5]}, order=order),
        "u",
        {"u": "exp(0.4*sin(x) + 0.3*cos(y))"},
        _advected,
        lambda dx: 0.12 * dx,
        ndim=2,
    ),
    "diffusion": Solution(
        lambda order: Model(
            name="diffusion", parameters={"D": "1 + 0.5*cos(x)", "decay": 0.3, "reaction": _HEAT_SOURCE}, order=order
        ),
        "u",
        {"u": f"exp({_G})"},
        _heat,
        lambda dx: 0.1 * dx**2,
        diffusive=True,
        time=0.2,
    ),
    "heat": Solution(
        lambda order: Model(
            name="heat",
            parameters={"conductivity": "1 + 0.5*cos(x)", "capacity": _CAPACITY, "source": _HEATING},
            order=order,
        ),
        "T",
        {"T": f"exp({_G})"},
        _heat,
        lambda dx: 0.1 * dx**2,
        diffusive=True,
        time=0.2,
        integrators=("crank_nicolson", "rk4"),
    ),
    "entanglement_density": Solution(
        lambda order: Model(name="entanglement_density", parameters={"D": 0.7, "gamma": 0.4}, order=order),
        "rho",
        {"rho": "cos(x) + 0.5*sin(2*x + y)"},
        _entangled,
        lambda dx: 0.1 * dx**2,
        diffusive=True,
        ndim=2,
        time=0.2,
        integrators=("exponential_modes", "rk4"),
    ),
    "klein_gordon": Solution(
        lambda order: Model(name="klein_gordon", parameters={"chi": 0.5}, order=order),
        "E",
        {"E": "cos(x) + 0.5*cos(x + y)", "dt(E)": "sqrt(1.25)*sin(x) - 0.75*sin(x + y)"},
        _waves,
        lambda dx: 0.04 * dx,
        ndim=2,
    ),
    "equations": Solution(
        lambda order: Model(
            {"dtt(E)": f"laplacian(E) - chi**2*E + {_MASS_SOURCE}"}, parameters={"chi": _MASS}, order=order
        ),
        "E",
        {"E": "exp(0.5*sin(x))"},
        _massive,
        lambda dx: 0.12 * dx,
    ),
}

STATIONARY = frozenset({"poisson", "entanglement_tensor"})
"""Models without time derivatives; their exact solutions stand beside the tests of what solves them."""
