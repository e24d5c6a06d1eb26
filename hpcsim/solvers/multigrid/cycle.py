"""The programs of a solver: cycles, full multigrid, a preconditioner step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcsim.solvers.multigrid.assemble import Assembler, Program
from hpcsim.solvers.multigrid.smoothers import Smoother
from hpcsim.solvers.multigrid.stages import Stage, extents

CORRECT, ASSIGN = Stage("CORRECT"), Stage("ASSIGN")
ADD, SET, RESIDUAL, LOAD = Stage("ADD"), Stage("SET"), Stage("RESIDUAL"), Stage("LOAD")
RESTRICT, INJECT = Stage("RESTRICT"), Stage("INJECT")
SUMMED = Stage("RESTRICT", 1.0)
"""A restriction that sums the squares of the residual."""

BOTTOM_SWEEPS = 6
"""Rounds of smoothing on a coarsest level that is too large for its inverse: axes along which nothing couples."""


@dataclass(frozen=True)
class Cycle:
    """Writes cycles into programs.

    Attributes
    ----------
    assembler : Assembler
        Takes the passes.
    smoother : Smoother
        Sweeps before and after the coarser level.
    kind : str
        ``"v"``, ``"w"`` or ``"f"``.
    dense : bool
        Whether there is an inverse of the coarsest level; else it is smoothed.
    """

    assembler: Assembler
    smoother: Smoother
    kind: str
    dense: bool

    @property
    def last(self) -> int:
        """The coarsest level."""
        return len(self.assembler.levels) - 1

    def bottom(self) -> None:
        """Solve the coarsest level."""
        if self.dense:
            self.assembler.direct(self.last)
            return
        again = [*self.smoother.before(False), *self.smoother.after()] * BOTTOM_SWEEPS
        self.assembler.passes(self.last, [*self.smoother.before(True), *again])

    def down(self, number: int, zero: bool, before: Sequence[Stage] = (), restrict: Stage = RESTRICT) -> None:
        """From a level to the next: smooth, restrict the residual."""
        up = [CORRECT, *self.smoother.after(), *((ADD, RESIDUAL) if number == 0 else ())]
        # What the way up will read of the iterate costs nothing here.
        keep = max(0, extents(up)[0] - 2)
        stages = self.smoother.before(zero)
        self.assembler.passes(number, [*before, *stages, restrict], keep)

    def up(self, number: int, after: Sequence[Stage] = ()) -> None:
        """To a level from the next: interpolate the correction, smooth."""
        self.assembler.passes(number, [CORRECT, *self.smoother.after(), *after])

    def visit(self, number: int, kind: str = "") -> None:
        """What happens on a level between the way down to it and the way up: one cycle, or two."""
        kind = kind or self.kind
        self.coarse(number, True, kind)
        # The second one is of the same kind (W), or a V-cycle (F).
        if kind != "v" and number < self.last:
            self.coarse(number, False, "w" if kind == "w" else "v")

    def coarse(self, number: int, zero: bool, kind: str) -> None:
        """A cycle for the right side of a level below the finest."""
        if number == self.last:
            self.bottom()
            return
        self.down(number, zero)
        self.visit(number + 1, kind)
        self.up(number)

    def nested(self, number: int) -> None:
        """Full multigrid for the right side of a level: the next one first, then a cycle from its solution."""
        if number == self.last:
            self.bottom()
            return
        self.assembler.passes(number, [INJECT])
        self.nested(number + 1)
        self.from_nested(number)
        self.up(number)

    def from_nested(self, number: int) -> None:
        """The way down of a cycle that begins with the solution of the next level."""
        self.down(number, False, [ASSIGN])
        self.visit(number + 1)

    def correction(self, first: bool, count: int) -> Program:
        """Cycles from zero for the right side of the finest level, added to the solution; then the new residual.

        With `first` the right side is loaded from the array, and the solution is set.
        """
        assembler = self.assembler
        assembler.begin()
        end = [SET if first else ADD, RESIDUAL]
        if self.last == 0:
            if first:
                assembler.passes(0, [LOAD])
            self.bottom()
            assembler.passes(0, end)
            return assembler.end()
        self.down(0, True, [LOAD] if first else [])
        for _ in range(count - 1):
            self.visit(1)
            self.turn(RESTRICT)
        self.visit(1)
        self.up(0, end)
        return assembler.end()

    def turn(self, restrict: Stage) -> None:
        """The end of a cycle and the beginning of the next in one walk over the finest level."""
        keep = extents([CORRECT, *self.smoother.after()])[0]
        stages = [CORRECT, *self.smoother.after(), *self.smoother.before(False), restrict]
        self.assembler.passes(0, stages, keep)

    def begin(self, load: bool) -> Program:
        """The first half of a cycle from zero, which sums the squares of the residual it restricts."""
        self.assembler.begin()
        if self.last == 0:
            if load:
                self.assembler.passes(0, [LOAD])
            self.bottom()
        else:
            self.down(0, True, [LOAD] if load else [], SUMMED)
        return self.assembler.end()

    def proceed(self) -> Program:
        """From `begin` or itself to the same place of the next cycle."""
        self.assembler.begin()
        self.visit(1)
        self.turn(SUMMED)
        return self.assembler.end()

    def conclude(self, first: bool) -> Program:
        """The iterate as solution, or added to it."""
        self.assembler.begin()
        self.assembler.passes(0, [SET if first else ADD])
        return self.assembler.end()

    def residual(self) -> Program:
        """The residual of the solution."""
        self.assembler.begin()
        self.assembler.passes(0, [RESIDUAL])
        return self.assembler.end()

    def operate(self) -> Program:
        """The operator on the solution."""
        self.assembler.begin()
        self.assembler.passes(0, [Stage("OPERATE")])
        return self.assembler.end()

    def step(self, kind: str = "") -> Program:
        """One cycle from zero: the preconditioner."""
        assembler = self.assembler
        assembler.begin()
        if self.last == 0:
            assembler.passes(0, [LOAD])
            self.bottom()
            assembler.passes(0, [SET])
            return assembler.end()
        kind = kind or self.kind
        self.down(0, True, [LOAD])
        self.visit(1, kind)
        self.up(0, [SET])
        return assembler.end()

    def full(self) -> Program:
        """Full multigrid: to the error of the discretisation in one pass over all levels."""
        if self.last == 0:
            return self.step()
        assembler = self.assembler
        assembler.begin()
        assembler.passes(0, [LOAD, INJECT])
        self.nested(1)
        self.from_nested(0)
        self.up(0, [SET])
        return assembler.end()
