"""Implicit-explicit Runge-Kutta schemes with error control: stiff linear terms implicit, the rest explicit.

ARK3(2)4L[2]SA of Kennedy and Carpenter, Appl. Numer. Math. 44 (2003) 139, appendix C: order 3 with an embedded estimate
of order 2, four stages of which three are solved, all with the same operator. The implicit part is L-stable and stiffly
accurate. Which terms are implicit says `hpcsim.integrators.splitting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import FormulaError
from hpcsim.integrators.elimination import Elimination
from hpcsim.integrators.explicit import largest_stable, scaled_error
from hpcsim.integrators.scheme import DT, Scheme, Spectrum, renamed
from hpcsim.integrators.splitting import Splitting
from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Solve, Stage, Sweep
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import ZERO, Expr, Temp, add, mul, power
from hpcsim.symbolic.system import Equation

Row = tuple[Fraction, ...]


@dataclass(frozen=True)
class ImexScheme:
    """An implicit-explicit Runge-Kutta scheme as a pair of tables with common weights and abscissae.

    Attributes
    ----------
    name : str
        Name in the registry.
    order : int
        Order of accuracy.
    summary : str
        One line for lists.
    gamma : Fraction
        Diagonal of the implicit table; its first stage is explicit.
    times : tuple of Fraction
        Abscissae.
    explicit, implicit : tuple of tuple of Fraction
        Rows of the tables below the diagonal, from the second stage on.
    weights, embedded : tuple of Fraction
        Weights of the step, and of the step of lower order that it is compared with.
    """

    name: str
    order: int
    summary: str
    gamma: Fraction
    times: Row
    explicit: tuple[Row, ...]
    implicit: tuple[Row, ...]
    weights: Row
    embedded: Row

    def __call__(self, discrete: Discrete) -> Scheme:
        """The scheme for a system; dtt equations are advanced as pairs, of which the field alone is unknown.

        Raises
        ------
        FormulaError
            If no equation has an implicit term.
        """
        return _Builder(self, discrete).scheme()

    def amplification(self, z: NDArray[Any], explicit: NDArray[Any] | complex = 0.0) -> NDArray[Any]:
        """Growth factor of one step on y' = lambda y + mu y, with z = lambda dt implicit and explicit = mu dt."""
        stages = [np.ones_like(z + explicit)]
        for explicit_row, implicit_row in zip(self.explicit, self.implicit, strict=True):
            known = np.ones_like(stages[0])
            for e, i, stage in zip(explicit_row, implicit_row, stages, strict=True):
                known += (float(e) * explicit + float(i) * z) * stage
            stages.append(known / (1.0 - float(self.gamma) * z))
        slopes = [float(weight) * stage for weight, stage in zip(self.weights, stages, strict=True)]
        return 1.0 + (explicit + z) * np.add.reduce(slopes)

    def limit(self, spectrum: Spectrum) -> float:
        """Largest dt that is stable for the explicit part alone; a decay of the implicit part adds to the stability."""
        return largest_stable(lambda z: self.amplification(np.zeros_like(z), z), spectrum, len(self.weights))


