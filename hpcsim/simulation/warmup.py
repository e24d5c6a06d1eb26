"""Compiles the kernels of a case without its memory: kernels depend on the equations, not on sizes."""

from __future__ import annotations

from dataclasses import replace

from hpcsim.comm.context import Context
from hpcsim.lattice.domain import Domain
from hpcsim.simulation.build import case_nests, make_setting
from hpcsim.simulation.case import Case
from hpcsim.simulation.layout import case_layout
from hpcsim.simulation.noise import compile_noises


def compile_case(case: Case) -> tuple[int, float]:
    """Compile, or find in the cache, every kernel of a case.

    Parameters
    ----------
    case : Case
        The case; its lattice may be far larger than this machine could hold.

    Returns
    -------
    count : int
        Number of kernels.
    seconds : float
        Time spent on them.
    """
    small = shrunk(case)
    with Context.serial() as context:
        setting = make_setting(small, context, case_layout(small, 1))
        nests = list(dict.fromkeys(case_nests(small, setting)))
        for nest in nests:
            setting.backend.compile(nest)
        compile_noises(small, setting)
        setting.ghosts.free()
        setting.state.free()
        return len(nests), setting.backend.compile_seconds


def shrunk(case: Case) -> Case:
    """The case on the smallest lattice with the same spacing, ghosts and boundaries."""
    least = 2 * max(1, case.ghost) + 2
    domain = case.domain
    shape = tuple(min(n, least) for n in domain.shape)
    upper = tuple(lo + n * h for lo, n, h in zip(domain.lower, shape, domain.spacing, strict=True))
    lattice = case.config.lattice.model_copy(update={"shape": shape, "upper": upper, "block_shape": None})
    config = case.config.model_copy(update={"lattice": lattice})
    return replace(case, config=config, domain=Domain(shape, domain.lower, upper, domain.periodic))
