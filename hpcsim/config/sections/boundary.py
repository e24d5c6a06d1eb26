"""Conditions at the ends of the lattice: ``lattice.boundary`` and ``[boundary.<field>]``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from hpcsim.config.values import Name, Open, Section, fault, key, shown

PERIODIC = "periodic"


class Condition(Open):
    """One boundary condition: its type and the options of that type.

    A bare name is short for ``{ type = "name" }``. Which options a type takes is known to the type, not to the schema.
    """

    type: Name = key(text="Name of the condition, as in `hpcsim list boundaries`.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"type": given}
        if not isinstance(given, dict | Condition):
            fault(f"expected the name of a condition or a table with 'type', got {shown(given)}")
        return given

    @property
    def periodic(self) -> bool:
        """Whether this end is joined to the opposite one."""
        return self.type == PERIODIC


def pair(given: Any) -> Any:
    """A condition for both ends of an axis, or a list of the lower and the upper one, as two."""
    if isinstance(given, list | tuple):
        if len(given) != 2:
            fault(f"expected the lower and the upper condition, got {shown(given)}")
        return tuple(given)
    return given, given


def short_condition(condition: Condition) -> Any:
    """The shortest way to write a condition: its name if it has no options."""
    options = dict(condition.options)
    return {"type": condition.type, **options} if options else condition.type


def short_pair(conditions: tuple[Condition, Condition]) -> Any:
    """The shortest way to write the two ends of an axis."""
    lower, upper = (short_condition(condition) for condition in conditions)
    return lower if lower == upper else [lower, upper]


_SHORT = {"type": ["string", "object"]}
_SHORT_PAIR = {"type": ["string", "object", "array"], "minItems": 2, "maxItems": 2}
Ends = tuple[Condition, Condition]
Pair = Annotated[Ends, BeforeValidator(pair), PlainSerializer(short_pair), WithJsonSchema(_SHORT_PAIR)]
Side = Annotated[Condition, PlainSerializer(short_condition), WithJsonSchema(_SHORT)]


class FieldBoundary(Section):
    """Conditions of one field, in place of ``lattice.boundary`` on the axes that are not periodic.

    The narrowest key wins: a side, then an axis, then ``all``.
    """

    all: Side | None = key(None, "Condition on all sides that have no key of their own.")
    x: Pair | None = key(None, "Condition on both ends of the x axis, or a list of the lower and the upper one.")
    y: Pair | None = key(None, "The same for the y axis.")
    z: Pair | None = key(None, "The same for the z axis.")
    w: Pair | None = key(None, "The same for the w axis.")
    x_lower: Side | None = key(None, "Condition at the lower end of the x axis.")
    x_upper: Side | None = key(None, "Condition at the upper end of the x axis.")
    y_lower: Side | None = key(None, "Condition at the lower end of the y axis.")
    y_upper: Side | None = key(None, "Condition at the upper end of the y axis.")
    z_lower: Side | None = key(None, "Condition at the lower end of the z axis.")
    z_upper: Side | None = key(None, "Condition at the upper end of the z axis.")
    w_lower: Side | None = key(None, "Condition at the lower end of the w axis.")
    w_upper: Side | None = key(None, "Condition at the upper end of the w axis.")

    def at(self, axis: str, upper: bool) -> Condition | None:
        """The condition of this field at one end of an axis, or None if the lattice's own applies."""
        side: Condition | None = getattr(self, f"{axis}_{'upper' if upper else 'lower'}")
        ends: Ends | None = getattr(self, axis)
        return side or (ends[upper] if ends else self.all)
