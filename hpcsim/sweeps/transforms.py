"""Parts of a step that act on the whole lattice at once, by transforms."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsim.sweeps.sweep import Sweep
from hpcsim.symbolic.expr import Access, Expr, mul


@dataclass(frozen=True)
class Propagate:
    """The exact step of a linear equation with constant coefficients, mode by mode.

    The unknown u with du/dt = sum of weights*u(offset) + rest + sum of amplitudes*noise becomes, in every mode with
    eigenvalue z of the weights,
    ``exp(z dt)*u + dt*phi1(z dt)*rest + sqrt(dt*phi1(2 Re(z) dt))*amplitude*xi``, with phi1(a) = (exp(a) - 1)/a.

    Attributes
    ----------
    name : str
        What messages call it.
    unknown : (str, int)
        Register and component.
    weights : tuple of (tuple of int, Expr)
        Offsets and constant coefficients.
    rest : (str, int) or None
        Register and component that hold the rest, which counts as constant during the step.
    noises : tuple of (Access, Expr)
        Registers of standard normal numbers xi, and what they are multiplied by in the equation: amplitude/sqrt(dt).
    """

    name: str
    unknown: tuple[str, int]
    weights: tuple[tuple[tuple[int, ...], Expr], ...]
    rest: tuple[str, int] | None
    noises: tuple[tuple[Access, Expr], ...]
    time: float = 0.0

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """No sweep belongs to it."""
        return ()

    @property
    def values(self) -> list[Expr]:
        """What is read beside the unknown and the rest."""
        return [mul(amplitude, noise) for noise, amplitude in self.noises]
