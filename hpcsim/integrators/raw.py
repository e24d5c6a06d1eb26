"""Raw kernels: own compiled functions on the blocks of a rank, for what is no stencil.

A raw kernel runs after every step (operator splitting), block by block. It gets the arrays of its fields with ghosts,
so it can do anything to the owned sites; what it writes at a site must depend on the step, the time and the values it
reads alone if runs are to give the same bits on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.registry import Registry

if TYPE_CHECKING:
    from hpcsim.sweeps.setting import Setting

RAW_KERNELS = Registry("kernel", {})


@dataclass(frozen=True)
class RawKernel:
    """A function that is called for every block after every step.

    Parameters
    ----------
    function : callable
        ``function(*arrays, lo, hi, origin, spacing, t, dt, *values)``, usually decorated with ``numba.njit``. There is
        one array ``[component, *pitch]`` for each name of `fields`; ``lo`` and ``hi`` (int64, one entry per axis) bound
        the owned cells in array indices; ``origin`` is the global index of array index 0; ``spacing`` the cell sizes;
        ``values`` the numeric parameters named in `parameters`. Sites must not be changed that others still read:
        ghosts hold the values from before the call.
    fields : sequence of str
        Fields it reads or writes, in the order of its arguments.
    ghost : int
        Ghost layers it reads; they are filled before it is called.
    parameters : sequence of str
        Numeric parameters of the model that it takes.

    Examples
    --------
    >>> def clip(u, lo, hi, origin, spacing, t, dt):
    ...     window = u[0, lo[0]:hi[0]]
    ...     window[window < 0.0] = 0.0
    >>> RawKernel(clip, ["u"]).ghost
    0
    """

    function: Callable[..., None]
    fields: Sequence[str]
    ghost: int = 0
    parameters: Sequence[str] = field(default_factory=tuple)

    def check(self, known: Mapping[str, Any], symbols: Mapping[str, float], where: str) -> list[Problem]:
        """Faults of the names it uses."""
        faults = [Problem(where, unknown_name("field", name, known)) for name in self.fields if name not in known]
        return faults + [
            Problem(where, unknown_name("numeric parameter", name, symbols))
            for name in self.parameters
            if name not in symbols
        ]


class CompiledRawKernel:
    """A raw kernel bound to the registers of a run."""

    def __init__(self, kernel: RawKernel, setting: Setting) -> None:
        self._kernel = kernel
        self._setting = setting
        self._values = [setting.values[name] for name in kernel.parameters]
        self._spacing = np.array(setting.layout.domain.spacing)
        ghost = setting.storage.ghost
        self._boxes = [
            (np.array([ghost] * len(block.lo)), np.array(block.shape) + ghost, np.array(block.lo) - ghost)
            for block in setting.storage.blocks
        ]
        if kernel.ghost > ghost:
            raise ConfigError(f"a raw kernel reads {kernel.ghost} ghost layers, the run has {ghost}")
        self._fill = setting.ghosts.prepare(list(kernel.fields), kernel.ghost, True) if kernel.ghost else None

    def run(self, t: float, dt: float) -> None:
        """Call the function for every block with the state at time t."""
        registers = [self._setting.state[name] for name in self._kernel.fields]
        if self._fill is not None:
            self._fill.start(registers, t)
            self._fill.finish(registers, t)
        with self._setting.timers.region("raw kernel"):
            for slot, (lo, hi, origin) in enumerate(self._boxes):
                arrays = [register.array[slot] for register in registers]
                self._kernel.function(*arrays, lo, hi, origin, self._spacing, t, dt, *self._values)
