"""A discrete problem on the blocks of a run: its residual, and the linear operator that is its derivative.

The operator is applied by a compiled kernel. Coefficients that vary are tabulated at the site of the row, so that one
evaluation serves the kernel, the assembled matrix and the native solvers alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.boundary.ghosts import Ghosts
from hpcsim.fields.spec import FieldSpec
from hpcsim.kernels.loopnest import Assignment
from hpcsim.solvers.unknowns import Piece, Unknowns, Vector
from hpcsim.sweeps.compiled import CompiledStage
from hpcsim.sweeps.setting import Setting
from hpcsim.sweeps.sweep import Solve, Stage, Sweep
from hpcsim.symbolic.discretize import Location
from hpcsim.symbolic.evaluate import scalar_value
from hpcsim.symbolic.expr import Access, Expr, Symbol, add, mul
from hpcsim.symbolic.linearize import linearize
from hpcsim.symbolic.simplify import invariant
from hpcsim.symbolic.stability import JacobianEntry


class Operator:
    """A problem with memory and kernels.

    Parameters
    ----------
    problem : Solve
        What is solved.
    setting : Setting
        The run.
    directions : Ghosts
        Fills of the run with homogeneous conditions.

    Attributes
    ----------
    linear : Linearization
        The derivative of the residuals.
    unknowns : Unknowns
        The sites that may change.
    """

    def __init__(self, problem: Solve, setting: Setting, directions: Ghosts) -> None:
        self.problem = problem
        self.setting = setting
        self.linear = linearize(problem.residuals, problem.unknowns)
        self.unknowns = Unknowns(setting, problem.unknowns)
        self._varying = [e for e in self.linear.entries if not invariant(e.coefficient)]
        self._registers = [register for register, _ in problem.unknowns]
        self._results = self._add_registers("residual")
        self._directions = self._add_registers("direction")
        self._table = f"{problem.name}@coefficients"
        if self._varying:
            self._add(self._table, FieldSpec(self._table, len(self._varying), dtype=setting.dtype))
        residual, product = self.stage(problem.residuals), self.stage(self._product_values())
        table = self._tabulation()
        self._compile([residual, product, *table])
        self._residual = CompiledStage(residual, setting)
        sources = {self._directions[i]: setting.sources[name] for i, name in enumerate(self._registers)}
        self._apply = CompiledStage(product, replace(setting, ghosts=directions, sources=sources))
        self._tables = [CompiledStage(stage, setting) for stage in table]
        self._scalars: dict[str, float] = {}

    def _add_registers(self, role: str) -> list[str]:
        """A register shaped like that of each unknown, shared by the unknowns of a field."""
        names = []
        for register in self._registers:
            name = f"{register}@{self.problem.name}.{role}"
            if name not in self.setting.state:
                self._add(name, replace(self.setting.state[register].spec, name=name))
            names.append(name)
        return names

    def _add(self, name: str, spec: FieldSpec) -> None:
        self.setting.state.add(name, spec, saved=False)
        self.setting.components[name] = spec.components

    def _location(self, column: int) -> Location:
        register, component = self.problem.unknowns[column]
        return self.setting.state[register].spec.locations(self.setting.layout.domain.ndim)[component]

    def _product_values(self) -> list[Expr]:
        """Row by row the sum of coefficients times directions."""
        rows: list[list[Expr]] = [[] for _ in self.problem.unknowns]
        for entry in self.linear.entries:
            component = self.problem.unknowns[entry.column][1]
            direction = Access(self._directions[entry.column], component, entry.offset)
            rows[entry.row].append(mul(self._coefficient(entry), direction))
        return [add(*terms) for terms in rows]

    def _coefficient(self, entry: JacobianEntry) -> Expr:
        if invariant(entry.coefficient):
            return entry.coefficient
        return Access(self._table, self._varying.index(entry), (0,) * len(entry.offset))

    def stage(self, values: Sequence[Expr]) -> Stage:
        """A stage that puts one value per unknown into the result registers, one sweep per location."""
        groups: dict[Location, list[Assignment]] = {}
        for column, value in enumerate(values):
            location, component = self._location(column), self.problem.unknowns[column][1]
            target = Access(self._results[column], component, (0,) * len(location))
            groups.setdefault(location, []).append(Assignment(target, value))
        sweeps = tuple(Sweep(location, tuple(group)) for location, group in groups.items())
        return Stage(0.0, sweeps)

    def _tabulation(self) -> list[Stage]:
        """The stage that evaluates every varying coefficient at the site of its row, if there are any."""
        groups: dict[Location, list[Assignment]] = {}
        for place, entry in enumerate(self._varying):
            location = self._location(entry.row)
            target = Access(self._table, place, (0,) * len(location))
            groups.setdefault(location, []).append(Assignment(target, entry.coefficient))
        sweeps = tuple(Sweep(location, tuple(group)) for location, group in groups.items())
        return [Stage(0.0, sweeps)] if sweeps else []

    def _compile(self, stages: Sequence[Stage]) -> None:
        """Compile on one rank of a node first; the others find the kernels in the cache."""
        setting = self.setting
        nests = [setting.make_nest(sweep) for stage in stages for sweep in stage.sweeps]
        with setting.context.one_per_node():
            for nest in nests:
                setting.backend.compile(nest)

    @property
    def changes(self) -> bool:
        """Whether coefficients depend on time or on registers that change, so that they must be evaluated again."""
        registers = {
            node.register for e in self.linear.entries for node in e.coefficient.walk() if isinstance(node, Access)
        }
        timed = any(node == Symbol("t") for e in self.linear.entries for node in e.coefficient.walk())
        return timed or any(not self.setting.state[name].static for name in registers)

    def prepare(self, t: float, dt: float) -> None:
        """Evaluate the coefficients at time t, for a step of dt, at the unknowns as they are."""
        self._scalars = {**self.setting.values, "t": t, "dt": dt}
        for stage in self._tables:
            stage.run(t, dt)

    def residual(self, t: float, dt: float, out: Vector) -> Vector:
        """Residuals at time t, for a step of dt, at the unknowns as they are; collective."""
        self._residual.run(t, dt)
        return self.unknowns.pack(self._results, out)

    def results(self, out: Vector) -> Vector:
        """What a stage of `stage` left."""
        return self.unknowns.pack(self._results, out)

    def apply(self, x: Vector, out: Vector, t: float, dt: float) -> Vector:
        """Derivative of the residuals in a direction; collective."""
        self.unknowns.unpack(x, self._directions)
        self._apply.run(t, dt)
        return self.unknowns.pack(self._results, out)

    def get(self, out: Vector) -> Vector:
        """The unknowns as they are."""
        return self.unknowns.pack(self._registers, out)

    def set(self, x: Vector) -> None:
        """Give the unknowns values."""
        self.unknowns.unpack(x, self._registers)

    def clear(self) -> None:
        """Set the unknowns to zero."""
        self.unknowns.clear(self._registers)

    def vector(self) -> Vector:
        """A packed vector of zeros."""
        return np.zeros(self.unknowns.size)

    def varies(self, entry: JacobianEntry) -> bool:
        """Whether the coefficient of an entry differs between sites."""
        return entry in self._varying

    def constant(self, entry: JacobianEntry) -> float:
        """Coefficient of an entry that does not vary."""
        return scalar_value(entry.coefficient, self._scalars)

    def values(self, entry: JacobianEntry, piece: Piece) -> float | NDArray[Any]:
        """Coefficient of an entry at the sites of a piece: a number, or an array over its box."""
        if not self.varies(entry):
            return self.constant(entry)
        table: NDArray[Any] = self.setting.state[self._table].array[piece.slot, self._varying.index(entry)]
        return table[piece.window]

    def diagonal(self, out: Vector) -> Vector:
        """Coefficient of every unknown in its own row."""
        out.fill(0.0)
        own = {e.row: e for e in self.linear.entries if e.row == e.column and not any(e.offset)}
        for piece in self.unknowns.pieces:
            target = self.unknowns.view(out, piece)
            for place, column in enumerate(piece.columns):
                if column in own:
                    target[..., place] = self.values(own[column], piece)
        return out
