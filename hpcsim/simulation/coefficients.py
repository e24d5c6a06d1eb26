"""Extremes of the coefficients of the linearised equations over all sites, for the stability limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, Problem
from hpcsim.lattice.box import Box
from hpcsim.lattice.layout import Block
from hpcsim.models.sampling import slabs
from hpcsim.sweeps.setting import Setting
from hpcsim.symbolic.discretize import rate_register
from hpcsim.symbolic.evaluate import evaluate, scalar_value
from hpcsim.symbolic.expr import Access, Coordinate, Expr, Symbol
from hpcsim.symbolic.simplify import invariant
from hpcsim.symbolic.stability import Range

_SAMPLES = 129


class CoefficientRanges:
    """Evaluates coefficients on the state as it is; time-dependent ones over the whole run.

    Parameters
    ----------
    setting : Setting
        The run.
    start, stop : float
        Times between which time-dependent coefficients are sampled; ``stop`` may be None.
    rates : mapping of str to str
        Second-order field to the register that holds its rate at the start.
    """

    def __init__(self, setting: Setting, start: float, stop: float | None, rates: Mapping[str, str]) -> None:
        self._setting = setting
        self._registers = {rate_register(name): register for name, register in rates.items()}
        self._times = [start] if stop is None else list(np.linspace(start, stop, _SAMPLES))

    def __call__(self, coefficients: Sequence[Expr]) -> list[Range]:
        """Smallest and largest value of each, over all sites of all ranks; collective."""
        self._fill_ghosts(coefficients)
        local = np.array([self._range(expr) for expr in coefficients], dtype=float).reshape(-1, 2)
        if any(not invariant(expr) for expr in coefficients):
            local[:, 0] = self._setting.context.min(np.ascontiguousarray(local[:, 0]))
            local[:, 1] = self._setting.context.max(np.ascontiguousarray(local[:, 1]))
        if not np.isfinite(local).all():
            raise ConfigError(
                [Problem("run.dt", "the linearised equations are not finite on the initial state; give run.dt and "
                         "run.allow_unstable = true if this is meant")]
            )  # fmt: skip
        return [(float(low), float(high)) for low, high in local]

    def _fill_ghosts(self, coefficients: Sequence[Expr]) -> None:
        """Ghosts of every field that a coefficient reads at neighbouring sites, so that blocks do not matter."""
        nodes = (node for expr in coefficients for node in expr.walk())
        reads = {self._register(node) for node in nodes if isinstance(node, Access) and any(node.offset)}
        names = sorted(reads & set(self._setting.sources))
        if names:
            fields = [self._setting.sources[name] for name in names]
            fill = self._setting.ghosts.prepare(fields, self._setting.storage.ghost, True)
            registers = [self._setting.state[name] for name in names]
            fill.start(registers, self._times[0])
            fill.finish(registers, self._times[0])

    def _register(self, access: Access) -> str:
        """Register of the state that holds what is read; rates have one of their own only in some schemes."""
        return self._registers.get(access.register, str(access.register))

    def _range(self, expr: Expr) -> Range:
        of_time = any(node == Symbol("t") for node in expr.walk())
        low, high = np.inf, -np.inf
        for t in self._times if of_time else self._times[:1]:
            values = {**self._setting.values, "t": float(t), "dt": 0.0}
            if invariant(expr):
                pieces: Iterable[Any] = [np.float64(scalar_value(expr, values))]
            else:
                pieces = (self._on_box(expr, block, *box, values) for block, box in self._boxes())
            for piece in pieces:
                # Unlike min and max of Python these keep a NaN.
                low, high = float(np.minimum(low, np.min(piece))), float(np.maximum(high, np.max(piece)))
        return low, high

    def _boxes(self) -> Iterator[tuple[Block, Box]]:
        """The owned cells of every block, by slabs: working arrays stay small beside the registers."""
        for block in self._setting.storage.blocks:
            for first, last in slabs(block.lo, block.hi):
                yield block, ((first, *block.lo[1:]), (last, *block.hi[1:]))

    def _on_box(
        self, expr: Expr, block: Block, lo: tuple[int, ...], hi: tuple[int, ...], values: dict[str, float]
    ) -> NDArray[Any]:
        """Values at owned cells of a block; what lives elsewhere is read at the same array index."""
        state, ghost = self._setting.state, self._setting.storage.ghost
        environment: dict[Expr, Any] = {}
        for node in expr.walk():
            if isinstance(node, Symbol):
                environment[node] = np.float64(values[node.name])
            elif isinstance(node, Coordinate):
                index = np.arange(lo[node.axis], hi[node.axis]) + node.offset
                points = self._setting.layout.domain.coordinate(node.axis, index, bool(node.staggered))
                environment[node] = points.reshape([-1 if a == node.axis else 1 for a in range(len(lo))])
            elif isinstance(node, Access):
                window = tuple(
                    slice(ghost + step + a - origin, ghost + step + b - origin)
                    for step, a, b, origin in zip(node.offset, lo, hi, block.lo, strict=True)
                )
                slot = self._setting.storage.slot(block.id)
                environment[node] = state[self._register(node)].array[(slot, node.component, *window)].astype(float)
        with np.errstate(all="ignore"):
            return np.asarray(evaluate(expr, environment))
