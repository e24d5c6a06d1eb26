"""The registers of random numbers that the equations of a case read."""

from __future__ import annotations

from hpcsim.fields.backends import compiled_kernels
from hpcsim.fields.noise import NoiseRegister
from hpcsim.fields.random import stream_id
from hpcsim.fields.spec import FieldSpec
from hpcsim.simulation.case import Case
from hpcsim.sweeps.setting import Setting
from hpcsim.symbolic.noise import NoiseTable


def add_noises(case: Case, setting: Setting) -> list[NoiseRegister]:
    """Add a register for every noise of the equations; collective.

    They are not saved: their values are a function of the seed and the step.
    """
    run = case.config.run
    found = []
    for name, table in sorted(case.discrete.discretizer.noises.items()):
        register = setting.state.add(name, FieldSpec(name, dtype=setting.dtype), saved=False)
        setting.components[name] = 1
        key = run.seed, noise_stream(table)
        place = setting.layout, setting.storage, table.location, table.reach
        found.append(NoiseRegister(register, *place, *key, _backend(run.backend), run.threads))
    return found


def noise_stream(table: NoiseTable) -> int:
    """Stream of random numbers of a noise: fixed by its number, its component and its place in the cell.

    Examples
    --------
    >>> noise_stream(NoiseTable(1, 0, (0, 0))) == noise_stream(NoiseTable(1, 0, (0, 1)))
    False
    """
    place = "".join(map(str, table.location))
    return stream_id(f"noise {table.stream} at {place}", table.component)


def compile_noises(case: Case, setting: Setting) -> None:
    """Compile, or load from the cache, what fills the registers."""
    kernels = compiled_kernels(_backend(case.config.run.backend))
    if case.discrete.discretizer.noises and kernels is not None:
        kernels.compile_normals(setting.dtype, setting.threads)


def _backend(name: str) -> str:
    """What draws the numbers under a backend of the kernels, which may be one of a plug-in."""
    return name if name in ("numba", "numpy") else "auto"
