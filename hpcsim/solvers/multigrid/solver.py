"""Multigrid as a solver and as a preconditioner."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.grid import Star
from hpcsim.solvers.multigrid.coarsen import LARGEST_DIRECT, hierarchy
from hpcsim.solvers.multigrid.cycle import Cycle
from hpcsim.solvers.multigrid.decompose import decompose, whole
from hpcsim.solvers.multigrid.engine import Engine
from hpcsim.solvers.multigrid.fetch import Fetch
from hpcsim.solvers.multigrid.iterate import Goal, History, direct, mixed
from hpcsim.solvers.multigrid.krylov import operate, orthomin
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.machine import Machine
from hpcsim.solvers.multigrid.natural import Solution, describe
from hpcsim.solvers.multigrid.options import MultigridOptions
from hpcsim.solvers.multigrid.problem import Problem
from hpcsim.solvers.multigrid.smoothers import SMOOTHERS
from hpcsim.solvers.multigrid.source import Form
from hpcsim.solvers.multigrid.spread import ConstantSpread, VaryingSpread
from hpcsim.solvers.multigrid.varying import Varying
from hpcsim.solvers.multigrid.walls import volumes
from hpcsim.solvers.multigrid.weights import Constant
from hpcsim.solvers.outcome import Outcome

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]

INNER_CELLS = 512
"""Up to so many cells an axis, two cycles in single precision bring more than their rounding takes."""


class Multigrid:
    """Solves ``A u = f`` for a star-shaped operator on a rectangular grid; all verbs are collective.

    Parameters
    ----------
    context : Context
        The ranks.
    star : Star
        The operator; arrays of weights cover the box of this rank.
    boxes : sequence of Box
        Boxes of all ranks with the last axis whole, see `hpcsim.lattice.pencils.pencils`.
    options : MultigridOptions, optional
        Choices.
    threads : int
        Threads of this rank.

    Attributes
    ----------
    method : str
        In words.
    singular : bool
        Whether constants are solutions without right side. Then the mean over the volume is taken from right sides
        and solutions.
    levels : sequence of Level
        As this rank sees them, finest first.

    Raises
    ------
    ConfigError
        If the operator has too many axes, or the boxes are no pencils.

    Notes
    -----
    Right sides and solutions are float64 arrays over the box of the rank, C order, without ghosts. Every site gets the
    same bits on any number of ranks and threads, but where a sum over the ranks steers the iteration.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> from hpcsim.solvers.grid import Axis, End, laplacian
    >>> wall = End(1.0, 0.0)
    >>> star = laplacian((Axis.of_cells(32, 1 / 32, (wall, wall)),) * 2)
    >>> solver = Multigrid(Context.serial(), star, [((0, 0), (32, 32))])
    >>> f, u, back = np.ones((32, 32)), np.zeros((32, 32)), np.zeros((32, 32))
    >>> solver.solve(f, u, rtol=1e-10).converged
    True
    >>> solver.operator(u, back)
    >>> bool(np.abs(back - f).max() < 1e-8)
    True
    """

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
        self._problem = problem = Problem(context, star, boxes)
        weights = problem.weights(star)
        axes = hierarchy(problem.axes, problem.strengths(weights))
        sweeps = self.options.sweeps
        smoother = SMOOTHERS.get(self.options.smoother)(sweeps, len(star.axes), self.options.factor)
        # So far the walk of a cycle over the finest level reaches over linked sides.
        ghost = 2 * max(sweeps) + 4
        everyone = [decompose(axes, problem.boxes, rank, ghost) for rank in range(context.size)]
        self.levels = everyone[context.rank]
        dtype = "float32" if self.options.precision == "mixed" else "float64"
        form = Form(len(problem.axes) - 1, dtype, not problem.constant, threads > 1, smoother.polynomial)
        self._engine = Engine(context, everyone, form, threads)
        dense = self.levels[-1].size <= LARGEST_DIRECT
        self._machine = self._assemble(Cycle(self._engine.assembler, smoother, self.options.cycle, dense), everyone)
        if problem.constant:
            self._spread: ConstantSpread | VaryingSpread = ConstantSpread(self._engine, axes, dense)
        else:
            self._spread = VaryingSpread(context, self._engine, everyone, dense)
        self._join: Fetch | None = None
        if self.levels[0].shared and context.size > 1:
            self._join = Fetch(context, problem.axes, problem.box, whole(problem.axes), False)
        self.method = f"multigrid {self.options.cycle.upper()}({sweeps[0]},{sweeps[1]})"
        self._set(weights)

    def _assemble(self, cycle: Cycle, everyone: Sequence[Sequence[Level]]) -> Machine:
        describe(self._engine.tables)
        solution = Solution(self._context, [own[0] for own in everyone])
        self._inner = 2 if max(axis.cells for axis in self.levels[0].axes) <= INNER_CELLS else 1
        programs = {
            "first": cycle.correction(True, self._inner),
            "next": cycle.correction(False, self._inner),
            "last": cycle.correction(False, 1),
            "residual": cycle.residual(),
            "operate": cycle.operate(),
            "step": cycle.step(),
            "full": cycle.full(),
            # Where coefficients jump, coarse levels are poor and worth a second visit.
            "strong": cycle.step("" if self._problem.constant or self.options.cycle != "v" else "w"),
        }
        if len(self.levels) > 1:
            programs |= {
                "load": cycle.begin(True),
                "begin": cycle.begin(False),
                "proceed": cycle.proceed(),
                "set": cycle.conclude(True),
                "add": cycle.conclude(False),
            }
        self._engine.finish(list(programs.values()))
        return Machine(self._engine, programs, solution, self._problem.size)

    def _set(self, weights: Constant | Varying) -> None:
        problem = self._problem
        self._machine.sigma = sigma = problem.scale(weights)
        self.singular = problem.singular(weights)
        if isinstance(weights, Varying) and self._join is not None:
            join = self._join.run
            weights = Varying(tuple(map(join, weights.lower)), tuple(map(join, weights.upper)), join(weights.centre))
        if isinstance(self._spread, VaryingSpread):
            assert isinstance(weights, Varying)
            self._spread.set(weights, sigma, self.singular)
        else:
            assert isinstance(weights, Constant)
            self._spread.set(weights, sigma, self.singular)

    def update(self, star: Star) -> None:
        """Take up other weights of the same form."""
        self._set(self._problem.weights(star))

    def solve(self, f: Values, u: Values, rtol: float = 1e-8, atol: float = 0.0, guess: bool = False) -> Outcome:
        """Improve `u` until the two-norm of ``f - A u`` is at most ``max(rtol*|f|, atol)``.

        Parameters
        ----------
        f : float64 array
            Right side.
        u : float64 array
            Solution; overwritten.
        rtol, atol : float
            Tolerances.
        guess : bool
            Whether `u` holds a first guess.

        Returns
        -------
        Outcome
            Iterations are cycles. Of an operator with constants in its kernel, residuals are those of the right side
            without its mean.
        """
        start = time.perf_counter()
        right, x = self._whole(f), self._whole(u, guess)
        mean = self._mean(right) if self.singular else 0.0
        goal = Goal(rtol, atol, self.options.max_iterations, self.options.acceleration is not None)
        method, history = self.method, History(0.0, [1.0], "slow")
        if not self.options.acceleration:
            history = self._plain(right, x, mean, guess, goal)
        if history.reason in ("slow", "diverged") and self.options.acceleration is not False:
            method = f"orthomin with {method}"
            if history.residuals[-1] > history.residuals[0] or not (guess or history.goal):
                # What the cycles made is worse than nothing.
                x.fill(0.0)
            history = self._accelerated(right - mean if mean else right, x, goal, history)
        if self.singular:
            x -= self._mean(x)
        self._back(x, u)
        took = {"solve": time.perf_counter() - start}
        residuals = tuple(history.residuals)
        ok = history.reason == "tolerance reached"
        return Outcome(method, ok, history.reason, len(residuals) - 1, residuals, took)

    def _plain(self, f: Values, x: Values, mean: float, guess: bool, goal: Goal) -> History:
        machine = self._machine
        machine.take(f, x, mean)
        if guess:
            machine.solution.put(x)
        if self.options.precision == "double" and len(self.levels) > 1:
            history = direct(machine, f, guess, goal)
        else:
            history = mixed(machine, f, guess, goal, self._inner)
        machine.solution.get(x)
        return history

    def _accelerated(self, f: Values, x: Values, goal: Goal, before: History) -> History:
        right = math.sqrt(self._machine.dot(f, f))
        history = orthomin(self._machine, f, x, right, Goal(goal.rtol, goal.atol, goal.limit, True))
        if len(before.residuals) > 1:
            history.residuals = before.residuals + history.residuals[1:]
        return history

    def apply(self, r: Values, z: Values) -> None:
        """One cycle from zero for the right side `r`: a fixed linear preconditioner."""
        right, x = self._whole(r), self._whole(z, False)
        mean = self._mean(right) if self.singular else 0.0
        machine = self._machine
        machine.take(right, x, mean)
        machine.expect(machine.estimate(right))
        machine.expect_back()
        machine.run("step")
        machine.solution.get(x)
        if self.singular:
            x -= self._mean(x)
        self._back(x, z)

    def full(self, f: Values, u: Values) -> Outcome:
        """Full multigrid: `u` is the solution up to about the error of the discretisation."""
        start = time.perf_counter()
        right, x = self._whole(f), self._whole(u, False)
        machine = self._machine
        machine.take(right, x, self._mean(right) if self.singular else 0.0)
        machine.expect(machine.estimate(right))
        machine.expect_back()
        machine.run("full")
        machine.solution.get(x)
        if self.singular:
            x -= self._mean(x)
        self._back(x, u)
        took = {"solve": time.perf_counter() - start}
        return Outcome(f"full {self.method}", True, "one pass", 1, (machine.norm(loaded=True),), took)

    def operator(self, u: Values, out: Values) -> None:
        """``out = A u``."""
        x, result = self._whole(u), self._whole(out, False)
        operate(self._machine, x, result)
        self._back(result, out)

    def _whole(self, values: Values, given: bool = True) -> Values:
        """Values on the box of the finest level: those of the rank, or of all ranks."""
        shaped = self._problem.shaped(values)
        if self._join is None:
            return shaped
        return self._join.run(shaped) if given else np.empty(extent(self.levels[0].box))

    def _back(self, found: Values, values: Values) -> None:
        """The part of this rank."""
        if self._join is not None:
            window = tuple(slice(a, b) for a, b in zip(*self._problem.box, strict=True))
            self._problem.shaped(values)[...] = found[window]

    def _mean(self, values: Values) -> float:
        """Mean over the volume."""
        sums, total = values, 1.0
        level = self.levels[0]
        for axis, lo, hi in reversed(list(zip(level.axes, *level.box, strict=True))):
            sums = sums @ volumes(axis)[lo:hi]
            total *= float(volumes(axis).sum())
        return self._machine.total(float(sums)) / total

    def free(self) -> None:
        """Give back messages and memory."""
        if isinstance(self._spread, VaryingSpread):
            self._spread.free()
        self._machine.solution.free()
        if self._join is not None:
            self._join.free()
            self._join = None
