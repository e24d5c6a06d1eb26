"""Digest of a field: a sum over owned sites, so that ranks, blocks and order do not matter but every bit does.

Each site contributes a 128-bit mix of its value bits, level, location, component and global number; the digest is the
sum mod 2**128. Equal digests mean equal fields, bit for bit.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.fields.backends import compiled_kernels
from hpcsim.fields.sites import site_numbers, site_strides
from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location

if TYPE_CHECKING:
    from hpcsim.comm.context import Context
    from hpcsim.fields.state import State
    from hpcsim.lattice.layout import Block

_WORD = (1 << 64) - 1
_HALF = (1 << 32) - 1
# sites per slab of the reference
_SLAB = 1 << 16
MODULUS = 1 << 128

# odd constants: the golden ratio and the multipliers of the splitmix64 and murmur3 finalisers
GOLDEN = 0x9E3779B97F4A7C15
MIX_A = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
MIX_B = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)


def mix_a(x: Any) -> Any:
    """Finaliser of splitmix64 on uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(MIX_A[0])
    x = (x ^ (x >> np.uint64(27))) * np.uint64(MIX_A[1])
    return x ^ (x >> np.uint64(31))


def mix_b(x: Any) -> Any:
    """Finaliser of murmur3 on uint64."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(MIX_B[0])
    x = (x ^ (x >> np.uint64(33))) * np.uint64(MIX_B[1])
    return x ^ (x >> np.uint64(33))


def component_key(level: int, location: Location, component: int, itemsize: int) -> int:
    """64-bit key of what is the same for all sites of one component of a block."""
    key = np.zeros(1, np.uint64)
    for part in (itemsize, level, len(location), *location, component):
        key = mix_a(key + np.uint64(GOLDEN) + np.uint64(part))
    return int(key[0])


def _slab_sum(values: NDArray[Any], numbers: NDArray[np.uint64], key: int) -> int:
    """Sum over a few sites, in NumPy."""
    bits = values.view(f"uint{8 * values.itemsize}").astype(np.uint64)
    place = mix_a(numbers * np.uint64(GOLDEN) + np.uint64(key))
    high = mix_b(bits ^ place)
    low = mix_a(place + ((high << np.uint64(32)) | (high >> np.uint64(32))))
    upper, lower = low >> np.uint64(32), low & np.uint64(_HALF)
    # the high word may wrap at 2**64, the halves of the low word cannot
    return (int(high.sum()) << 64) + (int(upper.sum()) << 32) + int(lower.sum())


def _reference(values: NDArray[Any], domain: Domain, location: Location, box: Box, level: int, key: int) -> int:
    """Sum over the sites of a box, slab by slab so that no whole block is copied."""
    total = 0
    thickness = max(1, _SLAB * values.shape[0] // max(1, values.size))
    for start in range(0, values.shape[0], thickness):
        slab = values[start : start + thickness]
        lo = (box[0][0] + start, *box[0][1:])
        hi = (lo[0] + slab.shape[0], *box[1][1:])
        total += _slab_sum(slab, site_numbers(domain, location, (lo, hi), level), key)
    return total


def _block_sum(state: State, name: str, block: Block, component: int, kernels: ModuleType | None) -> int:
    """Sum over the sites one block owns in one component."""
    values = state.interior(name, block, component)
    location = state[name].spec.locations(len(block.lo))[component]
    domain, box = state.layout.domain, state.layout.owned_box(block, location)
    key = component_key(block.level, location, component, values.itemsize)
    if kernels is None:
        return _reference(values, domain, location, box, block.level, key)
    strides = site_strides(domain, location, block.level)
    origin = sum(i * stride for i, stride in zip(box[0], strides, strict=True))
    total: int = kernels.digest_sum(values, origin & _WORD, [stride & _WORD for stride in strides], key)
    return total


def digest(context: Context | None, state: State, name: str, *, backend: str = "auto") -> str:
    """Digest of a register over all ranks, 32 hexadecimal digits; collective.

    Parameters
    ----------
    context : Context or None
        The ranks; None for this process alone.
    state : State
        The registers of this rank.
    name : str
        Name of the register. The name does not enter the digest.
    backend : {"auto", "numba", "numpy"}
        Compiled kernel or NumPy reference; the result is the same.

    Raises
    ------
    ConfigError
        If there is no register of that name.
    """
    kernels = compiled_kernels(backend)
    total = 0
    for block in state.storage.blocks:
        for component in range(state[name].spec.components):
            total += _block_sum(state, name, block, component, kernels)
    # 32-bit digits leave room to add 2**31 ranks in int64
    digits = np.array([(total >> shift) & _HALF for shift in (0, 32, 64, 96)], np.int64)
    if context is not None:
        digits = np.asarray(context.sum_int(digits))
    total = sum(int(digit) << shift for digit, shift in zip(digits, (0, 32, 64, 96), strict=True))
    return f"{total % MODULUS:032x}"
