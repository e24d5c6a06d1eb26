"""Sweeps and stages compiled for a run: kernels, launch tables and ghost fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpcsim.boundary.ghosts import GhostFill
from hpcsim.errors import FormulaError
from hpcsim.kernels.backend import Boxes
from hpcsim.kernels.copies import Copies, GhostReads, waiting_widths
from hpcsim.kernels.loopnest import LoopNest
from hpcsim.kernels.tiles import BlockBox, box_table, interior_and_strips
from hpcsim.sweeps.setting import Setting
from hpcsim.sweeps.sweep import Stage, Sweep
from hpcsim.symbolic.evaluate import scalar_value
from hpcsim.symbolic.expr import Access, Expr, Symbol

if TYPE_CHECKING:
    from hpcsim.comm.plan import ExchangePlan
    from hpcsim.fields.state import Register


class ScalarArguments:
    """Scalar arguments of a kernel, evaluated in double precision and kept while nothing they depend on changes."""

    def __init__(self, scalars: Sequence[Expr], dtype: str) -> None:
        self._scalars = scalars
        symbols = {n.name for expr in scalars for n in expr.walk() if isinstance(n, Symbol)}
        self._depends = tuple(name for name in ("t", "dt") if name in symbols)
        self._key: tuple[float, ...] | None = None
        self._array = np.zeros(len(scalars), dtype=dtype)

    def __call__(self, values: Mapping[str, float]) -> np.ndarray:
        """The argument array for the given values of the symbols."""
        key = tuple(values[name] for name in self._depends)
        if key != self._key:
            self._array[:] = [scalar_value(expr, dict(values)) for expr in self._scalars]
            self._key = key
        return self._array


class CompiledSweep:
    """One kernel with its registers and launch tables."""

    def __init__(self, sweep: Sweep, setting: Setting) -> None:
        self._setting = setting
        self.nest = setting.make_nest(sweep)
        self.kernel = setting.backend.compile(self.nest)
        self._names = [name for name, _ in self.nest.registers]
        self._scalars = ScalarArguments(self.nest.scalars, setting.dtype)
        self._boxes = update_boxes(setting, sweep)
        reaches = [self.nest.reach(name) for name in self._names]
        self._reach = tuple(max(steps) for steps in zip(*reaches, strict=True))
        self._launches: dict[str, tuple[Boxes, Copies | None]] = {}
        self._prepare([(self._reach, self._reach)] * len(self._boxes), None)

    def _prepare(self, widths: Sequence[tuple[Sequence[int], Sequence[int]]], ghosts: GhostReads | None) -> None:
        """Launch tables, with strips of these widths at the lower and upper ends of each box."""
        split = [interior_and_strips(box, *width) for box, width in zip(self._boxes, widths, strict=True)]
        parts = {
            "all": self._boxes,
            "interior": [inner for inner, _ in split],
            "strips": [strip for _, strips in split for strip in strips],
        }
        for part, boxes in parts.items():
            threads = 1 if part == "strips" else self._setting.threads
            if ghosts is None:
                self._launches[part] = box_table(boxes, len(self._reach), threads), None
            else:
                self._launches[part] = ghosts.launch(boxes, threads)

    def take_copies(self, registers: Sequence[str], plan: ExchangePlan) -> bool:
        """Let the kernel copy the ghosts that come from blocks of this rank; False if that is not possible.

        It is not if a piece of a block may be so thin that ghosts are read by more than one piece.
        """
        storage = self._setting.storage
        if any(b - a < 2 * r for box in self._boxes for a, b, r in zip(box.lo, box.hi, self._reach, strict=True)):
            return False
        positions = {self._names.index(name): spec.components for name, spec in zip(registers, plan.specs, strict=True)}
        local = dict(zip(positions, zip(positions.values(), plan.local, strict=True), strict=True))
        received = dict(zip(positions, zip(positions.values(), plan.joined("unpack"), strict=True), strict=True))
        reach = {position: self.nest.reach(self._names[position]) for position in positions}
        widths = waiting_widths(self._boxes, storage, received, self._reach)
        self._prepare(widths, GhostReads(storage, local, reach))
        return True

    def run(self, values: Mapping[str, float], part: str = "all") -> None:
        """Launch over all owned sites, the interior, or the strips along the block borders."""
        boxes, copies = self._launches[part]
        registers = [self._setting.state[name].flat for name in self._names]
        with self._setting.timers.region("kernel"):
            self.kernel(registers, boxes, self._scalars(values), copies)


def update_boxes(setting: Setting, sweep: Sweep) -> list[BlockBox]:
    """Owned sites of every local block at the sweep's location, without planes that a boundary condition fixes."""
    fixed = _fixed_planes(setting, sweep)
    layout, ghost = setting.layout, setting.storage.ghost
    boxes = []
    for slot, block in enumerate(setting.storage.blocks):
        lo, hi = layout.owned_box(block, sweep.location)
        start = [a - origin + ghost for a, origin in zip(lo, block.lo, strict=True)]
        stop = [b - origin + ghost for b, origin in zip(hi, block.lo, strict=True)]
        for axis, (lower, upper) in enumerate(fixed):
            start[axis] += lower and block.lo[axis] == 0
            stop[axis] -= upper and block.hi[axis] == layout.domain.shape[axis]
        boxes.append(BlockBox(slot, tuple(start), tuple(stop)))
    return boxes


