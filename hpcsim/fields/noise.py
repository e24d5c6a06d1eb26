"""Registers of white noise: a normal number at every site, drawn afresh for every step.

The number of a site is a function of (seed, stream, site, step). So every block computes its ghosts by itself, nothing
is exchanged, and a restart needs no state. Outside the walls of the lattice there are no sites, and the noise is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import HpcsimError
from hpcsim.fields.backends import compiled_kernels
from hpcsim.fields.random import normal
from hpcsim.fields.sites import site_strides
from hpcsim.fields.state import Register
from hpcsim.lattice.layout import Block, Layout
from hpcsim.lattice.location import Location, owned_extent
from hpcsim.lattice.storage import Storage

MOST_STEPS = 1 << 32
"""Steps for which there are random numbers."""

# sites that the reference draws at once, at most: its working arrays stay small beside the register
_PIECE = 1 << 16
_WORD = 1 << 64


class Window(NamedTuple):
    """Sites of a block that get numbers.

    Attributes
    ----------
    slot : int
        Position of the block on the rank.
    start : tuple of int
        Array index of the first site.
    numbers : tuple of ndarray of uint64
        Per axis one entry for each index: the number of a site is the sum of its entries.
    """

    slot: int
    start: tuple[int, ...]
    numbers: tuple[NDArray[np.uint64], ...]


class NoiseRegister:
    """Fills a register of one component with normal numbers.

    Parameters
    ----------
    register : Register
        What is filled; values outside the lattice are set to zero here, once.
    layout, storage : Layout, Storage
        Blocks, and their arrays on this rank.
    location : Location
        Place of the numbers in the cell.
    reach : int
        Ghost layers that are filled too.
    seed, stream : int
        Key of the numbers; see `random.normal`.
    backend : {"auto", "numba", "numpy"}
        What draws them; all give the same bits.
    threads : int
        Threads of this rank.
    """

    def __init__(
        self,
        register: Register,
        layout: Layout,
        storage: Storage,
        location: Location,
        reach: int,
        seed: int,
        stream: int,
        backend: str = "auto",
        threads: int = 1,
    ) -> None:
        self.register = register
        self._seed, self._stream = seed, stream
        windows = [_window(layout, storage, block, location, reach) for block in storage.blocks]
        kernels = compiled_kernels(backend)
        self._fills: list[Callable[[int], None]]
        if kernels is None:
            self._fills = [partial(self._fill_reference, window) for window in windows]
        else:
            scratch = kernels.Scratch.make(threads)
            self._fills = [
                kernels.normal_filler(
                    register.flat, _element(storage, window), storage.strides, window.numbers, seed, stream, scratch
                )
                for window in windows
            ]
        register.flat.fill(0.0)

    def fill(self, step: int) -> None:
        """Draw the numbers of a step.

        Raises
        ------
        HpcsimError
            If there are no numbers for the step: it is not below 2**32.
        """
        if not 0 <= step < MOST_STEPS:
            raise HpcsimError(f"noise() has random numbers for steps 0 to {MOST_STEPS - 1}; this is step {step}")
        for fill in self._fills:
            fill(step)

    def _fill_reference(self, window: Window, step: int) -> None:
        """The same with arrays, by runs of planes along the first axis."""
        counts = [len(part) for part in window.numbers]
        target = self.register.array[window.slot, 0]
        target = target[tuple(slice(a, a + n) for a, n in zip(window.start, counts, strict=True))]
        across = np.zeros((1,) * len(counts), np.uint64)
        for axis, part in enumerate(window.numbers[1:], 1):
            across = across + part.reshape([-1 if a == axis else 1 for a in range(len(counts))])
        planes = max(1, _PIECE // max(1, across.size))
        for low in range(0, counts[0], planes):
            along = window.numbers[0][low : low + planes].reshape([-1] + [1] * (len(counts) - 1))
            target[low : low + planes] = normal(self._seed, self._stream, along + across, step)


def _element(storage: Storage, window: Window) -> int:
    """Place of the first site of a window in a register of one component."""
    within = sum(i * stride for i, stride in zip(window.start, storage.strides, strict=True))
    return storage.offset(window.slot, 0, 1) + within


def _window(layout: Layout, storage: Storage, block: Block, location: Location, reach: int) -> Window:
    """The sites of a block and its ghosts that exist; across a periodic end they are those of the other one."""
    domain = layout.domain
    start, numbers = [], []
    extents = owned_extent(domain, location)
    for axis, (extent, stride) in enumerate(zip(extents, site_strides(domain, location), strict=True)):
        lo, hi, origin = block.lo[axis] - reach, block.hi[axis] + reach, block.lo[axis] - storage.ghost
        if not domain.periodic[axis]:
            # The last block of a bounded axis may have one more plane, on the wall.
            last = hi + (block.hi[axis] == domain.shape[axis])
            lo, hi = max(lo, 0), min(last, extent, origin + storage.pitch[axis])
        indices = np.arange(lo, hi) % extent
        start.append(lo - origin)
        numbers.append(indices.astype(np.uint64) * np.uint64(stride % _WORD))
    return Window(storage.slot(block.id), tuple(start), tuple(numbers))
