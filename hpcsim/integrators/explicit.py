"""Explicit Runge-Kutta schemes, each a table of stages.

A stage evaluates ``k = f(t + c dt, Y)`` and, in the same pass, forms linear combinations of registers: ``u`` (the
step's start), ``Y`` (the stage's input), ``k`` (times dt), and the scheme's own registers. Sources: forward Euler;
SSP-RK3 of Shu and Osher, J. Comput. Phys. 77 (1988) 439; the classical RK4 of Kutta (1901); the five-stage fourth-order
2N-storage scheme of Carpenter and Kennedy, NASA TM-109112 (1994), table 1; the 3(2) pair of Bogacki and Shampine, Appl.
Math. Lett. 2 (1989) 321.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hpcsim.integrators.scheme import DT, Scheme, Spectrum, renamed
from hpcsim.kernels.loopnest import Assignment
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Stage, Sweep
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.expr import Expr, Symbol, Temp, add, call, mul, power
from hpcsim.symbolic.system import Equation

Number = float | Fraction
_STABLE = 1.0 + 1e-10
_RTOL, _ATOL = Symbol("rtol"), Symbol("atol")


@dataclass(frozen=True)
class RungeKuttaStage:
    """One stage of a table.

    Attributes
    ----------
    reads : str
        Register that is the input Y: ``u`` or one of the scheme's own.
    time : Number
        Abscissa c.
    updates : tuple of (str, mapping of str to Number)
        Targets and their combinations, in order; ``k`` stands for dt*f(Y).
    """

    reads: str
    time: Number
    updates: tuple[tuple[str, Mapping[str, Number]], ...]


@dataclass(frozen=True)
class RungeKutta:
    """A Runge-Kutta scheme as a table.

    Attributes
    ----------
    name : str
        Name in the registry.
    order : int
        Order of accuracy.
    registers : tuple of str
        Its own registers.
    stages : tuple of RungeKuttaStage
        The stages.
    result : str
        Register that holds the new level; unless it is ``u``, it is swapped with it.
    separate : bool
        Whether updates that overwrite the input Y run in a sweep of their own (2N storage).
    error : str
        Register of the embedded error estimate, or empty.
    """

    name: str
    order: int
    registers: tuple[str, ...]
    stages: tuple[RungeKuttaStage, ...]
    result: str = "u"
    separate: bool = False
    error: str = ""

    def __call__(self, discrete: Discrete) -> Scheme:
        """The scheme for a system; dtt equations are advanced as pairs (u, dt(u))."""
        return _Builder(self, discrete).scheme()

    def amplification(self, z: np.ndarray) -> np.ndarray:
        """Growth factor of one step on y' = lambda y, with z = lambda dt (array of complex)."""
        values = {name: np.zeros_like(z) for name in self.registers}
        values["u"] = np.ones_like(z)
        for stage in self.stages:
            k = z * values[stage.reads]
            for target, combination in stage.updates:
                sources = {**values, "k": k}
                values[target] = np.add.reduce([float(c) * sources[name] for name, c in combination.items()])
        return values[self.result]

    def limit(self, spectrum: Spectrum) -> float:
        """Largest dt such that no step below it amplifies a decaying or oscillating mode."""
        return largest_stable(self.amplification, spectrum, len(self.stages))

    @property
    def summary(self) -> str:
        """One line for lists."""
        adaptive = ", with an error estimate that adapts the step" if self.error else ""
        count = len(self.stages)
        return f"Explicit Runge-Kutta scheme of order {self.order}, {count} stage{'s' * (count > 1)}{adaptive}."


