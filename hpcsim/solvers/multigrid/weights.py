"""Weights of the operator on coarser levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcsim.solvers.grid import Axis


@dataclass(frozen=True)
class Constant:
    """Weights that are the same at every site.

    Attributes
    ----------
    lower, upper : tuple of float
        Of the neighbours, per axis.
    centre : float
        Of the site.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    centre: float

    @property
    def total(self) -> float:
        """Sum of all weights: what the operator makes of a constant, away from the ends."""
        return self.centre + sum(self.lower) + sum(self.upper)

    def scaled(self, factor: float) -> Constant:
        """All weights times a factor."""
        return Constant(
            tuple(factor * w for w in self.lower), tuple(factor * w for w in self.upper), factor * self.centre
        )


def strengths(weights: Constant) -> tuple[float, ...]:
    """Coupling along each axis.

    Examples
    --------
    >>> strengths(Constant((1.0, 4.0), (1.0, 4.0), -10.0))
    (1.0, 4.0)
    """
    return tuple(abs(a + b) / 2 for a, b in zip(weights.lower, weights.upper, strict=True))


def coarse_pair(lower: float, upper: float, ratio: float) -> tuple[float, float]:
    """Weights along an axis whose spacing grows by 1/ratio: second differences by its square, first ones by itself.

    Where first differences would outweigh second ones they are made one-sided, else the smoother would diverge.

    Examples
    --------
    >>> coarse_pair(3.0, 5.0, 0.5)
    (0.5, 1.5)
    """
    even, odd = 0.5 * (lower + upper) * ratio**2, 0.5 * (upper - lower) * ratio
    if abs(odd) > abs(even):
        even = abs(odd) if even >= 0.0 else -abs(odd)
    return even - odd, even + odd


def coarser(weights: Constant, fine: Sequence[Axis], coarse: Sequence[Axis]) -> Constant:
    """The same operator on the next level.

    Examples
    --------
    >>> axis, half = Axis(8, 1.0, False, None), Axis(4, 2.0, False, None)
    >>> coarser(Constant((1.0,), (1.0,), -2.5), [axis], [half])
    Constant(lower=(0.25,), upper=(0.25,), centre=-1.0)
    """
    pairs = [
        coarse_pair(low, high, a.spacing / b.spacing)
        for low, high, a, b in zip(weights.lower, weights.upper, fine, coarse, strict=True)
    ]
    lower, upper = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    return Constant(lower, upper, weights.total - sum(lower) - sum(upper))