def _fixed_planes(setting: Setting, sweep: Sweep) -> tuple[tuple[bool, bool], ...]:
    flags = [[False, False] for _ in sweep.location]
    for assignment in sweep.assignments:
        target = assignment.target
        if isinstance(target, Access) and target.register in setting.sources:
            planes = setting.ghosts.fixed_planes(setting.sources[target.register], target.component)
            for axis, (lower, upper) in enumerate(planes):
                flags[axis][0] |= lower
                flags[axis][1] |= upper
    return tuple((lower, upper) for lower, upper in flags)


class CompiledStage:
    """A ghost fill followed by its sweeps, the first of which may start while messages fly."""

    def __init__(self, stage: Stage, setting: Setting) -> None:
        self._setting = setting
        self._time = stage.time
        self.sweeps = [CompiledSweep(sweep, setting) for sweep in stage.sweeps]
        self._registers = ghost_registers([sweep.nest for sweep in self.sweeps], setting.sources)
        self._fill: GhostFill | None = None
        if self._registers:
            fields = [setting.sources[name] for name in self._registers]
            self._fill = setting.ghosts.prepare(fields, self.width, self._needs_corners())
        # Only sweeps that write nothing their neighbours still read may run before the ghosts have arrived.
        written = {register for sweep in self.sweeps for register, _ in sweep.nest.writes}
        self._early = len(self.sweeps) if not written & set(self._registers) else 1
        self.carries = self._fill is not None and self._kernel_copies(self._fill, written)

    def _kernel_copies(self, fill: GhostFill, written: set[str]) -> bool:
        """Hand the ghost copies between blocks of this rank to the kernel, if it may do them in any order."""
        alone = len(self.sweeps) == 1 and not written & set(self._registers) and not fill.corners
        if not (alone and self._setting.backend.copies_ghosts):
            return False
        return self.sweeps[0].take_copies(self._registers, fill.plan)

    @property
    def width(self) -> int:
        """Ghost layers the stage reads."""
        reads = [(sweep.nest, name) for sweep in self.sweeps for name, _ in sweep.nest.registers]
        return max((max(nest.reach(name)) for nest, name in reads), default=0)

    def _needs_corners(self) -> bool:
        offsets = [o for sweep in self.sweeps for group in sweep.nest.reads.values() for o in group]
        return any(sum(step != 0 for step in offset) > 1 for offset in offsets)

    def run(self, t: float, dt: float) -> None:
        """Carry the stage out for the step from t to t + dt."""
        time = t + self._time * dt
        values = {**self._setting.values, "t": time, "dt": dt}
        fill = self._fill
        if fill is None:
            for sweep in self.sweeps:
                sweep.run(values)
            return
        registers = [self._setting.state[name] for name in self._registers]
        if self.carries:
            self._run_carrying(fill, registers, values)
            return
        fill.start(registers, time)
        early = self.sweeps[: self._early] if fill.overlaps else []
        for sweep in early:
            sweep.run(values, "interior")
        fill.finish(registers, time)
        for index, sweep in enumerate(self.sweeps):
            sweep.run(values, "strips" if index < len(early) else "all")

    def _run_carrying(self, fill: GhostFill, registers: Sequence[Register], values: Mapping[str, float]) -> None:
        """The same when the kernel copies ghosts itself: only sites next to another rank wait for messages."""
        sweep = self.sweeps[0]
        fill.start(registers, values["t"], local=False)
        fill.walls(registers, values["t"])
        if fill.overlaps:
            sweep.run(values, "interior")
        fill.receive(registers)
        sweep.run(values, "strips" if fill.overlaps else "all")


def ghost_registers(nests: Sequence[LoopNest], sources: Mapping[str, str]) -> list[str]:
    """Registers that some nest reads away from its own site, in a fixed order.

    Raises
    ------
    FormulaError
        If one of them is written by an earlier nest of the same stage.
    """
    needed: dict[str, None] = {}
    written: set[str] = set()
    for nest in nests:
        for (register, _), offsets in nest.reads.items():
            if any(any(offset) for offset in offsets) and register in sources:
                if register in written:
                    raise FormulaError(f"register '{register}' changes before its ghosts are read in one stage")
                needed[register] = None
        written |= {register for register, _ in nest.writes}
    return sorted(needed)
