"""A scheme compiled for a run, ready to advance steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from hpcsim.errors import ConfigError
from hpcsim.fields.noise import NoiseRegister
from hpcsim.integrators.raw import CompiledRawKernel, RawKernel
from hpcsim.integrators.scheme import Scheme
from hpcsim.kernels.loopnest import LoopNest
from hpcsim.sweeps.compiled import CompiledStage, CompiledSweep
from hpcsim.sweeps.joint import Joint, Part
from hpcsim.sweeps.setting import Setting
from hpcsim.sweeps.sweep import Stage


class Solver(Protocol):
    """What solves an implicit stage or a constraint."""

    def run(self, t: float, dt: float) -> None:
        """Solve at time t, for a step of dt; collective."""
        ...


SolveMaker = Callable[[Joint], Solver]


class SolveStage:
    """A solve at its place in the step.

    Parameters
    ----------
    time : float
        Place in the step, in units of dt.
    solver : Solver
        What solves it.
    """

    sweeps: Sequence[CompiledSweep] = ()

    def __init__(self, time: float, solver: Solver) -> None:
        self._time = time
        self._solver = solver

    def run(self, t: float, dt: float) -> None:
        """Solve for the step from t to t + dt."""
        self._solver.run(t + self._time * dt, dt)


class Program:
    """A scheme ready to run.

    Parameters
    ----------
    scheme : Scheme
        The scheme; its registers must be in the state.
    setting : Setting
        The run.
    kernels : sequence of RawKernel
        Called after every step, in order.
    noises : sequence of NoiseRegister
        Random numbers that the stages read, drawn before every step and held during it.
    make_solve : callable, optional
        Gives the solver of an implicit stage or constraint; needed if the scheme has any. Collective.

    Raises
    ------
    ConfigError
        If the scheme needs a solver and there is none.
    """

    def __init__(
        self,
        scheme: Scheme,
        setting: Setting,
        kernels: Sequence[RawKernel] = (),
        noises: Sequence[NoiseRegister] = (),
        make_solve: SolveMaker | None = None,
    ) -> None:
        self.scheme = scheme
        self._setting = setting
        self._noises = tuple(noises)
        self._raw = [CompiledRawKernel(kernel, setting) for kernel in kernels]
        self._make_solve = make_solve
        self._start = [self._compiled(stage) for stage in scheme.start]
        self.stages = [self._compiled(stage) for stage in scheme.stages]
        self.constraints = [self._compiled(stage) for stage in scheme.constraints]
        for name in scheme.error_registers:
            # Wall planes that a condition fixes are never updated and have no error.
            setting.state[name].flat.fill(0.0)

    def _compiled(self, stage: Part) -> CompiledStage | SolveStage:
        if isinstance(stage, Stage):
            return CompiledStage(stage, self._setting)
        if self._make_solve is None:
            raise ConfigError(f"the scheme '{self.scheme.name}' has systems to solve, and no solver was given")
        return SolveStage(stage.time, self._make_solve(stage))

    def begin(self, t: float) -> None:
        """Find what follows from the initial values at every step size."""
        for stage in self._start[: self.scheme.before]:
            stage.run(t, 0.0)

    def start(self, t: float, dt: float) -> None:
        """Prepare the first step (the earlier level of a two-level scheme)."""
        opening = self._start[self.scheme.before :]
        if opening:
            self.draw(0)
        for stage in opening:
            stage.run(t, dt)

    def draw(self, step: int) -> None:
        """Draw the random numbers of a step."""
        if self._noises:
            with self._setting.timers.region("noise"):
                for noise in self._noises:
                    noise.fill(step)

    def step(self, t: float, dt: float) -> None:
        """Carry the stages of one step out, without the final swap of registers."""
        for stage in self.stages:
            stage.run(t, dt)

    def accept(self, t: float, dt: float) -> None:
        """Make the new level, at time t, the current one and run the raw kernels on it."""
        for a, b in self.scheme.swaps:
            self._setting.state.swap(a, b)
        for kernel in self._raw:
            kernel.run(t, dt)

    def advance(self, time_of: Callable[[int], float], dt: float, first: int, count: int) -> None:
        """Advance a number of steps of equal size.

        Parameters
        ----------
        time_of : callable
            Time of a step number.
        dt : float
            Step size.
        first, count : int
            Number of the first step, and how many.
        """
        for step in range(first, first + count):
            self.draw(step)
            self.step(time_of(step), dt)
            self.accept(time_of(step + 1), dt)

    def error(self) -> float:
        """Largest scaled error of the last step over all sites and ranks; NaN if any is NaN."""
        largest = 0.0
        state = self._setting.state
        for name in self.scheme.error_registers:
            for block in self._setting.storage.blocks:
                for component in range(state[name].spec.components):
                    values = state.interior(name, block, component)
                    largest = max(largest, float(np.nan_to_num(values, nan=np.inf, posinf=np.inf).max(initial=0.0)))
        return float(self._setting.context.max(largest))

    @property
    def nests(self) -> list[LoopNest]:
        """Every loop nest of a step, in order."""
        return [sweep.nest for stage in self.stages for sweep in stage.sweeps]

    @property
    def bytes_per_cell_step(self) -> int:
        """Bytes a step must move per site: every register component read or written in each sweep, or drawn.

        0 if a step has systems to solve or transforms, whose traffic is not known beforehand.
        """
        if any(isinstance(stage, SolveStage) for stage in self.stages):
            return 0
        drawn = sum(noise.register.spec.itemsize for noise in self._noises)
        return drawn + sum(nest.bytes_per_site for nest in self.nests)

    @property
    def flops_per_cell_step(self) -> int:
        """Floating-point operations of a step per site."""
        return sum(nest.flops_per_site for nest in self.nests)
