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
    dense : int
        Place of the inverse of the coarsest level.
    """

    assembler: Assembler
    smoother: Smoother
    kind: str
    dense: int

    @property
    def last(self) -> int:
        """The coarsest level."""
        return len(self.assembler.levels) - 1

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

    def coarse(self, number: int, zero: bool = True, kind: str = "") -> None:
        """A cycle for the right side of a level below the finest."""
        kind = kind or self.kind
        if number == self.last:
            self.assembler.direct(number, self.dense)
            return
        self.down(number, zero)
        self.coarse(number + 1, True, kind)
        # The second visit is a cycle of the same kind (W), or a V-cycle (F).
        if kind != "v" and number + 1 < self.last:
            self.coarse(number + 1, False, "w" if kind == "w" else "v")
        self.up(number)

    def nested(self, number: int) -> None:
        """Full multigrid for the right side of a level: the next one first, then a cycle from its solution."""
        if number == self.last:
            self.assembler.direct(number, self.dense)
            return
        self.assembler.passes(number, [INJECT])
        self.nested(number + 1)
        self.from_nested(number)
        self.up(number)

    def from_nested(self, number: int) -> None:
        """The way down of a cycle that begins with the solution of the next level."""
        self.down(number, False, [ASSIGN])
        self.coarse(number + 1)

    def correction(self, first: bool) -> Program:
        """A cycle from zero for the right side of the finest level, added to the solution; then the new residual.

        With `first` the right side is loaded from the array, and the solution is set.
        """
        assembler = self.assembler
        assembler.begin()
        if self.last == 0:
            if first:
                assembler.passes(0, [LOAD])
            assembler.direct(0, self.dense)
            assembler.passes(0, [SET if first else ADD, RESIDUAL])
            return assembler.end()
        self.down(0, True, [LOAD] if first else [])
        self.coarse(1)
        self.up(0, [SET if first else ADD, RESIDUAL])
        return assembler.end()

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

    def step(self) -> Program:
        """One cycle from zero: the preconditioner."""
        assembler = self.assembler
        assembler.begin()
        if self.last == 0:
            assembler.passes(0, [LOAD])
            assembler.direct(0, self.dense)
            assembler.passes(0, [SET])
            return assembler.end()
        self.down(0, True, [LOAD])
        self.coarse(1)
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
