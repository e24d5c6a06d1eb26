"""White noise in equations: where it may stand, and the tables of random numbers that its discrete form reads."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsim.symbolic.expr import (
    ZERO,
    Access,
    Add,
    Derivative,
    Expr,
    FluxDerivative,
    Mul,
    Noise,
    Where,
    transform,
)

_PREFIX = "noise:"


@dataclass(frozen=True)
class NoiseTable:
    """Normal numbers of one stream at one place of the cell, drawn afresh for every step.

    Attributes
    ----------
    stream, component : int
        Which noise.
    location : tuple of int
        Place of the numbers in the cell.
    reach : int
        Largest offset at which they are read.
    """

    stream: int
    component: int
    location: tuple[int, ...]
    reach: int = 0

    @property
    def register(self) -> str:
        """Name of the register that holds the numbers.

        Examples
        --------
        >>> NoiseTable(1, 0, (0, 0)).register, NoiseTable(2, 1, (0, 1)).register
        ('noise:1', 'noise:2[1]@01')
        """
        part = f"[{self.component}]" if self.component else ""
        place = "@" + "".join(map(str, self.location)) if any(self.location) else ""
        return f"{_PREFIX}{self.stream}{part}{place}"


def reads_noise(expr: Expr) -> bool:
    """Whether a continuous or discrete expression depends on noise."""
    return any(
        isinstance(node, Noise) or (isinstance(node, Access) and node.register.startswith(_PREFIX))
        for node in expr.walk()
    )


def without_noise(expr: Expr) -> Expr:
    """A continuous expression with every noise set to its mean, zero."""
    return transform(expr, lambda node: ZERO if isinstance(node, Noise) else None)


def linear_in_noise(expr: Expr) -> bool:
    """Whether a continuous expression is a sum of terms with at most one noise factor, which stands in no function.

    Examples
    --------
    >>> from hpcsim.symbolic.expr import FieldValue
    >>> u, eta = FieldValue("u", 0), Noise(1, 0)
    >>> linear_in_noise(u**2 + 3 * u * eta), linear_in_noise(eta * Noise(2, 0)), linear_in_noise(eta**2)
    (True, False, False)
    """
    if isinstance(expr, Noise) or not reads_noise(expr):
        return True
    if isinstance(expr, Mul):
        noisy = [factor for factor in expr.args if reads_noise(factor)]
        return len(noisy) == 1 and linear_in_noise(noisy[0])
    if isinstance(expr, Where):
        return not reads_noise(expr.condition) and linear_in_noise(expr.a) and linear_in_noise(expr.b)
    return isinstance(expr, (Add, Derivative, FluxDerivative)) and all(map(linear_in_noise, expr.children))
