"""Assembly of a simulation, in the order in which the parts depend on each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hpcsim.boundary.ghosts import Ghosts
from hpcsim.comm.context import Context
from hpcsim.config.schema import Config
from hpcsim.fields.digest import digest
from hpcsim.fields.image import image_bytes
from hpcsim.fields.kept import Kept
from hpcsim.fields.pool import Pool, SharedAllocator
from hpcsim.fields.state import State
from hpcsim.integrators.program import Program
from hpcsim.integrators.timestep import StepControl, choose_dt, spectrum
from hpcsim.kernels.backend import BACKENDS, Backend
from hpcsim.kernels.loopnest import LoopNest
from hpcsim.lattice.layout import Layout
from hpcsim.lattice.storage import Storage
from hpcsim.schedule import first_step_at
from hpcsim.simulation.budget import check_memory
from hpcsim.simulation.case import Case, make_case, spacing_symbols
from hpcsim.simulation.coefficients import CoefficientRanges
from hpcsim.simulation.initialise import fill_initial, fill_statics
from hpcsim.simulation.layout import case_layout
from hpcsim.simulation.memory import case_storage
from hpcsim.simulation.noise import add_noises, compile_noises
from hpcsim.simulation.observe import Observer, observed_sweeps
from hpcsim.solvers.options import solver_options
from hpcsim.solvers.petsc.session import Session
from hpcsim.solvers.solves import Solves
from hpcsim.sweeps.setting import Setting
from hpcsim.symbolic.operators import AXES
from hpcsim.timing import Timers

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST_STEP = 1e-12


class Simulation:
    """A case with blocks, memory and compiled kernels; advances in time.

    Made by `build`. It owns the shared memory and requests of its communicator; use it as a context manager, or call
    `free`.

    Attributes
    ----------
    case : Case
        What is solved.
    context : Context
        The ranks.
    layout : Layout
        The blocks.
    state : State
        All registers of this rank.
    dt, limit : float
        Step size, and the linear stability limit it was checked against; infinite if there is none.
    step : int
        Steps done.
    time : float
        Simulated time.
    kept : Kept
        What a restart needs beside the registers.
    solves : Solves
        The solvers of constraints and implicit stages.
    """

    def __init__(
        self, case: Case, context: Context, layout: Layout, setting: Setting, program: Program, solves: Solves
    ) -> None:
        self.case = case
        self.context = context
        self.layout = layout
        self.setting = setting
        self.program = program
        self.solves = solves
        self.state: State = setting.state
        self.observer = Observer(case, setting)
        self.timers = setting.timers
        self.step = 0
        self.time = case.config.run.start_time
        self.dt = self.limit = 0.0
        self.control: StepControl | None = None
        self.kept = Kept()
        self.kept.add("clock", self._clock, self._set_clock)
        # Read before a simulation is built again: files named in the configuration lie there.
        self.kept.add("case", lambda: {"directory": str(case.config.directory)}, lambda saved: None)
        self._settled = -1
        self._walled = [name for name in case.specs if setting.ghosts.fixes_planes(name)]
        self._walls = setting.ghosts.prepare(self._walled, 1, False) if self._walled else None

    def choose_step(self) -> None:
        """Set dt from the configuration and the stability limit of the state as it is."""
        run, scheme = self.case.config.run, self.case.scheme
        if not self.case.system.equations:
            self.dt, self.limit = 1.0, math.inf
            return
        stiffest, self.limit = 0.0, math.inf
        if not scheme.unlimited:
            ranges = CoefficientRanges(self.setting, run.start_time, run.stop_time, scheme.rates)
            bounds = spectrum(self.case.discrete, scheme, ranges)
            stiffest, self.limit = bounds.largest, scheme.limit(bounds)
        self.dt = choose_dt(scheme, self.limit, stiffest, run.dt, run.cfl, run.allow_unstable)
        if scheme.error_registers:
            self.control = StepControl(scheme.order, _SMALLEST_STEP * self.dt)

    def _clock(self) -> dict[str, float]:
        clock: dict[str, float] = {"step": self.step, "time": self.time, "dt": self.dt}
        if math.isfinite(self.limit):
            clock["limit"] = self.limit
        if self.control is not None:
            clock |= {"rejected": self.control.rejected, "smallest": self.control.smallest}
        return clock

    def _set_clock(self, saved: Mapping[str, float]) -> None:
        """Take up an earlier run: its step size stays, adaptive steps go on from the last one."""
        self.step, self.time = int(saved["step"]), float(saved["time"])
        self.dt, self.limit = float(saved["dt"]), float(saved.get("limit", math.inf))
        if self.case.scheme.error_registers:
            self.control = StepControl(self.case.scheme.order, float(saved["smallest"]))
            self.control.rejected = int(saved["rejected"])

    def saved_registers(self) -> list[str]:
        """Names of the registers that a checkpoint must hold."""
        return [register.name for register in self.state if register.saved]

    @property
    def pool(self) -> Pool:
        """Where the registers, and copies of them, take their memory."""
        return self.state.pool

    def copy_fits(self, names: Sequence[str], copies: int = 1) -> bool:
        """Whether the memory budget of this rank has room for images of some registers."""
        specs = [self.state[name].spec for name in names]
        return self.pool.fits(copies * [image_bytes(self.layout, self.setting.storage, spec) for spec in specs])

    def start(self) -> None:
        """Prepare the first step once the initial values are in place."""
        self.program.start(self.time, self.dt)

    def time_of(self, step: int) -> float:
        """Time of a step of constant size: start + step*dt."""
        return float(self.case.config.run.start_time + step * self.dt)

    def advance(self, count: int) -> None:
        """Advance some steps; an embedded pair counts accepted steps and adapts dt."""
        if self.control is None:
            self.program.advance(self.time_of, self.dt, self.step, count)
            self.step += count
            self.time = self.time_of(self.step)
            return
        for _ in range(count):
            self._adaptive_step(self.control)

    def _adaptive_step(self, control: StepControl) -> None:
        accepted = False
        while not accepted:
            dt = self.dt
            self.program.step(self.time, dt)
            accepted, self.dt = control.next(dt, self.program.error())
        self.step += 1
        self.time += dt
        self.program.accept(self.time, dt)

    def run(self, until: float | None = None, steps: int | None = None) -> Simulation:
        """Advance to a time or by a number of steps, without output.

        Parameters
        ----------
        until : float, optional
            Simulated time; the run stops at the first step with ``time >= until - dt/2``.
        steps : int, optional
            Number of steps.

        Returns
        -------
        Simulation
            Itself.
        """
        if (until is None) == (steps is None):
            raise ValueError("give either until or steps")
        if steps is not None:
            self.advance(steps)
        elif self.control is None:
            assert until is not None
            last = first_step_at(until, self.case.config.run.start_time, self.dt)
            self.advance(max(0, last - self.step))
        else:
            assert until is not None
            while self.time < until - 0.5 * self.dt:
                self.advance(1)
        return self

    def values(self, name: str) -> list[list[NDArray[Any]]]:
        """Owned values of a field or derived field: per local block one array per component."""
        self.settle()
        return self.observer.values(name, self.time, self.dt)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Owned values of a one-component field on a rank with one block: an array of the shape of the block."""
        blocks = self.values(name)
        if len(blocks) != 1 or len(blocks[0]) != 1:
            raise ValueError(f"'{name}' has several blocks or components on this rank; use values('{name}')")
        array: NDArray[Any] = blocks[0][0]
        return array

    def settle(self) -> None:
        """Bring what follows from the state up to the present time, so that looks at it show it; collective.

        These are the planes that boundary conditions fix, and the unknowns of constraints.
        """
        if self._walls is not None:
            self._walls.fix_planes([self.state[name] for name in self._walled], self.time)
        if self._settled != self.step:
            for solve in self.program.constraints:
                solve.run(self.time, self.dt)
            self._settled = self.step

    def quantities(self) -> dict[str, float]:
        """Every quantity of the case, equal on all ranks."""
        self.settle()
        return self.observer.quantities(self.time, self.dt)

    def digests(self) -> dict[str, str]:
        """Digest of every field, independent of ranks, blocks and order."""
        self.settle()
        backend = self.case.config.run.backend
        known = backend if backend in ("numba", "numpy") else "auto"
        return {name: digest(self.context, self.state, name, backend=known) for name in self.case.specs}

    def free(self) -> None:
        """Give back requests, shared memory and the communicator; collective."""
        self.solves.free()
        self.setting.ghosts.free()
        self.state.free()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error other ranks may be elsewhere, and a collective clean-up would hang.
        if kind is None:
            self.free()


