"""Implicit schemes with one solve a step: backward Euler, Crank-Nicolson, BDF2 and the implicit midpoint rule.

All four are stable at every step size for equations whose modes do not grow, so the step follows from the accuracy that
is wanted. Backward Euler and BDF2 damp what they do not resolve; Crank-Nicolson keeps it, with alternating sign; the
midpoint rule keeps quadratic invariants exactly and is the Cayley transform for linear equations, so a closed system
keeps its norm. Sources: Hairer and Wanner, "Solving Ordinary Differential Equations II", chapters IV.3 and V.1; Crank
and Nicolson, Proc. Cambridge Philos. Soc. 43 (1947) 50; Curtiss and Hirschfelder, Proc. Natl. Acad. Sci. 38 (1952) 235.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.integrators.elimination import Elimination
from hpcsim.integrators.scheme import DT, Scheme, no_limit
from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Solve, Stage, Sweep
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import Expr, Temp, add, mul, power
from hpcsim.symbolic.system import Equation

Number = float | Fraction


@dataclass(frozen=True)
class ImplicitScheme:
    """A scheme that solves once a step, as a table.

    For ``y' = f(y, t)`` a step finds ``Y = B + gamma*dt*f(Y, t + time*dt)`` and takes a combination of Y and the old
    level as the new one.

    Attributes
    ----------
    name : str
        Name in the registry.
    order : int
        Order of accuracy.
    summary : str
        One line for lists.
    gamma, time : Number
        Weight of the unknown slope, and its place in the step in units of dt.
    base : mapping of str to Number
        B as a combination of ``u``, the level before it, ``prev``, and ``k``, which is dt*f(u, t).
    result : mapping of str to Number
        The new level as a combination of ``Y`` and ``u``.
    """

    name: str
    order: int
    summary: str
    gamma: Number
    time: Number
    base: Mapping[str, Number]
    result: Mapping[str, Number] = field(default_factory=lambda: {"Y": 1})

    def __call__(self, discrete: Discrete) -> Scheme:
        """The scheme for a system; of dtt equations the field alone is unknown."""
        return _Builder(self, discrete).scheme()

    def amplification(self, z: NDArray[Any]) -> NDArray[Any]:
        """Growth factor of one step on y' = lambda y, with z = lambda dt; the larger one of a two-step scheme."""
        solved = float(self.result["Y"]) / (1.0 - float(self.gamma) * z)
        weights = {name: float(weight) for name, weight in self.base.items()}
        one = solved * (weights.get("u", 0.0) + weights.get("k", 0.0) * z) + float(self.result.get("u", 0))
        two = solved * weights.get("prev", 0.0)
        root = np.sqrt((one**2 + 4.0 * two).astype(complex))
        plus, minus = 0.5 * (one + root), 0.5 * (one - root)
        return np.where(np.abs(plus) >= np.abs(minus), plus, minus)

    @property
    def held(self) -> str:
        """Register that holds B: the old level itself, the level before it, or one of its own."""
        return "u" if set(self.base) == {"u"} else "prev" if "prev" in self.base else "base"


