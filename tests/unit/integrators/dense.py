"""A reference for implicit stages: Newton's method with a dense Jacobian by differences, for a few sites of a rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hpcsim.errors import ConvergenceError
from hpcsim.kernels.loopnest import Assignment
from hpcsim.solvers.propagate import CompiledPropagate
from hpcsim.sweeps.compiled import CompiledStage, CompiledSweep, update_boxes
from hpcsim.sweeps.setting import Setting
from hpcsim.sweeps.sweep import Solve, Stage, Sweep
from hpcsim.sweeps.transforms import Propagate
from hpcsim.symbolic.expr import Access, Symbol
from hpcsim.symbolic.linearize import linearize

_NUDGE = 1e-4
_LIMIT = 30


class DenseSolves:
    """Takes the place of `hpcsim.solvers.solve.Solves`."""

    def __init__(self, setting: Setting, options: Callable[[str], Any], session: Any) -> None:
        self._setting = setting
        self.made: list[DenseSolve | CompiledPropagate] = []

    def __call__(self, problem: Solve | Propagate) -> DenseSolve | CompiledPropagate:
        if isinstance(problem, Propagate):
            self.made.append(CompiledPropagate(problem, self._setting))
        else:
            self.made.append(DenseSolve(problem, self._setting, len(self.made)))
        return self.made[-1]

    def free(self) -> None:
        """Nothing is held."""


class DenseSolve:
    """One implicit stage: the residual by the kernels of the run, ghosts and walls included; the rest by NumPy.

    Attributes
    ----------
    leave : float
        Size of an error that is added to the solution.
    keep : bool
        Whether the Jacobian of a linear problem is kept. Its last digits depend on the first solve, so a run that is
        compared bit by bit with a restarted one must not.
    """

    keep = True

    def __init__(self, problem: Solve, setting: Setting, number: int) -> None:
        self._setting = setting
        self.leave = 0.0
        linear = linearize(problem.residuals, problem.unknowns)
        nodes = [node for entry in linear.entries for node in entry.coefficient.walk()]
        self._constant = linear.linear and Symbol("t") not in nodes and not any(isinstance(n, Access) for n in nodes)
        self._jacobians: dict[float, np.ndarray] = {}
        self._guess = [CompiledSweep(sweep, setting) for sweep in problem.guess]
        self._places: list[tuple[str, str, int, list[Any]]] = []
        groups: dict[tuple[int, ...], list[Assignment]] = {}
        for (register, component), value in zip(problem.unknowns, problem.residuals, strict=True):
            spec = setting.state[register].spec
            result = f"{register}@dense{number}"
            if result not in setting.state:
                setting.state.add(result, replace(spec, name=result), saved=False)
                setting.components[result] = spec.components
                setting.sources[result] = setting.sources[register]
            location = spec.locations(setting.layout.domain.ndim)[component]
            assignment = Assignment(Access(result, component, (0,) * len(location)), value)
            groups.setdefault(location, []).append(assignment)
            self._places.append((register, result, component, update_boxes(setting, Sweep(location, (assignment,)))))
        sweeps = tuple(Sweep(location, tuple(group)) for location, group in groups.items())
        self._stage = CompiledStage(Stage(0.0, sweeps), setting)

    def run(self, t: float, dt: float) -> None:
        """Solve at time t for a step of dt, to rounding."""
        for sweep in self._guess:
            sweep.run({**self._setting.values, "t": t, "dt": dt})
        x = self._gather(0)
        jacobian = self._jacobians.get(dt)
        if jacobian is None:
            jacobian = self._differences(x, t, dt)
            if self._constant and self.keep:
                self._jacobians[dt] = jacobian
        last = np.inf
        for count in range(_LIMIT):
            change = np.linalg.solve(jacobian, self._residual(x, t, dt))
            x = x - change
            size = np.abs(change).max(initial=0.0)
            if size <= 1e-15 * np.abs(x).max(initial=0.0) or size >= last / 2 and size <= 1e-9 * np.abs(x).max():
                self._scatter(x + self.leave * np.cos(np.arange(len(x)) ** 2))
                return
            if count % 4 == 3:
                jacobian = self._differences(x, t, dt)
            last = size
        raise ConvergenceError(f"the dense reference did not converge: last change {last}")

    def _differences(self, x: np.ndarray, t: float, dt: float) -> np.ndarray:
        columns = []
        for n in range(len(x)):
            nudge = np.zeros_like(x)
            nudge[n] = _NUDGE
            columns.append((self._residual(x + nudge, t, dt) - self._residual(x - nudge, t, dt)) / (2 * _NUDGE))
        return np.array(columns).T

    def _residual(self, x: np.ndarray, t: float, dt: float) -> np.ndarray:
        self._scatter(x)
        self._stage.run(t, dt)
        return self._gather(1)

    def _gather(self, role: int) -> np.ndarray:
        return np.concatenate([view.ravel() for view in self._views(role)])

    def _scatter(self, x: np.ndarray) -> None:
        start = 0
        for view in self._views(0):
            view[...] = x[start : start + view.size].reshape(view.shape)
            start += view.size

    def _views(self, role: int) -> list[np.ndarray]:
        found = []
        for *names, component, boxes in self._places:
            array = self._setting.state[names[role]].array
            for slot, lo, hi in boxes:
                found.append(array[(slot, component, *(slice(a, b) for a, b in zip(lo, hi, strict=True)))])
        return found
