"""A system of equations with its discretiser, as expressions over registers."""

from __future__ import annotations

from collections.abc import Callable

from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.sweep import Sweep
from hpcsim.symbolic.discretize import Discretizer, Location
from hpcsim.symbolic.expr import Access, Expr, FieldValue, Rate
from hpcsim.symbolic.stencil import Stencil
from hpcsim.symbolic.system import Equation, System


class Discrete:
    """A system with its discretiser: hands out right-hand sides as expressions of registers.

    Parameters
    ----------
    system : System
        The equations.
    discretizer : Discretizer
        Order and spacings.
    """

    def __init__(self, system: System, discretizer: Discretizer) -> None:
        self.system = system
        self.discretizer = discretizer
        self.origin = (0,) * system.ndim

    def location(self, equation: Equation) -> Location:
        """Where the target of an equation lives."""
        return self.system.locations[equation.field][equation.component]

    def home(self, expr: Expr) -> Location:
        """Where a formula is evaluated: at the location of the first field in it, else at cell centres."""
        for node in expr.walk():
            if isinstance(node, (FieldValue, Rate)):
                return self.discretizer.locations[node.name][node.component]
        return self.origin

    def at_home(self, expr: Expr) -> Expr:
        """A formula as a discrete expression at its home."""
        return self.discretizer(expr, self.home(expr))

    def rhs(self, equation: Equation) -> Expr:
        """Discrete right-hand side at the site of the equation's own component."""
        return self.discretizer(equation.rhs, self.location(equation))

    def stencils(self) -> list[Stencil]:
        """The right-hand side of every equation as a stencil."""
        return [Stencil(e.field, e.component, self.rhs(e)) for e in self.system.equations]

    def at(self, register: str, component: int) -> Access:
        """A register at the site of the loop."""
        return Access(register, component, self.origin)

    def groups(self) -> dict[Location, list[Equation]]:
        """Equations by location; each group is one sweep."""
        groups: dict[Location, list[Equation]] = {}
        for equation in self.system.equations:
            groups.setdefault(self.location(equation), []).append(equation)
        return groups

    def sweeps(self, build: Callable[[Equation, int], list[Assignment]]) -> tuple[Sweep, ...]:
        """One sweep per location; ``build`` gives the assignments of an equation, and gets a free temporary."""
        sweeps = []
        for location, group in self.groups().items():
            assignments: list[Assignment] = []
            for index, equation in enumerate(group):
                assignments += build(equation, index)
            sweeps.append(Sweep(location, tuple(assignments)))
        return tuple(sweeps)
