"""What a time integrator is to the rest of the code: stages of sweeps over registers.

A scheme says, for one time step, which assignments are carried out at every site and in which order. Right-hand side
and update sit in the same assignment, so a stage is one pass over memory. Which ghosts a stage needs follows from the
offsets it reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import FormulaError
from hpcsim.lattice.domain import Domain
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.joint import Joint, Part
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import Access, Expr, Symbol, transform
from hpcsim.symbolic.system import Equation

DT = Symbol("dt")


def _whole(equation: Equation) -> Equation:
    return equation


@dataclass(frozen=True)
class Scheme:
    """One time step of a system.

    Attributes
    ----------
    name : str
        Name in the registry.
    order : int
        Order of accuracy in time.
    extra : mapping of str to str
        Additional register to the field whose shape it has.
    saved : frozenset of str
        Additional registers that carry state from step to step (a restart needs them).
    stages : tuple of Part
        The step.
    swaps : tuple of (str, str)
        Registers whose storage is exchanged at the end of the step.
    start : tuple of Part
        Carried out once before the first step.
    rates : mapping of str to str
        Second-order field to the register that holds its initial rate.
    limit : callable
        Largest stable dt from the spectrum of the linearised system (see `Spectrum`).
    error_registers : tuple of str
        For an embedded pair: registers of scaled errors; a step is accepted if none exceeds 1.
    constraints : tuple of Joint
        Solved before a look at the state: their unknowns follow from the other fields.
    before : int
        How many parts of `start` come before the step size is chosen, which may depend on what they give.
    bounding : callable
        The part of an equation that bounds the step (all of it, unless the scheme integrates some of it exactly).
    """

    name: str
    order: int
    extra: Mapping[str, str]
    saved: frozenset[str]
    stages: tuple[Part, ...]
    swaps: tuple[tuple[str, str], ...]
    limit: Callable[[Spectrum], float]
    start: tuple[Part, ...] = ()
    rates: Mapping[str, str] = field(default_factory=dict)
    error_registers: tuple[str, ...] = ()
    bounding: Callable[[Equation], Equation] = _whole
    constraints: tuple[Joint, ...] = ()
    before: int = 0

    @property
    def unlimited(self) -> bool:
        """Whether the scheme is stable at every step size, so that the equations set none."""
        return self.limit is no_limit


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of the linearised right-hand side over all wave numbers.

    Attributes
    ----------
    values : ndarray of complex
        Eigenvalues of the first-order form, in 1/time.
    second_order : ndarray of complex
        Eigenvalues of the operator of the second-order fields, in 1/time^2 (empty if there are none).
    """

    values: NDArray[Any]
    second_order: NDArray[Any]

    @property
    def largest(self) -> float:
        """Largest modulus of the first-order eigenvalues."""
        return float(np.abs(self.values).max(initial=0.0))


def no_limit(spectrum: Spectrum) -> float:
    """The limit of a scheme that is stable for every equation whose modes do not grow."""
    return math.inf


def refuse_rates_at_walls(discrete: Discrete, domain: Domain) -> None:
    """Boundary conditions are given for fields, not for their rates.

    Raises
    ------
    FormulaError
        If space derivatives of ``dt(u)`` are taken on a lattice that has walls.
    """
    if all(domain.periodic):
        return
    for name in rate_stencils(discrete):
        raise FormulaError(
            f"space derivatives of dt({name}) need a lattice that is periodic along every axis; write the "
            f"equation as a system of first order with a field for dt({name})"
        )


def renamed(expr: Expr, names: Mapping[str, str]) -> Expr:
    """The expression over other registers."""

    def visit(node: Expr) -> Expr | None:
        if isinstance(node, Access):
            return Access(names.get(node.register, node.register), node.component, node.offset)
        return None

    return transform(expr, visit)


def refuse_rate_stencils(discrete: Discrete, scheme: str) -> None:
    """A scheme that keeps no rate register cannot difference it.

    Raises
    ------
    FormulaError
        If a right-hand side reads ``dt(u)`` at neighbouring sites.
    """
    for name in rate_stencils(discrete):
        raise FormulaError(f"{scheme} cannot take space derivatives of dt({name}); use integrator rk4")


def rate_stencils(discrete: Discrete) -> list[str]:
    """Fields whose rate some right-hand side reads at neighbouring sites."""
    nodes = (node for equation in discrete.system.equations for node in discrete.rhs(equation).walk())
    suffix = rate_register("")
    return [
        node.register.removesuffix(suffix)
        for node in nodes
        if isinstance(node, Access) and node.register.endswith(suffix) and any(node.offset)
    ]