def largest_stable(amplification: Callable[[np.ndarray], np.ndarray], spectrum: Spectrum, stages: int) -> float:
    """Largest dt such that no step below it amplifies a decaying or oscillating mode.

    Parameters
    ----------
    amplification : callable
        Growth factor of one step on y' = lambda y, from an array of lambda*dt.
    spectrum : Spectrum
        The modes; growing ones are taken as steady.
    stages : int
        Slopes in a step, which bound how far the search must go.
    """
    if spectrum.largest == 0.0:
        return np.inf
    z = np.minimum(spectrum.values.real, 0.0) + 1j * spectrum.values.imag
    z = np.unique(np.round(z / max(spectrum.largest, 1e-300), 12)) * spectrum.largest
    grid = np.linspace(0.0, 3.0 * stages / spectrum.largest, 600)[1:]
    stable = [bool(np.all(np.abs(amplification(step * z)) <= _STABLE)) for step in grid]
    first = stable.index(False) if False in stable else len(grid)
    low, high = (grid[first - 1] if first else 0.0), grid[min(first, len(grid) - 1)]
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.all(np.abs(amplification(middle * z)) <= _STABLE):
            low = middle
        else:
            high = middle
    return float(low)


class _Builder:
    def __init__(self, table: RungeKutta, discrete: Discrete) -> None:
        self._table = table
        self._discrete = discrete
        orders = discrete.system.orders
        self._second = [name for name, order in orders.items() if order == 2]
        self._unknowns = [*orders, *(rate_register(name) for name in self._second)]

    def register(self, unknown: str, name: str) -> str:
        """Register of an unknown under a name of the table."""
        return unknown if name == "u" else f"{unknown}@{name}"

    def scheme(self) -> Scheme:
        """All stages."""
        table = self._table
        extra = {rate_register(name): name for name in self._second}
        for unknown in self._unknowns:
            extra |= {self.register(unknown, name): unknown for name in table.registers}
        swaps = () if table.result == "u" else tuple((u, self.register(u, table.result)) for u in self._unknowns)
        return Scheme(
            name=table.name,
            order=table.order,
            extra={name: extra.get(source, source) for name, source in extra.items()},
            saved=frozenset(rate_register(name) for name in self._second),
            stages=tuple(self._stage(stage, last=stage is table.stages[-1]) for stage in table.stages),
            swaps=swaps,
            limit=table.limit,
            rates={name: rate_register(name) for name in self._second},
            error_registers=tuple(self.register(u, table.error) for u in self._unknowns) if table.error else (),
        )

    def _stage(self, stage: RungeKuttaStage, last: bool) -> Stage:
        def build(equation: Equation, index: int) -> list[Assignment]:
            slope = Temp(index)
            names = {unknown: self.register(unknown, stage.reads) for unknown in self._unknowns}
            rhs = renamed(self._discrete.rhs(equation), names)
            unknown = equation.field
            uses = sum("k" in combination for _, combination in stage.updates)
            if equation.order == 1 and uses == 1 and not self._table.error:
                # A slope used once is merged into its update, where a linear one costs fewer operations.
                return self._updates(stage, unknown, equation.component, rhs, last)
            assignments = [Assignment(slope, rhs)]
            if equation.order == 2:
                rate = self._discrete.at(names[rate_register(unknown)], equation.component)
                # The rate of u itself is read before the rate register may be overwritten.
                assignments += self._updates(stage, unknown, equation.component, rate, last)
                unknown = rate_register(unknown)
            return assignments + self._updates(stage, unknown, equation.component, slope, last)

        sweeps = self._discrete.sweeps(build)
        if self._table.separate:
            parts = [_separated(sweep, set(self._unknowns)) for sweep in sweeps]
            sweeps = (*(early for early, _ in parts), *(late for _, late in parts))
        inputs = {unknown: self.register(unknown, stage.reads) for unknown in self._unknowns}
        return Stage(float(stage.time), sweeps, inputs)

    def _updates(
        self, stage: RungeKuttaStage, unknown: str, component: int, slope: Expr, last: bool
    ) -> list[Assignment]:
        at, table = self._discrete.at, self._table
        assignments = []
        for target, combination in stage.updates:
            terms = [
                mul(c, DT, slope) if name == "k" else mul(c, at(self.register(unknown, name), component))
                for name, c in combination.items()
            ]
            value = add(*terms)
            if last and target == table.error:
                value = scaled_error(value, at(unknown, component), at(self.register(unknown, table.result), component))
            assignments.append(Assignment(at(self.register(unknown, target), component), value))
        return assignments


