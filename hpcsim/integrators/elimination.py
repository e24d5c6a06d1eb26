"""An implicit stage as a solve in which the fields alone are unknown: rates of second-order equations are eliminated.

A stage of a scheme for ``y' = f(y, t)`` finds ``Y = B + s f(Y)`` with a known B and ``s = gamma*dt``. An equation
``u_tt = a(u, u_t)`` is the pair ``u' = v, v' = a(u, v)``; its stage ``U = Bu + s V, V = Bv + s a(U, V)`` gives
``V = (U - Bu)/s``, and what is left to solve is ``U = Bu + s Bv + s^2 a(U, (U - Bu)/s)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from hpcsim.integrators.scheme import DT
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Solve, Sweep
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import Access, Expr, mul, power, transform
from hpcsim.symbolic.system import Equation

SOLVER = "step"
"""Name of the solver of implicit stages, ``[solver.step]``."""


class Elimination:
    """Implicit stages ``Y = B + gamma*dt*f(Y)`` over given registers.

    Parameters
    ----------
    discrete : Discrete
        The system.
    gamma : float or Fraction
        Weight of the unknown slope.
    values : mapping of str to str
        Evolving field to the register of its Y.
    bases : mapping of str to str
        Evolving field, or rate register of a second-order one, to the register of its B.
    """

    def __init__(
        self, discrete: Discrete, gamma: float | Fraction, values: Mapping[str, str], bases: Mapping[str, str]
    ) -> None:
        self._discrete = discrete
        self._values = values
        self._bases = bases
        self._rates = {rate_register(name): name for name, order in discrete.system.orders.items() if order == 2}
        self.step = mul(gamma, DT)

    def rate(self, field: str, component: int, offset: tuple[int, ...]) -> Expr:
        """The eliminated rate of a second-order field at an offset: ``(U - Bu)/s``."""
        value, base = (Access(names[field], component, offset) for names in (self._values, self._bases))
        return power(self.step, -1) * (value - base)

    def at_stage(self, expr: Expr) -> Expr:
        """An expression over the fields and their rates, taken at Y."""

        def visit(node: Expr) -> Expr | None:
            if not isinstance(node, Access):
                return None
            if node.register in self._rates:
                return self.rate(self._rates[node.register], node.component, node.offset)
            return Access(self._values.get(node.register, node.register), node.component, node.offset)

        return transform(expr, visit)

    def known(self, equation: Equation) -> Expr:
        """The part of Y of an equation that does not depend on the unknowns."""
        at, field, component = self._discrete.at, equation.field, equation.component
        base = at(self._bases[field], component)
        if equation.order == 1:
            return base
        return base + self.step * at(self._bases[rate_register(field)], component)

    def residual(self, equation: Equation, rhs: Expr) -> Expr:
        """What is zero at the solution, for a right-hand side over the fields and their rates."""
        value = self._discrete.at(self._values[equation.field], equation.component)
        return value - self.known(equation) - self.step**equation.order * self.at_stage(rhs)

    def solve(
        self,
        time: float | Fraction,
        equations: Sequence[Equation],
        rhs: Callable[[Equation], Expr],
        guess: tuple[Sweep, ...] = (),
    ) -> Solve:
        """The solve of some equations.

        Parameters
        ----------
        time : float or Fraction
            Place in the step, in units of dt.
        equations : sequence of Equation
            Those whose Y is unknown.
        rhs : callable
            Gives f of an equation as a discrete expression over the fields and their rates.
        guess : tuple of Sweep
            Starting values.
        """
        unknowns = tuple((self._values[e.field], e.component) for e in equations)
        residuals = tuple(self.residual(equation, rhs(equation)) for equation in equations)
        return Solve(SOLVER, float(time), unknowns, residuals, guess, self._values)
