"""Section ``[lattice]``: the box, its sites and how it is cut into blocks."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema, field_validator

from hpcsim.config.sections.boundary import PERIODIC, Ends, pair, short_pair
from hpcsim.config.values import AXES, Count, FrozenDict, Name, Real, Section, fault, key, printable, shown
from hpcsim.errors import unknown_name

MOST_SITES = 2**50
MOST_BLOCKS = 2**24


def _short_boundary(boundary: Mapping[str, Ends]) -> Any:
    """One condition if all axes have it, else a table."""
    axes = {axis: short_pair(ends) for axis, ends in boundary.items()}
    first = next(iter(axes.values()), PERIODIC)
    return first if all(ends == first for ends in axes.values()) and not isinstance(first, list) else axes


Boundaries = Annotated[
    Mapping[str, Ends],
    AfterValidator(FrozenDict),
    PlainSerializer(_short_boundary),
    WithJsonSchema({"type": ["string", "object"]}),
]


class Lattice(Section):
    """The domain, its resolution and its decomposition."""

    shape: Annotated[tuple[Count, ...], Field(min_length=1, max_length=4)] = key(
        text="Number of cells along each axis; its length is the number of dimensions."
    )
    lower: tuple[Real, ...] = key(
        text="Lower corner of the domain.",
        unit="length",
        shown_default="0 on each axis",
        default_factory=lambda given: tuple(0.0 for _ in given["shape"]),
    )
    upper: tuple[Real, ...] = key(
        text="Upper corner of the domain; the spacing is (upper - lower)/shape.",
        unit="length",
        shown_default="shape",
        default_factory=lambda given: tuple(float(n) for n in given["shape"]),
        validate_default=True,
    )
    boundary: Boundaries = key(
        text="Conditions at the ends of the axes; an axis that is not named is periodic.",
        shown_type="condition, or table from axis to condition or [lower, upper]",
        shown_default=f'"{PERIODIC}"',
        default_factory=lambda given: {axis: pair(PERIODIC) for axis in AXES[: len(given["shape"])]},
        validate_default=True,
    )
    block_shape: tuple[Count, ...] | None = key(
        None, "Cells of a block along each axis.", shown_default="the fewest blocks that share out evenly"
    )
    curve: Name = key("hilbert", "Space-filling curve that orders the blocks, as in `hpcsim list curves`.")
    partition: Name = key("curve", "How blocks are given to ranks, as in `hpcsim list partitions`.")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes in use."""
        return AXES[: self.ndim]

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Which axes wrap around."""
        return tuple(self.boundary[axis][0].periodic for axis in self.axes)

    @field_validator("shape")
    @classmethod
    def _sites(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if math.prod(shape) > MOST_SITES:
            fault(f"{math.prod(shape)} cells in all; at most 2^50 are allowed")
        return shape

    @field_validator("lower", "upper", "block_shape")
    @classmethod
    def _one_per_axis(cls, given: tuple[Any, ...] | None, info: ValidationInfo) -> tuple[Any, ...] | None:
        shape = info.data.get("shape")
        if given is not None and shape is not None and len(given) != len(shape):
            fault(f"has {len(given)} entries, but lattice.shape has {len(shape)} axes")
        return given

    @field_validator("upper")
    @classmethod
    def _extent(cls, upper: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        shape, lower = info.data.get("shape"), info.data.get("lower")
        if shape is None or lower is None:
            return upper
        for axis, n, a, b in zip(AXES, shape, lower, upper, strict=False):
            if not a < b:
                fault(f"must be larger than lattice.lower on each axis; on {axis} lower is {a!r} and upper {b!r}")
            if not math.isfinite(b - a):
                fault(f"upper - lower is not a finite number on {axis}")
            if (b - a) / n < 8 * sys.float_info.epsilon * max(abs(a), abs(b)) or (b - a) / n < 1e-150:
                fault(f"the spacing {(b - a) / n:.3g} on {axis} is too small to tell neighbouring sites apart")
        return upper

    @field_validator("boundary", mode="before")
    @classmethod
    def _each_axis(cls, given: Any, info: ValidationInfo) -> Any:
        axes = AXES[: len(info.data["shape"])] if "shape" in info.data else AXES
        if isinstance(given, str) or isinstance(given, dict) and "type" in given:
            return dict.fromkeys(axes, (given, given))
        if not isinstance(given, dict):
            fault(f"expected the name of a condition, a table with 'type', or a table of axes; got {shown(given)}")
        unknown = [unknown_name("axis", printable(str(name)), axes) for name in given if name not in axes]
        if unknown:
            fault("; ".join(unknown[:4]))
        return {axis: pair(given.get(axis, PERIODIC)) for axis in axes}

    @field_validator("boundary")
    @classmethod
    def _both_or_none(cls, boundary: Mapping[str, Ends]) -> Mapping[str, Ends]:
        for axis, (lower, upper) in boundary.items():
            if lower.periodic != upper.periodic:
                fault(f"axis {axis} is periodic at one end only; give '{PERIODIC}' for both or for none")
            if lower.periodic and (lower.options or upper.options):
                fault(f"a periodic axis takes no options; axis {axis} has some")
        return boundary

    @field_validator("block_shape")
    @classmethod
    def _blocks(cls, block: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        shape = info.data.get("shape")
        if block is None or shape is None or len(block) != len(shape):
            return block
        for axis, b, n in zip(AXES, block, shape, strict=False):
            if b > n:
                fault(f"a block of {b} cells on {axis} is larger than the lattice, which has {n}")
        blocks = math.prod(-(-n // b) for n, b in zip(shape, block, strict=True))
        if blocks > MOST_BLOCKS:
            fault(f"gives {blocks} blocks; at most {MOST_BLOCKS} are allowed: use larger blocks")
        return block
