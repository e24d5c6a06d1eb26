"""Sections ``[output]`` and ``[diagnostics]``: what is written, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from hpcsim.config.values import Formula, FrozenDict, Name, Positive, Section, Table, When, fault, key

Reduction = Literal["integral", "max", "min", "norm2", "mean"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)


def _form(value: Any) -> str:
    """Tag of a bound that is given for all fields or field by field."""
    return "=table" if isinstance(value, Mapping) else "=one"


Bounds = Annotated[
    Annotated[Positive, Tag("=one")] | Annotated[Table[Positive], Tag("=table")],
    Discriminator(_form),
]


class Output(Section):
    """Snapshots of fields."""

    fields: Annotated[tuple[Name, ...], Field(min_length=1, max_length=256)] | None = key(
        None, "Fields and derived quantities to write.", shown_default="the model's fields"
    )
    every: When = key("end", "When: '20 steps', 't=0.5', '30 min' or 'end'.")
    format: Name = key("vtkhdf", "File format, as in `hpcsim list snapshots`; packed is the one for every codec.")
    compression: Name = key(
        "none", "Codec, as in `hpcsim list codecs`, or auto for the one that fits; vtkhdf takes none and deflate."
    )
    error: Bounds | None = key(
        None,
        "Largest absolute error that the compression may make; a table gives it field by field, others stay exact.",
        unit="field",
    )
    ratio: Annotated[Positive, Field(le=1.0)] | None = key(
        None, "Instead of error: share of the bytes that a lossy codec may use."
    )

    @field_validator("fields")
    @classmethod
    def _once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({name for name in names or () if (names or ()).count(name) > 1})
        if twice:
            fault(f"named more than once: {', '.join(twice)}")
        return names


class Quantity(Section):
    """One number per event: exactly one of the reductions of a formula over the domain."""

    integral: Formula | None = key(None, "Sum over the sites times the cell volume.")
    max: Formula | None = key(None, "Largest value.")
    min: Formula | None = key(None, "Smallest value.")
    norm2: Formula | None = key(None, "Square root of the integral of the square.")
    mean: Formula | None = key(None, "Integral divided by the volume.")

    @model_validator(mode="after")
    def _one(self) -> Quantity:
        given = [name for name in REDUCTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            fault(f"needs exactly one of {', '.join(REDUCTIONS)}; got {', '.join(given) or 'none'}")
        return self

    @property
    def reduction(self) -> Reduction:
        """Which reduction is meant."""
        return next(name for name in REDUCTIONS if getattr(self, name) is not None)

    @property
    def formula(self) -> str:
        """The formula that is reduced."""
        return str(getattr(self, self.reduction))


class Diagnostics(Section):
    """Time series of numbers."""

    every: When = key("10 steps", "When: '20 steps', 't=0.5', '30 min' or 'end'.")
    format: Name = key("csv", "File format, as in `hpcsim list histories`.")
    quantities: Table[Quantity] = key(text='Named numbers, e.g. mass = { integral = "u" }.', default_factory=FrozenDict)
