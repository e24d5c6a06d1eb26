"""Parts of a step that act on the whole lattice at once, by transforms."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.sweep import Sweep
from hpcsim.symbolic.convolution import Kernel
from hpcsim.symbolic.discretize import Location
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


@dataclass(frozen=True)
class Shared:
    """Components of a field that are integrals of the same source, whose transform they share.

    Attributes
    ----------
    source : Expr
        Discrete expression at the sites of the components.
    location : Location
        Where they live.
    parts : tuple of (int, Kernel, str)
        Component, kernel, and mode; an empty mode leaves the choice to the solver.
    """

    source: Expr
    location: Location
    parts: tuple[tuple[int, Kernel, str], ...]

    @property
    def place(self) -> tuple[str, int] | None:
        """Register and component that hold the source as it is, if any do."""
        value = self.source
        if isinstance(value, Access) and not any(value.offset):
            return value.register, value.component
        return None


@dataclass(frozen=True)
class Convolve:
    """Gives a field the values ``sum over sites j of kernel(x_i - x_j)*source[j]*(volume of a cell)``.

    Attributes
    ----------
    name : str
        The field; what messages call it.
    shared : tuple of Shared
        Its components.
    time : float
        Place in the step, in units of dt.
    """

    name: str
    shared: tuple[Shared, ...]
    time: float = 0.0

    def target(self, shared: Shared) -> Access:
        """Where a source is evaluated: the first component that follows from it, which is overwritten anyway."""
        return Access(self.name, shared.parts[0][0], (0,) * len(shared.location))

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """The sweeps that evaluate the sources."""
        evaluated = (shared for shared in self.shared if shared.place is None)
        return tuple(Sweep(s.location, (Assignment(self.target(s), s.source),)) for s in evaluated)

    @property
    def values(self) -> list[Expr]:
        """The sources."""
        return [shared.source for shared in self.shared]
