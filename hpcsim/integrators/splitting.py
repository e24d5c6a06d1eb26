"""Which terms of an equation a scheme treats implicitly: the linear ones with space derivatives.

They make equations stiff on fine lattices (diffusion, waves, advection by a given velocity), and they leave a linear
system to solve. Everything else, reactions and nonlinear terms, stays explicit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hpcsim.symbolic.expr import Add, Derivative, Expr, FieldValue, FluxDerivative, Mul, Noise, Rate, add, mul
from hpcsim.symbolic.system import System

_NONLINEAR = 2


@dataclass(frozen=True)
class Splitting:
    """Splits right-hand sides of one system.

    Attributes
    ----------
    evolving : collection of str
        Fields with a time derivative; those that never change are coefficients.
    constrained : collection of str
        Fields that follow from the others by a constraint or a convolution; terms that hold one are explicit.

    Examples
    --------
    >>> u = FieldValue("u", 0)
    >>> implicit, explicit = Splitting(["u"], [])(3 * Derivative(u, 0, 2) + u * Derivative(u, 0, 1) - u)
    >>> implicit == 3 * Derivative(u, 0, 2), explicit == u * Derivative(u, 0, 1) - u
    (True, True)
    """

    evolving: Collection[str]
    constrained: Collection[str]

    @classmethod
    def of(cls, system: System) -> Splitting:
        """The splitting of a system."""
        return cls(frozenset(system.orders), frozenset(part.field for part in system.following))

    def __call__(self, expr: Expr) -> tuple[Expr, Expr]:
        """The implicit and the explicit part of a continuous right-hand side, which is their sum."""
        implicit: list[Expr] = []
        explicit: list[Expr] = []
        for term in self._terms(expr):
            (implicit if self._stiff(term) else explicit).append(term)
        return add(*implicit), add(*explicit)

    def _terms(self, expr: Expr) -> list[Expr]:
        """The terms of a sum; a factor before a sum with implicit terms among others is multiplied out."""
        if isinstance(expr, Add):
            return [term for part in expr.args for term in self._terms(part)]
        if isinstance(expr, Mul) and not self._stiff(expr):
            sums = [factor for factor in expr.args if isinstance(factor, Add)]
            if len(sums) == 1:
                parts = (mul(*(part if factor is sums[0] else factor for factor in expr.args)) for part in sums[0].args)
                terms = [term for part in parts for term in self._terms(part)]
                return terms if any(map(self._stiff, terms)) else [expr]
        return [expr]

    def _stiff(self, term: Expr) -> bool:
        """Whether a term is linear in the fields and differentiates one."""
        derivatives = (node for node in term.walk() if isinstance(node, (Derivative, FluxDerivative)))
        return self._degree(term) == 1 and any(self._degree(node.operand) == 1 for node in derivatives)

    def _degree(self, expr: Expr) -> int:
        """0 if nothing in an expression changes, 1 if evolving fields occur linearly, more otherwise."""
        if isinstance(expr, (FieldValue, Rate)):
            return 1 if expr.name in self.evolving else _NONLINEAR if expr.name in self.constrained else 0
        if isinstance(expr, Noise):
            return _NONLINEAR
        below = [self._degree(child) for child in expr.children]
        if isinstance(expr, (Add, Derivative, FluxDerivative)):
            return max(below)
        if isinstance(expr, Mul):
            return min(sum(below), _NONLINEAR)
        return _NONLINEAR if any(below) else 0
