"""The exact step of linear equations with constant coefficients, compiled for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.boundary.base import BoundaryCondition
from hpcsim.boundary.conditions import Conditions
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.solvers.boxes import BoxMove
from hpcsim.solvers.ends import make_axes, mirrors
from hpcsim.solvers.fft.transform import Transform
from hpcsim.solvers.grid import Axis
from hpcsim.symbolic.evaluate import scalar_value
from hpcsim.symbolic.expr import ZERO

if TYPE_CHECKING:
    from hpcsim.sweeps.setting import Setting
    from hpcsim.sweeps.transforms import Propagate

_SMALL = 1e-5


def mode_axes(
    problem: Propagate, domain: Domain, location: Location, conditions: Conditions, field: str
) -> tuple[Axis, ...]:
    """The axes of the unknown of a problem, in whose modes it can be stepped exactly.

    Parameters
    ----------
    problem : Propagate
        What is to be done.
    domain : Domain
        The lattice.
    location : Location
        Where the unknown lives.
    conditions : Conditions
        Conditions of the run.
    field : str
        Field whose conditions hold for the unknown.

    Raises
    ------
    ConfigError
        At the first wall that sine and cosine modes do not fit.
    """
    component = problem.unknown[1]
    for axis, periodic in enumerate(domain.periodic):
        for side in () if periodic else (0, 1):
            condition = conditions.at(field, component, axis, side)
            why = _misfit(problem, condition, axis, bool(location[axis]))
            if why:
                raise condition.refuse(
                    f"exponential_modes steps '{field}' in sine and cosine modes, but {why}; "
                    "take another condition, or another integrator, such as crank_nicolson"
                )
    axes = make_axes(domain, location, conditions, field, component)
    assert axes is not None
    return axes


def _misfit(problem: Propagate, condition: BoundaryCondition, axis: int, staggered: bool) -> str:
    """Why a wall does not fit, or nothing."""
    component = problem.unknown[1]
    reach = max((abs(offset[axis]) for offset, _ in problem.weights), default=0)
    if not mirrors(condition, component, staggered, max(1, reach)):
        return "the ghosts of this condition are no mirror images"
    if condition.value(component) != ZERO:
        return "the value or slope of this wall is not zero"
    if not _even(problem, axis):
        return "across this wall the equation has derivatives of odd order, or mixed ones"
    if problem.noises and staggered and condition.plane(component, True) is None:
        return "noise on the sites of a free wall is not independent from mode to mode"
    return ""


class CompiledPropagate:
    """Carries a `Propagate` out; every verb is collective.

    Parameters
    ----------
    problem : Propagate
        What is done.
    setting : Setting
        The run.

    Raises
    ------
    ConfigError
        If the modes of the lattice do not fit; see `mode_axes`.
    """

    def __init__(self, problem: Propagate, setting: Setting) -> None:
        self._problem, self._setting = problem, setting
        register, component = problem.unknown
        domain = setting.layout.domain
        location = setting.state[register].spec.locations(domain.ndim)[component]
        self._axes = mode_axes(problem, domain, location, setting.ghosts.conditions, setting.sources[register])
        self._transform = Transform(setting.context, self._axes, setting.threads)
        self._move = BoxMove(setting, problem.unknown, self._axes, self._transform.box)
        self._dt: float | None = None

    def run(self, t: float, dt: float) -> None:
        """Advance the unknown by dt."""
        with self._setting.timers.region("solve"):
            self._prepare(dt)
            modes = self._transform.forward(self._move.gather(*self._problem.unknown))
            modes *= self._decay
            if self._problem.rest is not None:
                modes += self._source * self._transform.forward(self._move.gather(*self._problem.rest))
            for noise, amplitude in self._problem.noises:
                drawn = self._transform.forward(self._move.gather(noise.register, noise.component))
                modes += scalar_value(amplitude, {**self._setting.values, "dt": dt}) * self._spread * drawn
            self._move.scatter(self._transform.backward(modes), *self._problem.unknown)

    def _prepare(self, dt: float) -> None:
        """Factors of the modes for a step size."""
        if dt == self._dt:
            return
        z = self._eigenvalues() * dt
        self._decay = np.exp(z)
        self._source = dt * _phi1(z)
        # Over the step a mode gathers the variance dt*(exp(2 Re z) - 1)/(2 Re z); the amplitude has 1/sqrt(dt) in it.
        self._spread = dt * np.sqrt(_phi1(2.0 * np.real(z)))
        self._dt = dt

    def _eigenvalues(self) -> NDArray[Any]:
        """Eigenvalue of the weights for every mode of this rank."""
        values = dict(self._setting.values)
        angles = [k * axis.spacing for k, axis in zip(self._transform.wavenumbers(), self._axes, strict=True)]
        whole: NDArray[Any] = np.zeros(np.broadcast_shapes(*(angle.shape for angle in angles)), complex)
        for offset, weight in self._problem.weights:
            phase = np.asarray(sum(step * angle for step, angle in zip(offset, angles, strict=True)))
            whole = whole + scalar_value(weight, values) * np.exp(1j * phase)
        # Weights that are equal on both sides have real eigenvalues; only then may a real transform multiply by them.
        return whole.real if all(_even(self._problem, axis) for axis in range(len(angles))) else whole

    def record(self) -> dict[str, Any]:
        """Nothing is solved here."""
        return {}

    def free(self) -> None:
        """Give back messages and memory."""
        self._move.free()
        self._transform.free()


def _even(problem: Propagate, axis: int) -> bool:
    """Whether the weights do not change when an axis is turned round."""
    known = dict(problem.weights)
    return all(known.get((*o[:axis], -o[axis], *o[axis + 1 :])) == weight for o, weight in problem.weights)


def _phi1(z: NDArray[Any]) -> NDArray[Any]:
    """(exp(z) - 1)/z, by its series near zero."""
    small = np.abs(z) < _SMALL
    safe, tiny = np.where(small, 1.0, z), np.where(small, z, 0.0)
    return np.where(small, 1.0 + tiny / 2.0 + tiny * tiny / 6.0, np.expm1(safe) / safe)