def build(config: Config, context: Context, owners: tuple[int, ...] | None = None) -> Simulation:
    """A simulation from a configuration; collective.

    Parameters
    ----------
    config : Config
        The configuration, equal on all ranks.
    context : Context
        The ranks.
    owners : tuple of int, optional
        Owner of each block, to override the partition.

    Returns
    -------
    Simulation

    Raises
    ------
    ConfigError
        If the case has faults, the layout cannot work, or the step size is refused.
    """
    context.same(config.digest().encode(), "configuration")
    return assemble(make_case(config), context, owners)


def assemble(
    case: Case,
    context: Context,
    owners: tuple[int, ...] | None = None,
    restore: Callable[[Simulation], None] | None = None,
) -> Simulation:
    """A simulation from a checked case; collective.

    Parameters
    ----------
    case : Case
        What is solved.
    context, owners
        As for `build`.
    restore : callable, optional
        Sets the registers and the clock from a checkpoint; otherwise they get the initial values of the case.

    Raises
    ------
    ConfigError
        As for `build`.
    """
    layout = case_layout(case, context.size, owners)
    section = case.config.checkpoint
    setting = make_setting(case, context, layout, copies=int(section.enabled and section.background == "on"))
    fill_statics(case, setting)
    compile_kernels(case, setting)
    session = Session(context, case.config.petsc, case.solvers)
    solves = Solves(setting, partial(solver_options, case.config), session)
    program = Program(case.scheme, setting, case.kernels, add_noises(case, setting), solves)
    simulation = Simulation(case, context, layout, setting, program, solves)
    if restore is not None:
        restore(simulation)
        return simulation
    fill_initial(case, setting)
    program.begin(simulation.time)
    simulation.choose_step()
    simulation.start()
    return simulation


