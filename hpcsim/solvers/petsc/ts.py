"""Time integration by PETSc, an alternative to our own implicit schemes for stiff systems."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.petsc.linear import Parts
from hpcsim.solvers.petsc.options import SolverOptions
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.petsc.reasons import linear_reason, nonlinear_reason, time_reason
from hpcsim.solvers.petsc.snes import refuse_own_matrix
from hpcsim.solvers.petsc.vectors import Slot
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.choose import AUTO

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System

Vector = NDArray[np.float64]
Rate = Callable[[float, Vector, Vector], object]
"""``rhs(t, u, g)`` fills g; u is read-only."""
Implicit = Callable[[float, Vector, Vector, Vector], object]
"""``ifunction(t, u, udot, f)`` fills f; u and udot are read-only."""
RateJacobian = Callable[[float, Vector], Vector | None]
"""``rhs_jacobian(t, u)`` returns the entries of dg/du in the order of the rows, or None if they stay as they are."""
ImplicitJacobian = Callable[[float, Vector, Vector, float], Vector | None]
"""``ijacobian(t, u, udot, shift)`` returns the entries of ``shift*df/dudot + df/du``."""

# Name of a scheme: options that select it, and whether it solves systems.
_SCHEMES: dict[str, tuple[dict[str, str], bool]] = {
    "backward_euler": ({"ts_type": "beuler"}, True),
    "crank_nicolson": ({"ts_type": "cn"}, True),
    "theta": ({"ts_type": "theta"}, True),
    "bdf": ({"ts_type": "bdf"}, True),
    "arkimex": ({"ts_type": "arkimex"}, True),
    "rosenbrock": ({"ts_type": "rosw"}, True),
    "runge_kutta": ({"ts_type": "rk"}, False),
    "ssp": ({"ts_type": "ssp"}, False),
}
SCHEMES = tuple(_SCHEMES)
_ADAPTIVE = ("bdf", "arkimex", "rosenbrock", "runge_kutta")


@dataclass(frozen=True)
class Equation:
    """``f(t, u, du/dt) = g(t, u)``; without `f` it is ``du/dt = g(t, u)``.

    Additive schemes (arkimex) take f implicitly and g explicitly; implicit schemes take both implicitly.

    Attributes
    ----------
    rhs : callable or None
        g.
    ifunction : callable or None
        f.
    rhs_jacobian : callable or None
        Entries of dg/du; needed by implicit schemes without f.
    ijacobian : callable or None
        Entries of ``shift*df/dudot + df/du``.
    """

    rhs: Rate | None = None
    ifunction: Implicit | None = None
    rhs_jacobian: RateJacobian | None = None
    ijacobian: ImplicitJacobian | None = None

    def fault(self, implicit: bool) -> str:
        """What is missing, in words; empty if nothing is."""
        if self.rhs is None and self.ifunction is None:
            return "neither rhs nor ifunction was given"
        if self.ifunction is not None and self.ijacobian is None:
            return "ifunction needs ijacobian"
        if implicit and self.ifunction is None and self.rhs_jacobian is None:
            return "an implicit scheme needs rhs_jacobian, or ifunction and ijacobian"
        if not implicit and self.ifunction is not None:
            return "an explicit scheme cannot take ifunction; use arkimex, bdf or another implicit scheme"
        return ""
