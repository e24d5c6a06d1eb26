"""The step size: the linear stability limit of a scheme for a system, and the control of adaptive pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hpcsim.errors import BlowUpError, ConfigError, Problem
from hpcsim.integrators.scheme import Scheme, Spectrum
from hpcsim.sweeps.discrete import Discrete
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import ONE, Expr
from hpcsim.symbolic.noise import without_noise
from hpcsim.symbolic.stability import JacobianEntry, Range, jacobian, symbol_eigenvalues

ACCEPTED = 1.0 + 1e-12
_USELESS = 1e-4
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 5.0

Ranges = Callable[[Sequence[Expr]], Sequence[Range]]


def spectrum(discrete: Discrete, scheme: Scheme, ranges: Ranges) -> Spectrum:
    """Eigenvalues that bound the step of a scheme.

    Parameters
    ----------
    discrete : Discrete
        The semi-discrete system.
    scheme : Scheme
        The scheme; it may leave out what it integrates exactly.
    ranges : callable
        Smallest and largest value of each of a list of coefficients over all sites, equal on all ranks.
    """
    # The step is bounded by the equations without their noise.
    bounding = map(scheme.bounding, discrete.system.equations)
    equations = [replace(equation, rhs=without_noise(equation.rhs)) for equation in bounding]
    fields = [(e.field, e.component) for e in equations]
    second = [(e.field, e.component) for e in equations if e.order == 2]
    rates = [(rate_register(field), component) for field, component in second]
    unknowns = [*fields, *rates]
    entries: list[JacobianEntry] = []
    for equation in equations:
        own = (equation.field, equation.component)
        row = unknowns.index((rate_register(own[0]), own[1]) if equation.order == 2 else own)
        entries += [
            JacobianEntry(row, e.column, e.offset, e.coefficient)
            for e in jacobian([discrete.discretizer(equation.rhs, discrete.location(equation))], unknowns)
        ]
        if equation.order == 2:
            entries.append(JacobianEntry(unknowns.index(own), row, (0,) * discrete.system.ndim, ONE))
    ndim = discrete.system.ndim
    first_order = symbol_eigenvalues(entries, len(unknowns), ndim, ranges)
    if not second:
        return Spectrum(first_order, np.zeros(0, dtype=complex))
    stiffness = [
        JacobianEntry(e.row - len(fields), second.index(unknowns[e.column]), e.offset, e.coefficient)
        for e in entries
        if e.row >= len(fields) and unknowns[e.column] in second
    ]
    return Spectrum(first_order, symbol_eigenvalues(stiffness, len(second), ndim, ranges))


def choose_dt(scheme: Scheme, limit: float, stiffest: float, given: float | None, cfl: float, allow: bool) -> float:
    """The step size of a run.

    Parameters
    ----------
    scheme : Scheme
        The scheme.
    limit : float
        Its linear stability limit for the system.
    stiffest : float
        Largest modulus of the eigenvalues, to tell a small limit from none at all.
    given : float or None
        ``run.dt``, if set.
    cfl : float
        Fraction of the limit that is used when no step is given.
    allow : bool
        ``run.allow_unstable``.

    Raises
    ------
    ConfigError
        If the given step is above the limit, or the scheme is unstable for every step, and it is not overridden.
    """
    if limit * stiffest < _USELESS and stiffest > 0.0 and not allow:
        raise ConfigError(
            [
                Problem(
                    "run.integrator",
                    f"{scheme.name} is unstable for these equations at every step size; choose rk4 or ssprk3, or set "
                    "run.allow_unstable = true together with run.dt",
                )
            ]
        )
    if given is None:
        if math.isinf(limit):
            raise ConfigError([Problem("run.dt", "these equations set no stability limit; give a step size")])
        return cfl * limit
    if given > limit * ACCEPTED and not allow:
        advice = f"use at most {limit:.12g} (or leave run.dt out for cfl*limit = {cfl * limit:.6g})"
        raise ConfigError(
            [
                Problem(
                    "run.dt",
                    f"{given:.12g} is above the linear stability limit {limit:.12g} of {scheme.name} for these "
                    f"equations; {advice}, or set run.allow_unstable = true",
                )
            ]
        )
    return given


class StepControl:
    """Chooses the next step of an embedded pair from its scaled error (largest over all sites and ranks).

    The elementary controller of Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", II.4.

    Parameters
    ----------
    order : int
        Order of the pair's main scheme.
    smallest : float
        Step below which the run is given up.
    """

    def __init__(self, order: int, smallest: float) -> None:
        self._exponent = -1.0 / order
        self.smallest = smallest
        self.rejected = 0

    def next(self, dt: float, error: float) -> tuple[bool, float]:
        """Whether a step is accepted, and the step to try next.

        Raises
        ------
        BlowUpError
            If the step would fall below the smallest.
        """
        if math.isnan(error) or math.isinf(error):
            factor = _SHRINK
        elif error == 0.0:
            factor = _GROW
        else:
            factor = min(_GROW, max(_SHRINK, _SAFETY * error**self._exponent))
        accepted = error <= 1.0
        self.rejected += not accepted
        proposed = dt * factor
        if not accepted and proposed < self.smallest:
            raise BlowUpError(
                f"the adaptive step fell to {proposed:.3g}, below {self.smallest:.3g}; the solution blows up"
            )
        return accepted, proposed
