"""Builds programs: tables of instructions for the compiled loops, with the exchanges that must happen between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.multigrid import fields
from hpcsim.solvers.multigrid.ghosts import ghost_runs
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.stages import Stage, extents, lags, needs
from hpcsim.solvers.multigrid.strips import Target, strip_rows
from hpcsim.solvers.multigrid.tables import Tables

REGISTERS = ("U", "F", "P")


@dataclass(frozen=True)
class Item:
    """What happens next: instructions to run, ghosts to fetch from other ranks, or a level to put together.

    Attributes
    ----------
    kind : str
        ``"run"``, ``"ghosts"`` or ``"gather"``.
    first, second : int
        Range of instructions; or level and width of the ghosts.
    register : str
        Of the ghosts.
    """

    kind: str
    first: int
    second: int = 0
    register: str = ""


Program = tuple[Item, ...]


@dataclass
class Assembler:
    """Collects the programs of a rank.

    Parameters
    ----------
    levels : sequence of Level
        Finest first.
    tables : Tables
        Their tables.
    threads : int
        Threads of the rank.
    """

    levels: Sequence[Level]
    tables: Tables
    threads: int
    code: list[list[int]] = field(default_factory=list)
    ops: list[list[int]] = field(default_factory=list)
    strips: list[NDArray[np.int64]] = field(default_factory=list)
    runs: list[NDArray[np.int64]] = field(default_factory=list)
    parameters: list[float] = field(default_factory=lambda: [0.0, 0.0])
    parts: int = 1

    def __post_init__(self) -> None:
        self._items: list[Item] = []
        self._right: dict[tuple[int, str], int] = {}
        self._strip_rows = 0
        self._run_rows = 0
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        self._targets: dict[int, Target] = {}

    def begin(self) -> None:
        """Start a program; ghosts are unknown."""
        self._items, self._right = [], {}

    def end(self) -> Program:
        """The program since `begin`."""
        return tuple(self._items)

    def _emit(self, row: Sequence[int]) -> None:
        place = len(self.code)
        self.code.append([*row, *[0] * (fields.INSTRUCTION_WIDTH - len(row))])
        if self._items and self._items[-1].kind == "run":
            self._items[-1] = Item("run", self._items[-1].first, place + 1)
        else:
            self._items.append(Item("run", place, place + 1))

    def ghosts(self, number: int, register: str, width: int) -> None:
        """Make so many ghost rows of a register right, if they are not."""
        level = self.levels[number]
        if not level.any_linked or self._right.get((number, register), 0) >= width:
            return
        assert width <= level.ghost
        self._right[number, register] = width
        if not level.shared:
            self._items.append(Item("ghosts", number, width, register))
            return
        key = (number, width)
        if key not in self._places:
            rows = ghost_runs(level, self.tables.bases[number], width)
            self._places[key] = (self._run_rows, len(rows))
            self._run_rows += len(rows)
            self.runs.append(rows)
        self._emit([fields.COPY, REGISTERS.index(register), *self._places[key]])

    def direct(self, number: int) -> None:
        """Solve the coarsest level by its inverse."""
        self._emit([fields.DIRECT, number])
        self._right[number, "U"] = 0

    def passes(self, number: int, stages: Sequence[Stage], keep: int = 0) -> None:
        """Run stages one after the other, as many as the ghosts allow in one walk over the level.

        Parameters
        ----------
        number : int
            The level.
        stages : sequence of Stage
            In order.
        keep : int
            Ghost rows of the iterate that are better right afterwards.
        """
        level = self.levels[number]
        rest = list(stages)
        while rest:
            count = self._fitting(number, rest) if level.any_linked else len(rest)
            group, rest = rest[:count], rest[count:]
            extra = 0 if rest else self._extra(number, group, keep)
            self._pass(number, group, extents(group, extra))

    def _fitting(self, number: int, stages: Sequence[Stage]) -> int:
        """How many stages one walk can hold."""
        count = 0
        for trial in range(1, len(stages) + 1):
            group = stages[:trial]
            if trial > 1 and group[-2].own_rows:
                break
            if stages[trial : trial + 1] and group[-1].name in ("ADD", "SET") and stages[trial].name == "RESIDUAL":
                # The solution has its ghosts from this pass alone.
                continue
            if not self._holds(number, group, 0) or (self.levels[number].seam and _uses(group)):
                break
            count = trial
        assert count, "ghosts are too narrow for a single stage"
        return count

    def _holds(self, number: int, group: Sequence[Stage], extra: int) -> bool:
        """Whether the ghosts are wide enough for these stages in one walk."""
        level, reach = self.levels[number], extents(group, extra)
        if max(needs(group, reach).values(), default=0) > level.ghost:
            return False
        if not group[0].interpolates:
            return True
        return self._coarse_width(number, reach[0]) <= self.levels[number + 1].ghost

    def _extra(self, number: int, group: Sequence[Stage], keep: int) -> int:
        """Ghost rows that cost no exchange."""
        extra = 0
        while (
            self.levels[number].any_linked
            and not self.levels[number].seam
            and extra < keep
            and self._holds(number, group, extra + 1)
        ):
            extra += 1
        return extra

    def _pass(self, number: int, stages: Sequence[Stage], reach: Sequence[int]) -> None:
        level = self.levels[number]
        if level.any_linked:
            reach = [0 if stage.own_rows else width for stage, width in zip(stages, reach, strict=True)]
            for register, width in needs(stages, reach).items():
                if register != "X":
                    self.ghosts(number, register, width)
        else:
            reach = [0] * len(stages)
        if stages[0].interpolates:
            self.ghosts(number + 1, "U", self._coarse_width(number, reach[0]))
        restricts = stages[-1].restricts
        target = self._target(number) if restricts else None
        behind = lags(stages)
        found = strip_rows(level, stages, behind, reach, self.threads, target)
        rows, parts = found.rows, found.parts
        width = 2 * level.outer
        place = self._strip_rows
        self.strips.append(rows)
        self._strip_rows += len(rows)
        first = len(self.ops)
        for stage, lag in zip(stages, behind, strict=True):
            self.ops.append([stage.number, lag, len(self.parameters)])
            self.parameters += [stage.alpha, stage.beta]
        assert rows.shape[1] == width * (1 + len(stages))
        self.parts = max(self.parts, parts)
        coarse = min(number + 1, len(self.levels) - 1)
        self._emit([fields.PASS, number, coarse, first, len(stages), place, parts, found.tiles])
        for stage, own in zip(stages, reach, strict=True):
            for register in stage.writes:
                self._right[number, register] = 0 if level.seam else own
        if restricts:
            self._right[number + 1, "F"] = 0
            if self.levels[number + 1].shared and not level.shared:
                self._items.append(Item("gather", number + 1))

    def _target(self, number: int) -> Target:
        if number not in self._targets:
            level, coarse = self.levels[number], self.levels[number + 1]
            rows, first, last = [], [], []
            for axis in range(level.outer):
                origin = coarse.origin[axis]
                rows.append((coarse.part[0][axis] - origin, coarse.part[1][axis] - origin))
                index = np.arange(coarse.total[axis], dtype=np.int64) + origin
                start, weights = level.down[axis].restriction(index)
                taps = np.arange(weights.shape[1])
                first.append(start - level.origin[axis])
                last.append(start + np.where(weights != 0.0, taps, 0).max(axis=1) - level.origin[axis])
            self._targets[number] = Target(tuple(rows), tuple(first), tuple(last))
        return self._targets[number]

    def _coarse_width(self, number: int, reach: int) -> int:
        """Ghost rows of the coarser level that interpolation to so many ghost rows of this one reads."""
        level, coarse = self.levels[number], self.levels[number + 1]
        if not coarse.any_linked:
            return 0
        if not level.shared or level.seam:
            # All ranks must take the same width, so none takes account of where its box lies; and where colours meet,
            # the walks must not depend on the ranks.
            return -(-reach * 2 // 3) + 2
        width = 0
        for axis, transfer in enumerate(level.down):
            if axis == level.outer or not any(coarse.linked[axis]):
                continue
            low, high = level.linked[axis]
            lo, hi = level.box[0][axis] - reach * low, level.box[1][axis] + reach * high
            below, share = transfer.interpolation(np.arange(lo, hi))
            top = int((below + (share != 0.0)).max())
            if coarse.linked[axis][0]:
                width = max(width, coarse.box[0][axis] - int(below.min()))
            if coarse.linked[axis][1]:
                width = max(width, top - coarse.box[1][axis] + 1)
        return width

    def finish(self) -> dict[str, Any]:
        """The tables of all programs."""
        wide = max(rows.shape[1] for rows in self.strips)
        strips = np.zeros((self._strip_rows, wide), np.int64)
        place = 0
        for rows in self.strips:
            strips[place : place + len(rows), : rows.shape[1]] = rows
            place += len(rows)
        return {
            "code": np.array(self.code, np.int64),
            "ops": np.array(self.ops, np.int64),
            "strips": strips,
            "runs": np.concatenate([*self.runs, np.zeros((1, 4), np.int64)]),
            "parameters": np.array(self.parameters),
        }


def _uses(group: Sequence[Stage]) -> bool:
    """Whether a walk uses an iterate that it has changed.

    Across a seam, ghosts that were worked on are not what their owners have: a sweep may read them, no residual must.
    """
    names = {stage.name for stage in group}
    return bool(names & {"RESTRICT", "ADD", "SET"}) and any(stage.writes in ("U", "P") for stage in group)
