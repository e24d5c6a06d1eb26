"""Fields that are convolutions, compiled for a run: sources by compiled sweeps, sums by transforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcsim.boundary.conditions import Conditions
from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.lattice.box import Box, extent
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location, owned_extent
from hpcsim.solvers.boxes import BoxMove
from hpcsim.solvers.convolution_kernels import FormulaKernel, chosen_mode, make_kernel
from hpcsim.solvers.ends import NEUMANN
from hpcsim.solvers.fft.convolution import MODES, Convolution
from hpcsim.solvers.fft.greens import Green
from hpcsim.solvers.grid import Axis
from hpcsim.sweeps.compiled import CompiledStage
from hpcsim.sweeps.sweep import Stage
from hpcsim.symbolic.convolution import Kernel
from hpcsim.symbolic.system import System

if TYPE_CHECKING:
    from hpcsim.sweeps.setting import Setting
    from hpcsim.sweeps.transforms import Convolve, Shared


class Sums(NamedTuple):
    """Components that one transform of a source gives.

    Attributes
    ----------
    mode : str
        How the space around the lattice is taken.
    convolution : Convolution
        Their kernels.
    components : tuple of int
        One for each kernel.
    """

    mode: str
    convolution: Convolution
    components: tuple[int, ...]


class Convolutions:
    """Kernels and moves of all convolutions of a run; those that several stages need are made once.

    Parameters
    ----------
    setting : Setting
        The run.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._made: dict[tuple[Location, str, tuple[Kernel, ...]], Convolution] = {}
        self._moves: dict[tuple[Location, Box], BoxMove] = {}

    def sums(self, shared: Shared) -> list[Sums]:
        """What gives the components of one source, by mode; collective when it is new.

        Raises
        ------
        ConfigError
            On every rank, if a kernel is not finite at some offset.
        """
        setting = self._setting
        groups: dict[str, list[tuple[int, Kernel]]] = {}
        for component, kernel, mode in shared.parts:
            mode = chosen_mode(mode, make_kernel(kernel, setting.layout.domain.ndim, setting.values))
            groups.setdefault(mode, []).append((component, kernel))
        found = []
        for mode, parts in groups.items():
            key = shared.location, mode, tuple(kernel for _, kernel in parts)
            if key not in self._made:
                self._made[key] = self._make(*key)
            found.append(Sums(mode, self._made[key], tuple(component for component, _ in parts)))
        return found

    def _make(self, location: Location, mode: str, kernels: tuple[Kernel, ...]) -> Convolution:
        setting = self._setting
        domain = setting.layout.domain
        shape = owned_extent(domain, location)
        # Half a cell more, for what rounding does to the last offset.
        reach = [(n - 0.5) * h for n, h in zip(shape, domain.spacing, strict=True)]
        made = [make_kernel(kernel, domain.ndim, setting.values, reach) for kernel in kernels]
        convolution = Convolution(setting.context, shape, domain.spacing, made, mode, setting.threads)
        # Each rank has sampled other offsets; all must hear of a fault.
        faulty = [kernel.faulty for kernel in made if isinstance(kernel, FormulaKernel) and kernel.faulty is not None]
        if not setting.context.agree(not faulty):
            at = f" at the offset {', '.join(f'{x:g}' for x in faulty[0])}" if faulty else ""
            raise ConfigError(f"the kernel of a convolution is not finite{at}")
        return convolution

    def move(self, name: str, component: int, location: Location, box: Box) -> BoxMove:
        """The way between the blocks and the box of a transform; collective when it is new."""
        if (location, box) not in self._moves:
            domain = self._setting.layout.domain
            axes = tuple(
                Axis.of_cells(n, h, None if closed else (NEUMANN, NEUMANN), bool(staggered))
                for n, h, closed, staggered in zip(domain.shape, domain.spacing, domain.periodic, location, strict=True)
            )
            self._moves[location, box] = BoxMove(self._setting, (name, component), axes, box)
        return self._moves[location, box]

    def free(self) -> None:
        """Give memory and messages back."""
        for convolution in self._made.values():
            convolution.free()
        for move in self._moves.values():
            move.free()
        self._made.clear()
        self._moves.clear()


