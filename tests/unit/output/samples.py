"""Fields whose values name their own place, for round trips."""

from __future__ import annotations

import itertools

import numpy as np

from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.location import owned_extent
from hpcsim.output.snapshot import SnapshotField

SHAPES = {1: (11,), 2: (7, 10), 3: (5, 8, 6), 4: (4, 5, 3, 4)}


def domain(ndim: int, periodic: str = "mixed") -> Domain:
    """A small lattice with uneven extents."""
    closed = {"mixed": tuple(a % 2 == 0 for a in range(ndim)), "none": (False,) * ndim, "all": (True,) * ndim}[periodic]
    shape = SHAPES[ndim]
    return Domain(shape, tuple(float(a) for a in range(ndim)), tuple(a + 0.5 * n for a, n in enumerate(shape)), closed)


def values(lo, hi, component: int, dtype) -> np.ndarray:
    """A whole number per site that tells component and index; exact in float32."""
    code = np.full((1,) * len(lo), float(component))
    for axis, (a, b) in enumerate(zip(lo, hi, strict=True)):
        index = np.arange(a, b, dtype=np.float64).reshape([-1 if n == axis else 1 for n in range(len(lo))])
        code = code * 16 + index
    return code.astype(dtype)


def whole(lattice: Domain, spec: FieldSpec, component: int) -> np.ndarray:
    """What a reader should get for a component of the whole lattice."""
    extent = owned_extent(lattice, spec.locations(lattice.ndim)[component])
    return values((0,) * lattice.ndim, extent, component, spec.dtype)


def specs(ndim: int) -> list[FieldSpec]:
    """One field of each centring, in both number types, with one and several components."""
    return [
        FieldSpec("u", 1, "cell", "float64"),
        FieldSpec("v", 3, "cell", "float32"),
        FieldSpec("p", 1, "vertex", "float32"),
        FieldSpec("q", 2, "vertex", "float64"),
        FieldSpec("B", ndim, "face", "float64"),
        FieldSpec("E", ndim, "edge", "float32"),
    ]


def fields(layout, chosen) -> list[SnapshotField]:
    """Fields to write, cut out of strided arrays as those of a run are."""

    def reader(spec):
        def read(block):
            parts = []
            for component, location in enumerate(spec.locations(layout.domain.ndim)):
                lo, hi = layout.owned_box(block, location)
                padded = np.full(tuple(b - a + 3 for a, b in zip(lo, hi, strict=True)), np.nan, spec.dtype)
                view = padded[tuple(slice(1, 1 + b - a) for a, b in zip(lo, hi, strict=True))]
                view[...] = values(lo, hi, component, spec.dtype)
                parts.append(view)
            return parts

        return read

    return [SnapshotField(spec.name, spec, reader(spec)) for spec in chosen]


def layout_of(lattice: Domain, ranks: int, block_shape=None):
    """A layout of ghost width 1."""
    return make_layout(lattice, ranks, ghost=1, block_shape=block_shape)


CASES = list(itertools.product((1, 2, 3, 4), ("mixed", "none", "all")))
