"""Systems of differential equations as PETSc integrates them, and their implicit part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.petsc.system import System
from hpcsim.solvers.rows import Rows

Vector = NDArray[np.float64]
Rate = Callable[[float, Vector, Vector], object]
"""``rhs(t, u, g)`` fills g; u is read-only."""
Implicit = Callable[[float, Vector, Vector, Vector], object]
"""``ifunction(t, u, udot, f)`` fills f; u and udot are read-only."""
RateJacobian = Callable[[float, Vector], Vector | None]
"""``rhs_jacobian(t, u)`` returns the entries of dg/du in the order of the rows, or None if they stay as they are."""
ImplicitJacobian = Callable[[float, Vector, Vector, float], Vector | None]
"""``ijacobian(t, u, udot, shift)`` returns the entries of ``shift*df/dudot + df/du``, or None."""


@dataclass(frozen=True)
class Equation:
    """``f(t, u, du/dt) = g(t, u)``; without `ifunction` it is ``du/dt = g(t, u)``.

    Additive schemes take f implicitly and g explicitly, if both are given; other implicit schemes take both implicitly.

    Attributes
    ----------
    rhs : callable or None
        g.
    rhs_jacobian : callable or None
        Entries of dg/du.
    ifunction : callable or None
        f.
    ijacobian : callable or None
        Entries of ``shift*df/dudot + df/du``.
    """

    rhs: Rate | None = None
    rhs_jacobian: RateJacobian | None = None
    ifunction: Implicit | None = None
    ijacobian: ImplicitJacobian | None = None

    def fault(self, implicit: bool, additive: bool) -> str:
        """What a scheme misses, in words; empty if nothing.

        Examples
        --------
        >>> Equation(rhs=lambda t, u, g: None).fault(implicit=True, additive=False)
        'an implicit scheme needs rhs_jacobian too'
        """
        if self.rhs is None and self.ifunction is None:
            return "neither rhs nor ifunction was given"
        if not implicit:
            return "" if self.ifunction is None else "an explicit scheme cannot take ifunction"
        if self.ifunction is not None and self.ijacobian is None:
            return "ifunction needs ijacobian too"
        taken_implicitly = self.rhs is not None and not (additive and self.ifunction is not None)
        if taken_implicitly and self.rhs_jacobian is None:
            return "an implicit scheme needs rhs_jacobian too"
        return ""


class ImplicitPart:
    """``F(t, u, udot)``, what an implicit scheme solves for, and its derivative.

    Parameters
    ----------
    equation : Equation
        The equation.
    system : System
        Pattern or action of the Jacobian: of dg/du if there is no f, else of all.
    with_rhs : bool
        Whether g belongs to the implicit part.

    Raises
    ------
    ConfigError
        If a row has no entry on the diagonal, where the mass term goes.
    """

    def __init__(self, equation: Equation, system: System, with_rhs: bool) -> None:
        self._equation = equation
        self._rhs = equation.rhs if with_rhs else None
        self._rhs_jacobian = equation.rhs_jacobian if with_rhs else None
        self._work = np.zeros(system.count)
        self._shift = 0.0
        self._rates: Vector | None = None
        self._apply = system.apply
        self.system = system
        if equation.ifunction is None and system.rows is not None:
            self._diagonal = diagonal_places(system.rows)
        if equation.ifunction is None and system.apply is not None:
            self.system = replace(system, apply=self._shifted)

    def residual(self, t: float, u: Vector, udot: Vector, out: Vector) -> None:
        """F: f or du/dt, less g if it belongs here."""
        if self._equation.ifunction is not None:
            self._equation.ifunction(t, u, udot, out)
        else:
            out[:] = udot
        if self._rhs is not None:
            self._rhs(t, u, self._work)
            out -= self._work

    def entries(self, t: float, u: Vector, udot: Vector, shift: float) -> Vector | None:
        """Entries of ``shift*dF/dudot + dF/du``, None if the matrix stays as it is or there is none."""
        self._shift = shift
        if self._rhs_jacobian is not None:
            found = self._rhs_jacobian(t, u)
            self._rates = self._rates if found is None else found
        if self._equation.ijacobian is not None:
            data = self._equation.ijacobian(t, u, udot, shift)
            return data if data is None or self._rates is None else data - self._rates
        if self._rates is None:
            return None
        data = -self._rates
        data[self._diagonal] += shift
        return data

    def _shifted(self, x: Vector, y: Vector) -> None:
        """Action of ``shift - dg/du`` from that of dg/du."""
        if self._apply is not None:
            self._apply(x, y)
        y *= -1.0
        y += self._shift * x


def diagonal_places(rows: Rows) -> NDArray[np.int64]:
    """Where the entry of each row in its own column stands.

    Raises
    ------
    ConfigError
        If a row has none.

    Examples
    --------
    >>> diagonal_places(Rows.of([0, 2, 3], [0, 1, 1], [1.0, 2.0, 3.0])).tolist()
    [0, 2]
    """
    places = np.flatnonzero(rows.indices - rows.first == rows.row_numbers())
    if len(places) != rows.count:
        raise ConfigError(f"{rows.count - len(places)} rows have no entry on the diagonal; add a zero there")
    return places