class CompiledConvolve:
    """Carries a `Convolve` out; every verb is collective.

    Parameters
    ----------
    problem : Convolve
        What is done.
    setting : Setting
        The run.
    convolutions : Convolutions
        Keeps the kernels.

    Raises
    ------
    ConfigError
        If a kernel is not finite; see also `convolution_problems`.
    """

    def __init__(self, problem: Convolve, setting: Setting, convolutions: Convolutions) -> None:
        self._problem, self._setting = problem, setting
        self._count = 0
        self._sources = CompiledStage(Stage(0.0, problem.sweeps), setting)
        self._parts = [(shared, convolutions.sums(shared)) for shared in problem.shared]
        self._moves = [
            convolutions.move(problem.name, shared.parts[0][0], shared.location, sums[0].convolution.box)
            for shared, sums in self._parts
        ]

    def run(self, t: float, dt: float) -> None:
        """Give the field its values at time t."""
        self._count += 1
        with self._setting.timers.region("convolution"):
            self._sources.run(t, dt)
            for (shared, sums), move in zip(self._parts, self._moves, strict=True):
                own = (self._problem.name, shared.parts[0][0])
                source = move.gather(*(shared.place or own))
                for _, convolution, components in sums:
                    results = [np.empty(extent(convolution.box)) for _ in components]
                    convolution.apply(source, *results)
                    for component, result in zip(components, results, strict=True):
                        move.scatter(result, self._problem.name, component)

    def record(self) -> dict[str, Any]:
        """What the record of a run says of it: the modes, and how often it was found."""
        if not self._count:
            return {}
        modes: dict[str, int] = {}
        for _, sums in self._parts:
            for mode, _, components in sums:
                modes[mode] = modes.get(mode, 0) + len(components)
        reason = ", ".join(f"{count} component(s) {mode}" for mode, count in modes.items())
        return {
            "method": "convolution", "reason": f"{len(self._parts)} source(s), {reason}", "solver": "transforms",
            "solves": self._count, "iterations": 0,
        }  # fmt: skip

    def free(self) -> None:
        """The kernels are kept elsewhere."""


def convolution_problems(system: System, domain: Domain, conditions: Conditions) -> list[Problem]:
    """Faults of the convolutions of a case that need no arrays to be seen, each with its key.

    Parameters
    ----------
    system : System
        The equations.
    domain : Domain
        The lattice.
    conditions : Conditions
        Boundary conditions.
    """
    return list(dict.fromkeys(_problems(system, domain, conditions)))


def _problems(system: System, domain: Domain, conditions: Conditions) -> Iterator[Problem]:
    kernels = {name: {p.kernel for p in system.convolutions if p.field == name} for name in system.locations}
    for part in system.convolutions:
        where = f"model.convolutions.{part.field}"
        try:
            kernel = _checked(part.kernel, domain, system.symbols)
        except ConfigError as error:
            place = f"[{part.component}]" if len(kernels[part.field]) > 1 else ""
            yield from (Problem(f"{where}.kernel{place}", problem.message) for problem in error.problems)
            continue
        if part.mode and part.mode not in MODES:
            yield Problem(f"{where}.mode", unknown_name("mode", part.mode, MODES))
        elif part.mode == "periodic" and not all(domain.periodic):
            yield Problem(f"{where}.mode", "'periodic' needs a lattice that is periodic along every axis")
        elif part.mode == "truncated" and not (isinstance(kernel, Green) and kernel.truncates):
            text = "this kernel has no truncated transform; take 'padded', which is of second order at a singularity"
            yield Problem(f"{where}.mode", text)
        location = system.locations[part.field][part.component]
        yield from _fixed_planes(part.field, part.component, location, domain, conditions)


def _checked(kernel: Kernel, domain: Domain, values: Mapping[str, float]) -> Green | FormulaKernel:
    """The kernel, after a look at the origin."""
    made = make_kernel(kernel, domain.ndim, values)
    if not kernel.zero and isinstance(made, FormulaKernel):
        made.at_origin(domain.spacing)
    return made


def _fixed_planes(
    field: str, component: int, location: Location, domain: Domain, conditions: Conditions
) -> Iterator[Problem]:
    """An integral gives the values on walls too, so no condition may."""
    for axis in range(domain.ndim):
        for side in () if domain.periodic[axis] or not location[axis] else (0, 1):
            condition = conditions.at(field, component, axis, side)
            if condition.plane(component, True) is not None:
                text = f"the values of '{field}' on this wall follow from its convolution; take outflow or neumann"
                yield from condition.refuse(text).problems
