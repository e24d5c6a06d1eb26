"""Looks at a running state: derived fields, quantities, owned values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.fields.reduce import ExactSum, totals
from hpcsim.fields.spec import FieldSpec
from hpcsim.kernels.loopnest import Assignment
from hpcsim.lattice.layout import Block
from hpcsim.simulation.case import Case
from hpcsim.sweeps.compiled import CompiledStage
from hpcsim.sweeps.setting import Setting
from hpcsim.sweeps.sweep import Stage, Sweep
from hpcsim.symbolic.discretize import Location
from hpcsim.symbolic.expr import Expr
from hpcsim.symbolic.operators import parts_of

SCRATCH = "@scratch"


class Observer:
    """Evaluates expressions of a state with the same kernels as the equations.

    Parameters
    ----------
    case : Case
        What is solved.
    setting : Setting
        The run.
    """

    def __init__(self, case: Case, setting: Setting) -> None:
        self._case = case
        self._setting = setting
        self._stages: dict[Expr, CompiledStage] = {}
        backend = case.config.run.backend
        self._reduction = backend if backend in ("numba", "numpy") else "auto"

    def values(self, name: str, t: float, dt: float) -> list[list[NDArray[Any]]]:
        """Owned values of a field or derived field: per local block one array per component."""
        return [self.block_parts(name, block, t, dt) for block in self._setting.storage.blocks]

    def block_parts(self, name: str, block: Block, t: float, dt: float) -> list[NDArray[Any]]:
        """Owned values of one block, one array per component; those of a field of the state are views."""
        state = self._setting.state
        if name in state:
            return [state.interior(name, block, component) for component in range(state[name].spec.components)]
        copies = []
        for part in parts_of(self._case.system.names().resolve(name)):
            expr, location = self._case.discrete.at_home(part), self._case.discrete.home(part)
            self._stage(expr, location).run(t, dt)
            copies.append(self._owned(block, location).copy())
        return copies

    def quantities(self, t: float, dt: float) -> dict[str, float]:
        """Every quantity of the case; sums are exact, so they do not depend on ranks, blocks or threads."""
        domain = self._case.domain
        volume = domain.cell_volume * float(np.prod(domain.shape))
        sums: dict[str, ExactSum] = {}
        extremes: dict[str, float] = {}
        for quantity in self._case.quantities:
            location = self._case.discrete.home(quantity.expr)
            self._stage(quantity.integrand(self._case.discrete), location).run(t, dt)
            pieces = [self._owned(block, location) for block in self._setting.storage.blocks]
            if quantity.reduction in ("max", "min"):
                sign = 1.0 if quantity.reduction == "max" else -1.0
                local = max(float(np.max(sign * piece)) for piece in pieces)
                extremes[quantity.name] = sign * float(self._setting.context.max(local))
            else:
                sums[quantity.name] = ExactSum(self._reduction, self._setting.threads)
                for piece in pieces:
                    sums[quantity.name].add(piece)
        found = dict(zip(sums, totals(self._setting.context, list(sums.values())), strict=True)) if sums else {}
        return {
            q.name: q.finish({**found, **extremes}[q.name], domain.cell_volume, volume) for q in self._case.quantities
        }

    def spec_of(self, name: str) -> FieldSpec:
        """Components and centring under which a field or derived field is written."""
        if name in self._case.specs:
            return self._case.specs[name]
        value = self._case.system.names().resolve(name)
        places = [self._case.discrete.home(part) for part in parts_of(value)]
        centring = "vertex" if all(all(place) for place in places) else "cell"
        return FieldSpec(name, len(places), centring, self._setting.dtype)

    def _owned(self, block: Block, location: Location) -> NDArray[Any]:
        lo, hi = self._setting.layout.owned_box(block, location)
        ghost, slot = self._setting.storage.ghost, self._setting.storage.slot(block.id)
        window = tuple(
            slice(a - origin + ghost, b - origin + ghost) for a, b, origin in zip(lo, hi, block.lo, strict=True)
        )
        scratch = self._setting.state[SCRATCH].array[slot, 0]
        piece: NDArray[Any] = scratch[window]
        return piece

    def _stage(self, expr: Expr, location: Location) -> CompiledStage:
        if expr not in self._stages:
            if SCRATCH not in self._setting.state:
                self._setting.state.add(SCRATCH, FieldSpec(SCRATCH, dtype=self._setting.dtype), saved=False)
                self._setting.components[SCRATCH] = 1
            self._stages[expr] = CompiledStage(Stage(0.0, (_sweep(self._case, expr, location),)), self._setting)
        return self._stages[expr]


def observed_sweeps(case: Case) -> list[Sweep]:
    """The sweeps that quantities and derived outputs of a case need."""
    wanted = [(q.integrand(case.discrete), case.discrete.home(q.expr)) for q in case.quantities]
    for name, value in case.outputs.items():
        if name not in case.specs:
            wanted += [(case.discrete.at_home(part), case.discrete.home(part)) for part in parts_of(value)]
    return [_sweep(case, expr, location) for expr, location in dict(wanted).items()]


def _sweep(case: Case, expr: Expr, location: Location) -> Sweep:
    return Sweep(location, (Assignment(case.discrete.at(SCRATCH, 0), expr),))
