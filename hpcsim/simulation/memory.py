"""What a run will need of memory, register by register, worked out before anything is allocated.

The peak is that of the resident set of a rank: the process with its libraries, the registers with ghosts and padding,
tables, message buffers, copies of the state, and on top of these the largest of the passing arrays. Two phases count:
the start, when fields and tables get their values, and the steps with diagnostics and output.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hpcsim.fields.image import image_bytes
from hpcsim.fields.pool import Pool, padding
from hpcsim.fields.spec import FieldSpec
from hpcsim.kernels.loopnest import LoopNest, make_nest
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Block, Layout
from hpcsim.lattice.location import Location
from hpcsim.lattice.neighbors import ghost_regions
from hpcsim.lattice.storage import Storage
from hpcsim.models.initials.file import FromFile
from hpcsim.output.boxes import bars
from hpcsim.simulation.case import Case, spacing_symbols
from hpcsim.simulation.convolution_memory import convolution_needs
from hpcsim.simulation.observe import SCRATCH, observed_sweeps
from hpcsim.simulation.solver_memory import solver_registers, solver_vectors
from hpcsim.simulation.working import working_arrays
from hpcsim.sizes import resident_bytes, size_text
from hpcsim.symbolic.expr import Access
from hpcsim.symbolic.operators import parts_of

Kind = Literal["register", "table", "scratch", "solver", "copy", "exchange", "process", "passing"]
Phase = Literal["always", "start", "steps"]

# Resident size of a process that has checked a case, and what the compiler and its libraries add to it.
BARE_BYTES = 108 << 20
COMPILER_BYTES = 54 << 20
# Tables of an exchange: rows of six integers, about four of them for each transfer.
_TABLE_BYTES = 4 * 6 * 8
# Working arrays of `sampling.sample` and other work by slabs.
_SLAB_BYTES = 8 << 20


@dataclass(frozen=True)
class Row:
    """Memory of one owner on one rank.

    Attributes
    ----------
    owner : str
        Register, or words for what it is.
    kind : str
        ``register``, ``table``, ``scratch``, ``solver``, ``copy``, ``exchange``, ``process``, or ``passing`` for arrays
        that live a moment.
    nbytes : int
        Bytes that will be resident.
    pooled : int
        Bytes that its leases take of the budget; 0 for what is not of the pool.
    phase : {"always", "start", "steps"}
        When it is there.
    """

    owner: str
    kind: Kind
    nbytes: int
    pooled: int = 0
    phase: Phase = "always"


@dataclass(frozen=True)
class MemoryNeed:
    """Memory that one rank of a run needs.

    Attributes
    ----------
    rows : tuple of Row
        By owner.
    """

    rows: tuple[Row, ...]

    @property
    def peak(self) -> int:
        """Largest resident set in bytes."""
        return max(self._phase(phase, lambda row: row.nbytes) for phase in ("start", "steps"))

    @property
    def budgeted(self) -> int:
        """The same as the budget counts it: with what the pool maps for each lease."""
        return max(self._phase(phase, lambda row: max(row.nbytes, row.pooled)) for phase in ("start", "steps"))

    @property
    def pooled(self) -> int:
        """Bytes that all leases take of the budget."""
        return sum(row.pooled for row in self.rows)

    @property
    def process(self) -> int:
        """Bytes of the process with its libraries, before any array."""
        return sum(row.nbytes for row in self.rows if row.kind == "process")

    def _phase(self, phase: str, size: Callable[[Row], int]) -> int:
        there = [row for row in self.rows if row.phase in ("always", phase)]
        passing = max((size(row) for row in there if row.kind == "passing"), default=0)
        return sum(size(row) for row in there if row.kind != "passing") + passing

    def table(self) -> str:
        """One line per owner, largest first, and the peak.

        Examples
        --------
        >>> print(MemoryNeed((Row("u", "register", 2_000_000), Row("program", "process", 90_000_000))).table())
        program  process    90 MB
        u        register    2 MB
        peak                92 MB
        """
        rows = sorted(self.rows, key=lambda row: -row.nbytes)
        cells = [(row.owner, str(row.kind), size_text(row.nbytes)) for row in rows if row.nbytes]
        cells.append(("peak", "", size_text(self.peak)))
        widths = [max(len(line[column]) for line in cells) for column in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in cells)


def predict(case: Case, layout: Layout, rank: int = 0, *, copies: int = 0, process: int | None = None) -> MemoryNeed:
    """What a rank will need.

    Parameters
    ----------
    case : Case
        What is solved.
    layout : Layout
        The blocks.
    rank : int
        Which rank.
    copies : int
        Copies of the saved registers (checkpoints in the background).
    process : int, optional
        Resident bytes of the process before the registers; by default those of this process now, and what the
        libraries that it did not load yet will add. Give `BARE_BYTES` to plan for another machine.

    Returns
    -------
    MemoryNeed
        For several ranks on a node add them up.
    """
    storage = case_storage(case, layout, rank)
    pool = Pool(strategy=case.config.memory.strategy)
    rows = [Row("program and libraries", "process", _process_bytes(case, process))]
    rows += _registers(case, storage, pool)
    rows += _copies(case, layout, storage, pool, copies)
    rows += _exchanges(case, layout, storage, rank)
    rows += _passing_at_start(case, storage)
    rows += _passing_in_steps(case, storage)
    return MemoryNeed(tuple(rows))


def case_storage(case: Case, layout: Layout, rank: int) -> Storage:
    """Arrangement of the arrays of a rank."""
    itemsize = next(iter(case.specs.values())).itemsize
    return Storage.build(layout, rank, max(1, case.ghost), case.staggered, itemsize)


def resized(case: Case, shape: Sequence[int]) -> Case:
    """The case on another number of cells, with the same spacing."""
    domain = case.domain
    upper = tuple(lo + n * h for lo, n, h in zip(domain.lower, shape, domain.spacing, strict=True))
    block = case.config.lattice.block_shape
    fitting = None if block is None else tuple(min(b, n) for b, n in zip(block, shape, strict=True))
    update = {"shape": tuple(shape), "upper": upper, "block_shape": fitting}
    lattice = case.config.lattice.model_copy(update=update)
    config = case.config.model_copy(update={"lattice": lattice})
    return replace(case, config=config, domain=Domain(tuple(shape), domain.lower, upper, domain.periodic))


def _process_bytes(case: Case, given: int | None) -> int:
    base = given if given is not None else resident_bytes() or BARE_BYTES
    compiler = case.config.run.backend != "numpy" and (given is not None or "llvmlite" not in sys.modules)
    return base + (COMPILER_BYTES if compiler else 0)


def _registers(case: Case, storage: Storage, pool: Pool) -> Iterator[Row]:
    """Fields, levels of the scheme, tables of parameters, noise, and the array in which formulas are evaluated."""
    spec = next(iter(case.specs.values()))
    for name, source in case.sources.items():
        yield _array(name, "register", case.specs[source], storage, pool)
    scalar = FieldSpec("table", dtype=spec.dtype)
    for name in sorted(case.discrete.discretizer.statics):
        yield _array(name, "table", scalar, storage, pool)
    for name in sorted(case.discrete.discretizer.noises):
        yield _array(name, "register", scalar, storage, pool)
    for array in solver_registers(case):
        yield _array(array.owner, "register", array.spec, storage, pool)
    for owner, nbytes in solver_vectors(case, storage.blocks):
        yield Row(owner, "solver", nbytes)
    for need in convolution_needs(case, storage.blocks):
        yield Row(f"convolution of {need.field}", "solver", need.held)
    if observed_sweeps(case):
        yield replace(_array(SCRATCH, "scratch", scalar, storage, pool), phase="steps")


def _array(owner: str, kind: Kind, spec: FieldSpec, storage: Storage, pool: Pool) -> Row:
    nbytes = padding(0, spec.itemsize, storage.ghost) + storage.length(spec.components) * spec.itemsize
    return Row(owner, kind, nbytes, pool.footprint(nbytes))


def _copies(case: Case, layout: Layout, storage: Storage, pool: Pool, copies: int) -> Iterator[Row]:
    saved = [name for name in case.sources if name in case.specs or name in case.scheme.saved]
    for name in saved if copies else ():
        nbytes = image_bytes(layout, storage, case.specs[case.sources[name]])
        yield Row(f"copy of {name}", "copy", copies * nbytes, copies * pool.footprint(nbytes), "steps")


def _exchanges(case: Case, layout: Layout, storage: Storage, rank: int) -> Iterator[Row]:
    """Messages to other ranks in both directions, and the tables of all transfers."""
    itemsize = next(iter(case.specs.values())).itemsize
    in_place = case.config.run.exchange == "shared"
    known: dict[tuple[Location, int, bool], tuple[int, int]] = {}
    for fields, width, corners in _ghost_fills(case):
        sites = transfers = 0
        for location in (place for name in fields for place in case.specs[name].locations(layout.domain.ndim)):
            key = location, width, corners
            if key not in known:
                known[key] = _ghosts(layout, storage, rank, *key)
            sites, transfers = sites + known[key][0], transfers + known[key][1]
        # What goes out is as much as what comes in.
        nbytes = (0 if in_place else 2 * sites * itemsize) + transfers * _TABLE_BYTES
        yield Row(f"ghosts of {', '.join(dict.fromkeys(fields))}", "exchange", nbytes)


def _ghosts(
    layout: Layout, storage: Storage, rank: int, location: Location, width: int, corners: bool
) -> tuple[int, int]:
    """Ghost sites of one component that come from other ranks, and pieces in which all ghosts come."""
    sites = pieces = 0
    for block in storage.blocks:
        for region in ghost_regions(layout, block, location, width, corners):
            pieces += 1
            if layout.owners[region.source_id] != rank:
                sites += math.prod(b - a for a, b in zip(*region.box, strict=True))
    return sites, pieces


def _ghost_fills(case: Case) -> list[tuple[tuple[str, ...], int, bool]]:
    """Fields, layers and corners of every exchange of a run, each once."""
    scheme = case.scheme
    stages = [stage.values for stage in (*scheme.start, *scheme.stages, *scheme.constraints)]
    stages += [[assignment.value for assignment in sweep.assignments] for sweep in observed_sweeps(case)]
    fills: dict[tuple[tuple[str, ...], int, bool], None] = {}
    for values in stages:
        reads = [node for value in values for node in value.walk() if isinstance(node, Access)]
        away = [node for node in reads if any(node.offset) and node.register in case.sources]
        if away:
            names = sorted({node.register for node in away})
            width = max(abs(step) for node in reads for step in node.offset)
            corners = any(sum(step != 0 for step in node.offset) > 1 for node in reads)
            fills[tuple(case.sources[name] for name in names), width, corners] = None
    return list(fills)


def _passing_at_start(case: Case, storage: Storage) -> Iterator[Row]:
    """Values of one component of one block, and the mask of those that are finite."""
    owned = _largest(storage.blocks)
    for name, condition in case.initial.items():
        each = 17 if isinstance(condition, FromFile) else 9
        yield Row(f"initial values of {name}", "passing", each * owned + _SLAB_BYTES, phase="start")
    for name in case.discrete.discretizer.statics:
        yield Row(f"values of {name}", "passing", 8 * storage.sites + owned + _SLAB_BYTES, phase="start")
    for need in convolution_needs(case, storage.blocks):
        yield Row(f"kernels of {need.field}", "passing", need.passing, phase="start")


def _passing_in_steps(case: Case, storage: Storage) -> Iterator[Row]:
    """Copies that diagnostics, output, adaptive steps and the reference backend make."""
    itemsize = next(iter(case.specs.values())).itemsize
    owned = _largest(storage.blocks)
    for quantity in case.quantities:
        if quantity.reduction in ("max", "min"):
            yield Row(f"quantity {quantity.name}", "passing", itemsize * owned, phase="steps")
    bar = max((sum(math.prod(block.shape) for block in group) for group in bars(storage.blocks)), default=0)
    for name, value in case.outputs.items():
        components = case.specs[name].components if name in case.specs else len(parts_of(value))
        # Derived values are copies; components are put side by side in another one.
        arrays = components * ((name not in case.specs) + (components > 1))
        if arrays:
            yield Row(f"output of {name}", "passing", arrays * itemsize * bar + _SLAB_BYTES, phase="steps")
    if case.scheme.error_registers:
        yield Row("error of the step", "passing", (itemsize + 2) * owned, phase="steps")
    if case.config.run.backend == "numpy":
        arrays = max((working_arrays(nest) for nest in _nests(case)), default=0)
        yield Row("temporary arrays of the backend", "passing", arrays * itemsize * owned)


def _largest(blocks: Sequence[Block]) -> int:
    return max((math.prod(block.shape) for block in blocks), default=0)


def _nests(case: Case) -> Iterator[LoopNest]:
    """Every loop nest of a case."""
    components = {name: case.specs[source].components for name, source in case.sources.items()}
    discretizer = case.discrete.discretizer
    components |= dict.fromkeys((*discretizer.statics, *discretizer.noises, SCRATCH), 1)
    dtype = next(iter(case.specs.values())).dtype
    sweeps = [sweep for stage in (*case.scheme.start, *case.scheme.stages) for sweep in stage.sweeps]
    for sweep in (*sweeps, *observed_sweeps(case)):
        spacings = spacing_symbols(case.domain)
        yield make_nest(case.domain.ndim, dtype, sweep.assignments, components, spacings, case.config.run.relaxed_math)
