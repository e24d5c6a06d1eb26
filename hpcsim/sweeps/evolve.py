"""A step that another library takes: it is given the rates of the unknowns and a derivative."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsim.sweeps.sweep import Sweep
from hpcsim.symbolic.expr import Expr


@dataclass(frozen=True)
class Evolve:
    """Integrates ``du/dt = implicit + explicit`` over a whole step, in as many inner steps as it takes.

    Attributes
    ----------
    name : str
        Prefix of the solver.
    unknowns : tuple of (str, int)
        Register and component.
    implicit, explicit : tuple of Expr
        Discrete rates of every unknown, apart for additive schemes.
    """

    name: str
    unknowns: tuple[tuple[str, int], ...]
    implicit: tuple[Expr, ...]
    explicit: tuple[Expr, ...]
    time: float = 0.0

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """No sweep belongs to it."""
        return ()

    @property
    def values(self) -> list[Expr]:
        """Every expression that is evaluated."""
        return [*self.implicit, *self.explicit]