def scaled_error(error: Expr, old: Expr, new: Expr) -> Expr:
    """An error over what is tolerated: a step is accepted if it is nowhere above 1."""
    return call("abs", error) * power(_ATOL + _RTOL * call("max", call("abs", old), call("abs", new)), -1)


def _separated(sweep: Sweep, inputs: set[str]) -> tuple[Sweep, Sweep]:
    """Split off the updates of the input registers, which other sites and sweeps of the stage still read."""
    late = [a for a in sweep.assignments if not isinstance(a.target, Temp) and a.target.register in inputs]
    early = [a for a in sweep.assignments if a not in late]
    return Sweep(sweep.location, tuple(early)), Sweep(sweep.location, tuple(late))


def _f(text: str) -> Fraction:
    return Fraction(text)


_CK_A = ("0", "-567301805773/1357537059087", "-2404267990393/2016746695238", "-3550918686646/2091501179385",
         "-1275806237668/842570457699")  # fmt: skip
_CK_B = ("1432997174477/9575080441755", "5161836677717/13612068292357", "1720146321549/2090206949498",
         "3134564353537/4481467310338", "2277821191437/14882151754819")  # fmt: skip
_CK_C = ("0", "1432997174477/9575080441755", "2526269341429/6820363962896", "2006345519317/3224310063776",
         "2802321613138/2924317926251")  # fmt: skip

euler = RungeKutta("euler", 1, ("1",), (RungeKuttaStage("u", 0, (("1", {"u": 1, "k": 1}),)),), result="1")

ssprk3 = RungeKutta(
    "ssprk3",
    3,
    ("1", "2"),
    (
        RungeKuttaStage("u", 0, (("1", {"u": 1, "k": 1}),)),
        RungeKuttaStage("1", 1, (("2", {"u": _f("3/4"), "1": _f("1/4"), "k": _f("1/4")}),)),
        RungeKuttaStage("2", _f("1/2"), (("u", {"u": _f("1/3"), "2": _f("2/3"), "k": _f("2/3")}),)),
    ),
)

rk4 = RungeKutta(
    "rk4",
    4,
    ("1", "2", "sum"),
    (
        RungeKuttaStage("u", 0, (("1", {"u": 1, "k": _f("1/2")}), ("sum", {"u": 1, "k": _f("1/6")}))),
        RungeKuttaStage("1", _f("1/2"), (("2", {"u": 1, "k": _f("1/2")}), ("sum", {"sum": 1, "k": _f("1/3")}))),
        RungeKuttaStage("2", _f("1/2"), (("1", {"u": 1, "k": 1}), ("sum", {"sum": 1, "k": _f("1/3")}))),
        RungeKuttaStage("1", 1, (("u", {"sum": 1, "k": _f("1/6")}),)),
    ),
)

lsrk54 = RungeKutta(
    "lsrk54",
    4,
    ("d",),
    tuple(
        RungeKuttaStage("u", _f(c), (("d", {"d": _f(a), "k": 1}), ("u", {"u": 1, "d": _f(b)})))
        for a, b, c in zip(_CK_A, _CK_B, _CK_C, strict=True)
    ),
    separate=True,
)

bs32 = RungeKutta(
    "bs32",
    3,
    ("1", "2", "new", "error"),
    (
        RungeKuttaStage(
            "u",
            0,
            (("1", {"u": 1, "k": _f("1/2")}), ("new", {"u": 1, "k": _f("2/9")}), ("error", {"k": _f("-5/72")})),
        ),
        RungeKuttaStage(
            "1",
            _f("1/2"),
            (
                ("2", {"u": 1, "k": _f("3/4")}),
                ("new", {"new": 1, "k": _f("1/3")}),
                ("error", {"error": 1, "k": _f("1/12")}),
            ),
        ),
        RungeKuttaStage("2", _f("3/4"), (("new", {"new": 1, "k": _f("4/9")}), ("error", {"error": 1, "k": _f("1/9")}))),
        RungeKuttaStage("new", 1, (("error", {"error": 1, "k": _f("-1/8")}),)),
    ),
    result="new",
    error="error",
)
