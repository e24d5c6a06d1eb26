"""The exact step of linear equations with constant coefficients, compiled for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.boxes import BoxMove
from hpcsim.solvers.ends import make_axes
from hpcsim.solvers.fft.transform import Transform
from hpcsim.solvers.grid import Axis
from hpcsim.symbolic.evaluate import scalar_value
from hpcsim.symbolic.expr import ZERO

if TYPE_CHECKING:
    from hpcsim.sweeps.setting import Setting
    from hpcsim.sweeps.transforms import Propagate

_SMALL = 1e-5


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
        If no transform suits the ends of an axis, walls have values that are not zero, or the weights at the two sides
        of a bounded axis differ.
    """

    def __init__(self, problem: Propagate, setting: Setting) -> None:
        self._problem, self._setting = problem, setting
        self._axes = self._make_axes()
        self._transform = Transform(setting.context, self._axes, setting.threads)
        self._move = BoxMove(setting, problem.unknown, self._axes, self._transform.box)
        self._dt: float | None = None

    def _make_axes(self) -> tuple[Axis, ...]:
        """Axes of the unknown, between walls of zero value only."""
        setting, (register, component) = self._setting, self._problem.unknown
        domain, conditions = setting.layout.domain, setting.ghosts.conditions
        source = setting.sources[register]
        location = setting.state[register].spec.locations(domain.ndim)[component]
        axes = make_axes(domain, location, conditions, source, component)
        walls = [key for key in conditions.table if key[:2] == (source, component)]
        valued = any(conditions.table[key].value(component) != ZERO for key in walls)
        if axes is None or valued or any(not _even(self._problem, key[2]) for key in walls):
            raise ConfigError(
                f"exponential_modes: field '{source}' needs axes that are periodic, or walls with a value or slope of "
                "zero and equal weights on both sides; use another integrator"
            )
        return axes

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
        # The register holds xi/sqrt(dt); over the step a mode gathers the variance (exp(2 Re z) - 1)/(2 Re z) dt.
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
    safe = np.where(small, 1.0, z)
    whole = np.expm1(safe) if np.isrealobj(z) else np.exp(safe) - 1.0
    return np.where(small, 1.0 + z / 2.0 + z * z / 6.0, whole / safe)