class _Builder:
    def __init__(self, table: ImplicitScheme, discrete: Discrete) -> None:
        self._table = table
        self._discrete = discrete
        orders = discrete.system.orders
        self._fields = list(orders)
        self._rates = {rate_register(name): name for name, order in orders.items() if order == 2}
        self._unknowns = [*self._fields, *self._rates]
        self._values = {name: self.register(name, "new") for name in self._fields}

    def register(self, unknown: str, name: str) -> str:
        """Register of an unknown under a name of the table."""
        return unknown if name == "u" else f"{unknown}@{name}"

    def scheme(self) -> Scheme:
        """All stages."""
        table, two = self._table, self._table.held == "prev"
        solve = self._solve(table.gamma, table.time, table.held)
        extra = dict(self._rates)
        extra |= {value: name for name, value in self._values.items()}
        swaps = [(name, value) for name, value in self._values.items()]
        if table.held != "u":
            extra |= {self.register(u, table.held): self._rates.get(u, u) for u in self._unknowns}
        if two:
            # The old level becomes the one before it, then the new one takes its place.
            swaps = [(u, self.register(u, "prev")) for u in self._unknowns] + swaps
        saved = {*self._rates, *(self.register(u, "prev") for u in self._unknowns if two)}
        return Scheme(
            name=table.name,
            order=table.order,
            extra=extra,
            saved=frozenset(saved),
            stages=(*self._opening(), solve, *self._closing()),
            swaps=tuple(swaps),
            limit=no_limit,
            start=self._start() if two else (),
            rates={name: rate for rate, name in self._rates.items()},
        )

    def _elimination(self, gamma: Number, held: str) -> Elimination:
        bases = {unknown: self.register(unknown, held) for unknown in self._unknowns}
        return Elimination(self._discrete, gamma, self._values, bases)

    def _solve(self, gamma: Number, time: Number, held: str) -> Solve:
        """The stage for Y, started from the old level."""
        at = self._discrete.at
        guess = self._discrete.sweeps(
            lambda e, _: [Assignment(at(self._values[e.field], e.component), at(e.field, e.component))]
        )
        equations = self._discrete.system.equations
        return self._elimination(gamma, held).solve(time, equations, self._discrete.rhs, guess)

    def _opening(self) -> tuple[Stage, ...]:
        """The known part B, where it is not the old level itself."""
        table = self._table
        if table.held == "u":
            return ()

        def build(equation: Equation, index: int) -> list[Assignment]:
            slope, assignments = Temp(index), []
            if "k" in table.base:
                assignments.append(Assignment(slope, self._discrete.rhs(equation)))
            field, component = equation.field, equation.component
            if equation.order == 2:
                rate = self._discrete.at(rate_register(field), component)
                assignments.append(self._base(field, component, rate))
                field = rate_register(field)
            return [*assignments, self._base(field, component, slope)]

        return (Stage(0.0, self._discrete.sweeps(build)),)

    def _base(self, unknown: str, component: int, slope: Expr) -> Assignment:
        at = self._discrete.at
        terms = [
            mul(weight, DT, slope) if name == "k" else mul(weight, at(self.register(unknown, name), component))
            for name, weight in self._table.base.items()
        ]
        return Assignment(at(self.register(unknown, self._table.held), component), add(*terms))

    def _closing(self) -> tuple[Stage, ...]:
        """The new rates, and the new level where it is not Y itself."""
        table, at = self._table, self._discrete.at
        elimination = self._elimination(table.gamma, table.held)
        # The old rate of a two-step scheme is swapped into the place of the level before it.
        target = "prev" if table.held == "prev" else "u"

        def combined(unknown: str, component: int, value: Expr) -> Expr:
            sources = {"Y": value, "u": at(unknown, component)}
            return add(*(mul(weight, sources[name]) for name, weight in table.result.items()))

        def build(equation: Equation, _: int) -> list[Assignment]:
            name, component = equation.field, equation.component
            assignments = []
            if equation.order == 2:
                rate = rate_register(name)
                value = combined(rate, component, elimination.rate(name, component, self._discrete.origin))
                assignments.append(Assignment(at(self.register(rate, target), component), value))
            if set(table.result) != {"Y"}:
                new = at(self._values[name], component)
                assignments.append(Assignment(new, combined(name, component, new)))
            return assignments

        sweeps = _not_empty(self._discrete.sweeps(build))
        return (Stage(1.0, sweeps),) if sweeps else ()

    def _start(self) -> tuple[Stage | Solve, ...]:
        """The level before the first one, ``u - dt*f(Y)`` with Y from a step of backward Euler over gamma*dt.

        It is the step's own solve with the old level in place of B. The level is of first order, which leaves the whole
        of order 2, and modes that the step does not resolve are damped in it.
        """
        at, gamma = self._discrete.at, self._table.gamma
        elimination = self._elimination(gamma, "prev")

        def copied(equation: Equation) -> list[Assignment]:
            return [Assignment(at(f"{u}@prev", c), at(u, c)) for u, c in self._pair(equation)]

        def back(equation: Equation) -> list[Assignment]:
            name, component = equation.field, equation.component
            rate = elimination.rate(name, component, self._discrete.origin)
            values = (at(self._values[name], component), rate)
            # The rate first: it reads the field's B.
            return [
                Assignment(at(f"{u}@prev", c), at(u, c) - power(gamma, -1) * (value - at(u, c)))
                for (u, c), value in reversed(list(zip(self._pair(equation), values, strict=False)))
            ]

        return (
            Stage(0.0, self._discrete.sweeps(lambda equation, _: copied(equation))),
            self._solve(gamma, gamma, "prev"),
            Stage(1.0, self._discrete.sweeps(lambda equation, _: back(equation))),
        )

    def _pair(self, equation: Equation) -> list[tuple[str, int]]:
        """Unknowns of an equation: the field, and the rate of a second-order one."""
        names = [equation.field, rate_register(equation.field)][: equation.order]
        return [(name, equation.component) for name in names]


def _not_empty(sweeps: tuple[Sweep, ...]) -> tuple[Sweep, ...]:
    return tuple(sweep for sweep in sweeps if sweep.assignments)


_HALF = Fraction(1, 2)

backward_euler = ImplicitScheme(
    "backward_euler", 1, "Backward Euler, implicit, of order 1; damps every mode that it does not resolve.",
    gamma=1, time=1, base={"u": 1},
)  # fmt: skip

crank_nicolson = ImplicitScheme(
    "crank_nicolson", 2, "Crank-Nicolson (trapezoidal rule), implicit, of order 2; keeps the size of waves.",
    gamma=_HALF, time=1, base={"u": 1, "k": _HALF},
)  # fmt: skip

bdf2 = ImplicitScheme(
    "bdf2", 2, "Backward differences over two steps, implicit, of order 2; damps every mode that it does not resolve.",
    gamma=Fraction(2, 3), time=1, base={"u": Fraction(4, 3), "prev": Fraction(-1, 3)},
)  # fmt: skip

implicit_midpoint = ImplicitScheme(
    "implicit_midpoint", 2, "Implicit midpoint rule, of order 2; keeps the norm of closed systems (Cayley transform).",
    gamma=_HALF, time=_HALF, base={"u": 1}, result={"Y": 2, "u": -1},
)  # fmt: skip