def compile_kernels(case: Case, setting: Setting) -> None:
    """Compile, or load from the cache, every kernel of a case: one rank of a node first, then the others; collective.

    Raises
    ------
    RankDisagreement
        If ranks generated different kernels.
    """
    nests = case_nests(case, setting)
    setting.context.same("\n".join(map(repr, nests)).encode(), "generated kernels")
    with setting.context.one_per_node():
        for nest in nests:
            setting.backend.compile(nest)
        compile_noises(case, setting)


def case_nests(case: Case, setting: Setting) -> list[LoopNest]:
    """Every loop nest of a case: start, step, quantities, outputs."""
    sweeps = [sweep for stage in (*case.scheme.start, *case.scheme.stages) for sweep in stage.sweeps]
    return [setting.make_nest(sweep) for sweep in (*sweeps, *observed_sweeps(case))]


def make_setting(case: Case, context: Context, layout: Layout, copies: int = 0) -> Setting:
    """Blocks, memory, backend and ghost fills of a case; `copies` of the state must fit into the budget too."""
    run = case.config.run
    dtype = next(iter(case.specs.values())).dtype

    def storage_of(rank: int) -> Storage:
        return case_storage(case, layout, rank)

    storage = storage_of(context.rank)
    pool = Pool(check_memory(case, context, layout, copies), case.config.memory.strategy)
    allocator = SharedAllocator(context, pool) if run.exchange == "shared" and context.size > 1 else None
    state = State(storage, layout, context.rank, allocator, fresh=run.fresh_memory, pool=pool)
    timers = Timers()
    backend: Backend = BACKENDS.get(run.backend)(storage, run.threads)
    symbols = dict(case.system.symbols)
    ghosts = Ghosts(
        context, layout, storage_of, case.specs, case.conditions, backend.mover, run.exchange, case.model.parameters,
        run.check_messages, timers,
    )  # fmt: skip
    for name, spec in case.specs.items():
        state.add(name, spec)
    for name, source in case.scheme.extra.items():
        state.add(name, case.specs[source], saved=name in case.scheme.saved)
    return Setting(
        context=context, layout=layout, storage=storage, state=state, backend=backend, ghosts=ghosts,
        sources=case.sources,
        components={name: case.specs[source].components for name, source in case.sources.items()},
        spacings=spacing_symbols(case.domain),
        values={**symbols, **_geometry_values(case), "rtol": run.rtol, "atol": run.atol},
        dtype=dtype, threads=run.threads, relaxed_math=run.relaxed_math, timers=timers,
    )  # fmt: skip


def _geometry_values(case: Case) -> dict[str, float]:
    values = dict(zip(spacing_symbols(case.domain), case.domain.spacing, strict=True))
    values |= {f"lower_{AXES[axis]}": lower for axis, lower in enumerate(case.domain.lower)}
    return values