class _Builder:
    """Registers of every unknown beside its own, the old level.

    ``stage`` holds Y of the present stage and ``base`` its known part B; ``3``, ``4``, ... gather the known parts of
    later stages, ``new`` the new level and ``error`` its difference to the embedded one.
    """

    def __init__(self, table: ImexScheme, discrete: Discrete) -> None:
        self._table = table
        self._discrete = discrete
        self._split = Splitting.of(discrete.system)
        orders = discrete.system.orders
        self._rates = {rate_register(name): name for name, order in orders.items() if order == 2}
        self._unknowns = [*orders, *self._rates]
        self._stage = {unknown: f"{unknown}@stage" for unknown in self._unknowns}
        bases = {unknown: f"{unknown}@base" for unknown in self._unknowns}
        self._elimination = Elimination(discrete, table.gamma, {name: self._stage[name] for name in orders}, bases)

    def scheme(self) -> Scheme:
        """All stages."""
        table = self._table
        solved = [e for e in self._discrete.system.equations if self._implicit(e) != ZERO]
        if not solved:
            raise FormulaError(
                f"{table.name} solves for linear terms with space derivatives, and these equations have none; use bs32"
            )
        own = ("stage", "base", *(str(n) for n in range(3, len(table.weights) + 1)), "new", "error")
        extra = dict(self._rates)
        extra |= {f"{u}@{name}": self._rates.get(u, u) for u in self._unknowns for name in own}
        return Scheme(
            name=table.name,
            order=table.order,
            extra=extra,
            saved=frozenset(self._rates),
            stages=tuple(self._stages(solved)),
            swaps=tuple((unknown, f"{unknown}@new") for unknown in self._unknowns),
            limit=table.limit,
            rates={name: rate for rate, name in self._rates.items()},
            error_registers=tuple(f"{unknown}@error" for unknown in self._unknowns),
            bounding=lambda equation: replace(equation, rhs=self._split(equation.rhs)[1]),
        )

    def _implicit(self, equation: Equation) -> Expr:
        return self._discretized(equation, self._split(equation.rhs)[0])

    def _explicit(self, equation: Equation) -> Expr:
        return self._discretized(equation, self._split(equation.rhs)[1])

    def _discretized(self, equation: Equation, expr: Expr) -> Expr:
        return self._discrete.discretizer(expr, self._discrete.location(equation))

    def _stages(self, solved: list[Equation]) -> Iterator[Stage | Solve]:
        table = self._table
        yield Stage(0.0, self._discrete.sweeps(partial(self._pass, 0)))
        for n in range(1, len(table.weights)):
            time = float(table.times[n])
            yield self._elimination.solve(time, solved, self._implicit, self._given(solved))
            if self._rates:
                yield Stage(time, _not_empty(self._discrete.sweeps(lambda equation, _: self._rate(equation))))
            yield Stage(time, self._discrete.sweeps(partial(self._pass, n)), self._stage)

    def _given(self, solved: list[Equation]) -> tuple[Sweep, ...]:
        """Y of the equations without an implicit term is its known part."""

        def build(equation: Equation, _: int) -> list[Assignment]:
            if equation in solved:
                return []
            target = self._discrete.at(self._stage[equation.field], equation.component)
            return [Assignment(target, self._elimination.known(equation))]

        return _not_empty(self._discrete.sweeps(build))

    def _rate(self, equation: Equation) -> list[Assignment]:
        """The rate of a stage from the field that was solved for."""
        if equation.order == 1:
            return []
        target = self._discrete.at(self._stage[rate_register(equation.field)], equation.component)
        rate = self._elimination.rate(equation.field, equation.component, self._discrete.origin)
        return [Assignment(target, rate)]

    def _pass(self, n: int, equation: Equation, index: int) -> list[Assignment]:
        """Slopes of a stage and what they add to later stages, to the new level and to the error."""
        at, name, component = self._discrete.at, equation.field, equation.component
        names = self._stage if n else {}
        explicit, implicit = self._explicit(equation), self._implicit(equation)
        slopes = [Temp(2 * index), Temp(2 * index + 1)]
        assignments = []
        pair: list[Expr] = [ZERO, ZERO]
        if explicit != ZERO:
            assignments.append(Assignment(slopes[0], mul(DT, renamed(explicit, names))))
            pair[0] = slopes[0]
        unknown = rate_register(name) if equation.order == 2 else name
        if implicit != ZERO:
            # That of a later stage follows from its equation, which does not magnify what the solver left over.
            value = at(self._stage[unknown], component) - at(f"{unknown}@base", component)
            slope = mul(power(self._table.gamma, -1), value) if n else mul(DT, implicit)
            assignments.append(Assignment(slopes[1], slope))
            pair[1] = slopes[1]
        if equation.order == 2:
            rate = mul(DT, at(names.get(unknown, unknown), component))
            assignments += self._updates(n, name, component, ZERO, rate)
        return assignments + self._updates(n, unknown, component, *pair)

    def _updates(self, n: int, unknown: str, component: int, explicit: Expr, implicit: Expr) -> list[Assignment]:
        table, count = self._table, len(self._table.weights)

        def at(name: str) -> Expr:
            return self._discrete.at(unknown if name == "u" else f"{unknown}@{name}", component)

        def gathered(name: str, on_explicit: Fraction, on_implicit: Fraction) -> Expr:
            terms = (mul(on_explicit, explicit), mul(on_implicit, implicit))
            return add(*terms) if name == "" else add(at(name), *terms)

        assignments = []
        for later in range(n + 1, count):
            source = "u" if n == 0 else str(later + 1)
            value = gathered(source, table.explicit[later - 1][n], table.implicit[later - 1][n])
            assignments.append((("base" if later == n + 1 else str(later + 1)), value))
        weight, difference = table.weights[n], table.weights[n] - table.embedded[n]
        assignments.append(("new", gathered("new" if n else "u", weight, weight)))
        error = gathered("error" if n else "", difference, difference)
        assignments.append(("error", scaled_error(error, at("u"), at("new")) if n == count - 1 else error))
        if n == 0:
            assignments.append(("stage", at("u")))
        return [Assignment(self._discrete.at(f"{unknown}@{name}", component), value) for name, value in assignments]


def _not_empty(sweeps: tuple[Sweep, ...]) -> tuple[Sweep, ...]:
    return tuple(sweep for sweep in sweeps if sweep.assignments)


def _row(*texts: str) -> Row:
    return tuple(Fraction(text) for text in texts)


_GAMMA = Fraction("1767732205903/4055673282236")
_WEIGHTS = (
    *_row("1471266399579/7840856788654", "-4482444167858/7529755066697", "11266239266428/11593286722821"),
    _GAMMA,
)

imex_ark3 = ImexScheme(
    "imex_ark3",
    3,
    "Implicit for linear terms with space derivatives, explicit for the rest: order 3, with an error estimate that "
    "adapts the step.",
    gamma=_GAMMA,
    times=_row("0", "1767732205903/2027836641118", "3/5", "1"),
    explicit=(
        _row("1767732205903/2027836641118"),
        _row("5535828885825/10492691773637", "788022342437/10882634858940"),
        _row("6485989280629/16251701735622", "-4246266847089/9704473918619", "10755448449292/10357097424841"),
    ),
    implicit=(
        (_GAMMA,),
        _row("2746238789719/10658868560708", "-640167445237/6845629431997"),
        _WEIGHTS[:3],
    ),
    weights=_WEIGHTS,
    embedded=_row(
        "2756255671327/12835298489170", "-10771552573575/22201958757719", "9247589265047/10645013368117",
        "2193209047091/5459859503100",
    ),
)  # fmt: skip
