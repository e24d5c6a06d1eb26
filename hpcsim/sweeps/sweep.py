"""What a step consists of: passes over all owned sites after a fill of ghosts, and systems that are solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpcsim.kernels.loopnest import Assignment
from hpcsim.symbolic.discretize import Location
from hpcsim.symbolic.expr import Expr


@dataclass(frozen=True)
class Sweep:
    """Assignments carried out at every owned site of one location.

    Attributes
    ----------
    location : Location
        Where the targets live.
    assignments : tuple of Assignment
        In order.
    """

    location: Location
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True)
class Stage:
    """One or more sweeps after a fill of the ghosts they read.

    Attributes
    ----------
    time : float
        Place of the stage in the step, in units of dt: ghosts and time-dependent terms are taken at t + time*dt.
    sweeps : tuple of Sweep
        In order; the ghosts are those the first sweep of each register needs.
    inputs : mapping of str to str
        Field to the register that holds its value at this stage, where that is not the register of the field itself.
    """

    time: float
    sweeps: tuple[Sweep, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> list[Expr]:
        """Every expression that is evaluated."""
        return [assignment.value for sweep in self.sweeps for assignment in sweep.assignments]


@dataclass(frozen=True)
class Solve:
    """An implicit stage: gives some registers the values for which every residual is zero.

    Attributes
    ----------
    name : str
        Name of the solver: the prefix of its options, and what messages call it.
    time : float
        Place in the step, in units of dt: ghosts and time-dependent terms are taken at t + time*dt.
    unknowns : tuple of (str, int)
        Register and component.
    residuals : tuple of Expr
        Discrete expressions at the sites of the unknowns, one for each, zero at the solution.
    guess : tuple of Sweep
        Carried out first; they give the unknowns their starting values from values at the same site. Without them the
        unknowns start as they are.
    inputs : mapping of str to str
        Field to the register that holds its value at this stage, as for `Stage`; two stages that differ in it alone are
        equal.

    Notes
    -----
    Stages of one step with the same unknowns and residuals differ in their time alone; they can share an operator.
    """

    name: str
    time: float
    unknowns: tuple[tuple[str, int], ...]
    residuals: tuple[Expr, ...]
    guess: tuple[Sweep, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """The sweeps that are known before the system is solved: those of the guess."""
        return self.guess

    @property
    def values(self) -> list[Expr]:
        """Every expression that is evaluated, that of a residual included."""
        return [*(a.value for sweep in self.guess for a in sweep.assignments), *self.residuals]
