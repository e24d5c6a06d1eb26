"""What a linear solver is to the rest of the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hpcsim.boundary.conditions import Conditions
from hpcsim.lattice.location import Location
from hpcsim.solvers.ends import keeps_symmetry
from hpcsim.solvers.operator import Operator
from hpcsim.solvers.options import SolverOptions
from hpcsim.solvers.outcome import Outcome
from hpcsim.solvers.petsc.session import Session
from hpcsim.solvers.unknowns import Vector
from hpcsim.sweeps.setting import Setting


@dataclass(frozen=True)
class Equations:
    """What a linear solver is made for.

    Attributes
    ----------
    operator : Operator
        The problem; its coefficients are evaluated.
    conditions : Conditions
        Boundary conditions of the run without their values.
    options : SolverOptions
        What was asked for.
    session : Session
        PETSc, if it is needed.
    t, dt : float
        Time and step size that the coefficients belong to.
    """

    operator: Operator
    conditions: Conditions
    options: SolverOptions
    session: Session
    t: float
    dt: float

    @property
    def symmetric(self) -> bool:
        """Whether the matrix is symmetric, boundary conditions included, as far as the form of the equations shows."""
        operator, setting = self.operator, self.operator.setting
        linear, domain = operator.linear, setting.layout.domain
        if not linear.symmetric:
            return False
        reaches = [max((abs(e.offset[axis]) for e in linear.entries), default=0) for axis in range(domain.ndim)]
        return all(
            keeps_symmetry(self.conditions.at(setting.sources[register], component, axis, side), component, *kind)
            for register, component in operator.problem.unknowns
            for axis in range(domain.ndim)
            if not domain.periodic[axis] and reaches[axis]
            for kind in [(bool(_location(setting, register, component)[axis]), reaches[axis])]
            for side in (0, 1)
        )

    def apply(self, x: Vector, out: Vector) -> Vector:
        """The operator on a packed vector; collective."""
        return self.operator.apply(x, out, self.t, self.dt)


def _location(setting: Setting, register: str, component: int) -> Location:
    return setting.state[register].spec.locations(setting.layout.domain.ndim)[component]


class LinearSolver(Protocol):
    """Solves ``A x = b`` for packed vectors; every verb is collective.

    Attributes
    ----------
    method : str
        What solves, in words.
    """

    method: str

    def update(self, equations: Equations) -> None:
        """Take up coefficients that have changed."""
        ...

    def solve(self, b: Vector, x: Vector, rtol: float, atol: float) -> Outcome:
        """Improve `x` until the two-norm of ``b - A x`` is at most ``max(rtol*|b|, atol)``."""
        ...

    def free(self) -> None:
        """Give back what the solver holds."""
        ...
