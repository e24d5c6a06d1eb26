"""Memory that convolutions will need: modes of the kernels, and the lattices that transforms work on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from hpcsim.lattice.layout import Block
from hpcsim.simulation.case import Case
from hpcsim.sweeps.transforms import Convolve
from hpcsim.symbolic.convolution import Kernel

VALUE = 8


class ConvolutionNeed(NamedTuple):
    """Bytes of one convolution on one rank.

    Attributes
    ----------
    field : str
        What it gives.
    held : int
        While the run lasts.
    passing : int
        While its kernels are made.
    """

    field: str
    held: int
    passing: int


def convolution_needs(case: Case, blocks: tuple[Block, ...]) -> Iterator[ConvolutionNeed]:
    """Memory of every convolution on a rank with these blocks; stages share the kernels."""
    shape = case.domain.shape
    # A line is held whole by every rank.
    sites = math.prod(shape) if len(shape) == 1 else sum(math.prod(block.shape) for block in blocks)
    seen: set[str] = set()
    for part in (*case.scheme.start, *case.scheme.stages, *case.scheme.constraints):
        if isinstance(part, Convolve) and part.shared and part.name not in seen:
            seen.add(part.name)
            yield _need(case, part, sites)


def _need(case: Case, problem: Convolve, sites: int) -> ConvolutionNeed:
    """Sizes in values per site, from the lengths of the transforms."""
    ndim = case.domain.ndim
    held = passing = largest = 0.0
    for shared in problem.shared:
        stretch = 1.0 if shared.parts[0][2] == "periodic" else 2.0
        whole = stretch**ndim
        even = [_even(case, kernel) for _, kernel, _ in shared.parts]
        # Half of the modes are kept, as complex numbers; a kernel that is even keeps half of those, as real ones.
        modes = sum(whole / 4 if flag else whole for flag in even)
        lines = whole / stretch * (1 if len(even) == 1 else 2)
        held += modes + lines
        passing = max(passing, whole / 4 if all(even) else 2 * whole)
        largest = max(largest, 1.0 + len(even))
    return ConvolutionNeed(problem.name, int(VALUE * sites * (held + largest)), int(VALUE * sites * passing))


def _even(case: Case, kernel: Kernel) -> bool:
    from hpcsim.solvers.convolution_kernels import make_kernel

    return make_kernel(kernel, case.domain.ndim, case.system.symbols).even
