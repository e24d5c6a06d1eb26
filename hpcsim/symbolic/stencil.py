"""A discrete right-hand side as a stencil: what it reads, how wide it is, what it costs and how stiff it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpcsim.symbolic.expr import Access, Call, Expr, Mul, Num, Pow, Where
from hpcsim.symbolic.functions import FUNCTIONS
from hpcsim.symbolic.simplify import hoist_scalars, normal_form
from hpcsim.symbolic.stability import Range, jacobian, symbol_eigenvalues

_TRANSCENDENTAL_FLOPS = 20


@dataclass(frozen=True)
class Stencil:
    """The discrete right-hand side of one component.

    Attributes
    ----------
    field : str
        Field whose rate (or second rate) it gives.
    component : int
        Component of the field.
    value : Expr
        Expression over reads of registers.

    Examples
    --------
    >>> def u(i):
    ...     return Access("u", 0, (i,))
    >>> heat = Stencil("u", 0, u(-1) - 2 * u(0) + u(1))
    >>> heat.ghost_width, heat.bytes_per_site(8), heat.flops_per_site
    (1, 16, 3)
    >>> round(heat.spectral_radius(1, lambda exprs: [(float(e.value), float(e.value)) for e in exprs]), 12)
    4.0
    """

    field: str
    component: int
    value: Expr

    @property
    def reads(self) -> dict[tuple[str, int], frozenset[tuple[int, ...]]]:
        """Offsets read of each (register, component)."""
        return reads_of(self.value)

    @property
    def ghost_width(self) -> int:
        """Largest offset read on any axis."""
        return max((abs(step) for offsets in self.reads.values() for o in offsets for step in o), default=0)

    def bytes_per_site(self, itemsize: int) -> int:
        """Bytes that must move per site: every component read once, the result written once."""
        return itemsize * (len(self.reads) + 1)

    @property
    def flops_per_site(self) -> int:
        """Operations per site once what is the same at every site is out of the loop; see `flops`."""
        (value,), _ = hoist_scalars([normal_form(self.value)])
        return flops(value)

    def spectral_radius(self, ndim: int, ranges: Callable[[Sequence[Expr]], Sequence[Range]]) -> float:
        """Largest modulus of the symbol over all wave numbers, with respect to its own field.

        The linear stability limit of a scheme follows from it: an explicit step of a scheme that is stable to ``-r`` on
        the real axis is limited by ``r`` over this number, leapfrog by two over its root.

        Parameters
        ----------
        ndim : int
            Axes of the lattice.
        ranges : callable
            Smallest and largest value of each of a list of coefficients.
        """
        entries = jacobian([self.value], [(self.field, self.component)])
        return float(abs(symbol_eigenvalues(entries, 1, ndim, ranges)).max())


def reads_of(*exprs: Expr) -> dict[tuple[str, int], frozenset[tuple[int, ...]]]:
    """Offsets that expressions read of each (register, component)."""
    found: dict[tuple[str, int], set[tuple[int, ...]]] = {}
    for expr in exprs:
        for node in expr.walk():
            if isinstance(node, Access):
                found.setdefault((node.register, node.component), set()).add(node.offset)
    return {key: frozenset(offsets) for key, offsets in found.items()}


def flops(expr: Expr) -> int:
    """Additions, multiplications and divisions of an expression; a transcendental function counts as 20."""
    if isinstance(expr, Pow) and isinstance(expr.exponent, Num) and isinstance(expr.exponent.value, int):
        return abs(expr.exponent.value) - (expr.exponent.value > 0) + flops(expr.base)
    own = 0
    if isinstance(expr, Call):
        own = 1 if FUNCTIONS[expr.function].exact else _TRANSCENDENTAL_FLOPS
    elif isinstance(expr, Pow):
        own = _TRANSCENDENTAL_FLOPS
    elif isinstance(expr, Where):
        own = 1
    elif hasattr(expr, "args"):
        minus = isinstance(expr, Mul) and expr.args[0] == Num(-1)
        own = len(expr.args) - 1 - minus
    return own + sum(flops(child) for child in expr.children)
