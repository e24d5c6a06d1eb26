"""Multigrid as a solver and as a preconditioner."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.grid import Axis, End, Star
from hpcsim.solvers.multigrid.coarsen import hierarchy
from hpcsim.solvers.multigrid.coarsest import dense_matrix, inverse
from hpcsim.solvers.multigrid.cycle import Cycle
from hpcsim.solvers.multigrid.decompose import decompose
from hpcsim.solvers.multigrid.engine import Engine
from hpcsim.solvers.multigrid.natural import Solution, describe, writable
from hpcsim.solvers.multigrid.options import MultigridOptions
from hpcsim.solvers.multigrid.smoothers import SMOOTHERS
from hpcsim.solvers.multigrid.source import Form
from hpcsim.solvers.multigrid.walls import folded, volumes
from hpcsim.solvers.multigrid.weights import Constant, coarser, strengths
from hpcsim.solvers.outcome import Outcome

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]
_SINGLE = Axis(1, 1.0, False, (End(0.0, 1.0), End(0.0, 1.0)))


class Multigrid:
    def __init__(
        self,
        context: Context,
        star: Star,
        boxes: Sequence[Box],
        options: MultigridOptions | None = None,
        threads: int = 1,
    ) -> None:
        self.options = options or MultigridOptions()
        self._context = context
        self._flat = len(star.axes) == 1
        axes = (_SINGLE, *star.axes) if self._flat else star.axes
        self._boxes = tuple(((0, *lo), (1, *hi)) if self._flat else (lo, hi) for lo, hi in boxes)
        weights = self._constant(star)
        ndim = len(star.axes)
        smoother = SMOOTHERS.get(self.options.smoother)(self.options.sweeps, ndim, self.options.factor)
        dtype = "float32" if self.options.precision == "mixed" else "float64"
        self._axes = hierarchy(axes, strengths(weights))
        ghost = 2 * sum(self.options.sweeps) + 2
        everyone = [decompose(self._axes, self._boxes, rank, ghost) for rank in range(context.size)]
        level = everyone[context.rank][0]
        self.levels = everyone[context.rank]
        form = Form(level.outer, dtype, False, threads > 1, smoother.polynomial)
        self._engine = Engine(context, everyone, form, threads)
        describe(self._engine.tables)
        self._solution = Solution(context, [own[0] for own in everyone])
        cycle = Cycle(self._engine.assembler, smoother, self.options.cycle, 0)
        self._programs = {
            "first": cycle.correction(True),
            "next": cycle.correction(False),
            "residual": cycle.residual(),
            "operate": cycle.operate(),
            "step": cycle.step(),
            "full": cycle.full(),
        }
        self._engine.finish(list(self._programs.values()))
        self._set(weights)
        self.method = f"multigrid {self.options.cycle.upper()}({self.options.sweeps[0]},{self.options.sweeps[1]})"

    def _constant(self, star: Star) -> Constant:
        lower, upper = tuple(float(w) for w in star.lower), tuple(float(w) for w in star.upper)
        if self._flat:
            lower, upper = (0.0, *lower), (0.0, *upper)
        return Constant(lower, upper, float(star.centre))

    def _set(self, weights: Constant) -> None:
        self._sigma = 2.0 ** math.frexp(abs(weights.centre))[1]
        levels = [weights]
        for fine, coarse in zip(self._axes, self._axes[1:], strict=False):
            levels.append(coarser(levels[-1], fine, coarse))
        axes = self._axes[-1]
        tables = self._engine.tables
        for number, own in enumerate(levels):
            tables.constant_weights(number, own.scaled(1.0 / self._sigma))
        last = levels[-1].scaled(1.0 / self._sigma)
        shape = tuple(a.count for a in axes)
        low, high, centre = [], [], np.full(shape, last.centre)
        for k, axis in enumerate(axes):
            a, b, extra = folded(axis, last.lower[k], last.upper[k])
            along = [-1 if j == k else 1 for j in range(len(axes))]
            low.append(np.broadcast_to(a.reshape(along), shape))
            high.append(np.broadcast_to(b.reshape(along), shape))
            centre = centre + extra.reshape(along)
        size = sum(abs(w) for w in (*weights.lower, *weights.upper, weights.centre))
        self.singular = abs(weights.total) <= 1e-13 * size and all(
            axis.ends is None or all(end.alpha == 0.0 for end in axis.ends) for axis in self._axes[0]
        )
        null = None
        if self.singular:
            null = np.ones(1)
            for axis in axes:
                null = np.multiply.outer(null, volumes(axis))
            null = null.ravel()
        dense = inverse(dense_matrix(axes, low, high, centre), null)
        self._engine.dense = dense.astype(self._engine.dense.dtype).ravel()
        natural = tables.number_table.copy()
        from hpcsim.solvers.multigrid.tables import PLACES

        row = tables.rows[0]
        level = self.levels[0]
        for axis in range(level.outer):
            p = row[PLACES["WEIGHTS"] + axis]
            natural[p : p + 3 * level.total[axis]] *= self._sigma
        p = row[PLACES["ROW"]]
        natural[p : p + 9] *= self._sigma
        self._engine.numbers(natural)

    def solve(self, f: Values, u: Values, rtol: float = 1e-8, atol: float = 0.0, guess: bool = False) -> Outcome:
        start = time.perf_counter()
        engine = self._engine
        right, x = writable(f), self._solution.array(u)
        count = math.prod(a.count for a in self._axes[0])
        scale = self._sample(f)
        engine.scalars[:] = (scale, 1.0 / (scale * self._sigma), 0.0)
        engine.run(self._programs["first"], right, x)
        half = engine.sums.size >> 1
        b = math.sqrt(float(engine.sums[half:].sum()))
        history = [b, math.sqrt(float(engine.sums[:half].sum()))]
        goal = max(rtol * b, atol)
        while history[-1] > goal and len(history) <= self.options.max_iterations:
            engine.scalars[1] = 1.0 / (scale * self._sigma)
            scale = 2.0 ** -math.frexp(history[-1] / math.sqrt(count))[1]
            engine.scalars[0] = scale
            engine.run(self._programs["next"], right, x)
            history.append(math.sqrt(float(engine.sums[:half].sum())))
        self._solution.get(u)
        ok = history[-1] <= goal
        return Outcome(
            self.method,
            ok,
            "tolerance reached" if ok else "too many cycles",
            len(history) - 1,
            tuple(history),
            {"solve": time.perf_counter() - start},
        )

    def _sample(self, f: Values) -> float:
        sample = f[:: max(1, f.shape[0] // 16)]
        return 2.0 ** -math.frexp(float(np.abs(sample).max()))[1]
