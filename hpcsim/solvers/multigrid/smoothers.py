"""Smoothers of multigrid as stages: red-black successive overrelaxation, Chebyshev polynomials of Jacobi.

Relaxation factors of red-black sweeps: found by minimising the convergence of V-cycles for the Laplacian over
Dirichlet, Neumann and periodic ends on cells and vertices; see also Yavneh, SIAM J. Sci. Comput. 17 (1996) 180, for why
a factor above 1 pays. Polynomials: Adams, Brezina, Hu, Tuminaro, J. Comput. Phys. 188 (2003) 593.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from hpcsim.registry import Registry
from hpcsim.solvers.multigrid.stages import Stage

SMOOTHERS = Registry(
    "smoother",
    {
        "red_black": "hpcsim.solvers.multigrid.smoothers:RedBlack",
        "chebyshev": "hpcsim.solvers.multigrid.smoothers:Chebyshev",
    },
)

# Factors of the half sweeps, per number of axes and sweeps before and after.
_TUNED: dict[tuple[int, int, int], tuple[float, ...]] = {
    (3, 1, 2): (1.223, 1.374, 1.2, 1.067, 1.217, 1.164),
    (3, 2, 1): (1.184, 1.12, 1.203, 1.266, 1.213, 1.183),
    (3, 1, 1): (1.25, 1.12, 1.15, 1.08),
    (3, 2, 2): (1.231, 1.161, 1.22, 1.221, 1.251, 1.135, 1.231, 1.497),
}
_GENERAL = {1: 1.0, 2: 1.08, 3: 1.2, 4: 1.3}


class Smoother(Protocol):
    """What a cycle asks of a smoother.

    Attributes
    ----------
    polynomial : bool
        Whether it needs the loops of the polynomial and a second register.
    """

    polynomial: bool

    def before(self, zero: bool) -> list[Stage]:
        """Stages before the coarser level, from zero or from what is there."""
        ...

    def after(self) -> list[Stage]:
        """Stages after the coarser level."""
        ...


@dataclass(frozen=True)
class RedBlack:
    """Red-black Gauss-Seidel with overrelaxation.

    Attributes
    ----------
    sweeps : tuple of int
        Before and after the coarser level.
    ndim : int
        Axes of the operator.
    factor : float, tuple of float or None
        Relaxation factor of all half sweeps, or that of each; None takes tabulated ones.
    """

    sweeps: tuple[int, int]
    ndim: int
    factor: float | tuple[float, ...] | None = None

    polynomial = False

    @property
    def _factors(self) -> tuple[float, ...]:
        count = 2 * sum(self.sweeps)
        if isinstance(self.factor, tuple):
            return self.factor
        if self.factor is not None:
            return (self.factor,) * count
        return _TUNED.get((self.ndim, *self.sweeps), (_GENERAL[self.ndim],) * count)

    def before(self, zero: bool) -> list[Stage]:
        """Stages before the coarser level, from zero or from what is there."""
        stages = _half_sweeps(self._factors[: 2 * self.sweeps[0]])
        if zero and stages:
            stages[:2] = [Stage("START", stages[0].alpha), Stage("FRESH", stages[1].alpha)]
        elif zero:
            # No sweep at all: the iterate is set to zero.
            stages = [Stage("START"), Stage("FRESH")]
        return stages

    def after(self) -> list[Stage]:
        """Stages after the coarser level."""
        return _half_sweeps(self._factors[2 * self.sweeps[0] :])


def _half_sweeps(factors: tuple[float, ...]) -> list[Stage]:
    return [Stage(f"RELAX{place % 2}", factor) for place, factor in enumerate(factors)]


@dataclass(frozen=True)
class Chebyshev:
    """Chebyshev iteration on the operator scaled by its diagonal.

    Attributes
    ----------
    sweeps : tuple of int
        Steps before and after the coarser level.
    ndim : int
        Axes of the operator.
    factor : float or None
        Largest eigenvalue of the scaled operator; 2 bounds it for diagonally dominant ones.
    """

    sweeps: tuple[int, int]
    ndim: int
    factor: float | None = None

    polynomial = True

    def before(self, zero: bool) -> list[Stage]:
        """Stages before the coarser level, from zero or from what is there."""
        count = self.sweeps[0]
        if zero and not count:
            return [Stage("POLYU0")]
        return self._steps(count, zero)

    def after(self) -> list[Stage]:
        """Stages after the coarser level."""
        return self._steps(self.sweeps[1], False)

    def _steps(self, count: int, zero: bool) -> list[Stage]:
        """The iterate alternates between two registers and ends in the first."""
        stages = []
        # From zero the first step can go to either register; else it begins with the iterate in the first one.
        to_second = (count % 2 == 0) if zero else True
        for place, (alpha, beta) in enumerate(self._coefficients(count)):
            name = "POLYV" if to_second else "POLYU"
            stages.append(Stage(f"{name}0" if zero and place == 0 else name, alpha, beta))
            to_second = not to_second
        if not zero and count % 2:
            stages.append(Stage("TAKE"))
        return stages

    def _coefficients(self, count: int) -> list[tuple[float, float]]:
        """Steps ``x + alpha*r/diagonal + beta*(x - x_before)`` for the upper part of the spectrum."""
        largest = 2.0 if self.factor is None else self.factor
        smallest = largest / (2 * self.ndim)
        middle, half = (largest + smallest) / 2, (largest - smallest) / 2
        found, rho, sigma = [], half / middle, middle / half
        found.append((1.0 / middle, 0.0))
        for _ in range(1, count):
            following = 1.0 / (2.0 * sigma - rho)
            found.append((2.0 * following / half, following * rho))
            rho = following
        assert all(math.isfinite(a) for a, _ in found)
        return found[:count]
