"""Section ``[initial]``: the fields at the start, and their rates as ``"dt(field)"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)

from hpcsim.config.sections.model import rate_of
from hpcsim.config.values import NAME, FrozenDict, Name, Open, arity, check_scalar, fault, key, shown

EXPRESSION = "expression"
FILE = "file"


class Start(Open):
    """How one field, or one component of it, starts: a kind and the options of that kind.

    A number or a formula is short for ``{ kind = "expression", value = ... }``. Which options a kind takes is known to
    the kind, not to the schema.
    """

    kind: Name = key(text="Kind of initial condition, as in `hpcsim list initial`.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        if isinstance(given, Start):
            return given
        if not isinstance(given, dict):
            return {"kind": EXPRESSION, "value": check_scalar(given)}
        if "kind" not in given:
            fault(f"the table needs a 'kind', such as '{EXPRESSION}', 'gaussian' or '{FILE}'")
        return given

    @property
    def path(self) -> str | None:
        """The file that is read, for the kind that reads one; what follows a colon names a dataset in it."""
        path = self.options.get("path")
        return path.partition(":")[0] if self.kind == FILE and isinstance(path, str) else None


def _short(start: Start) -> Any:
    value = start.options.get("value")
    if start.kind == EXPRESSION and set(start.options) == {"value"} and isinstance(value, int | float | str):
        return value
    return {"kind": start.kind, **start.options}


def _target(name: str) -> str:
    if not NAME.fullmatch(name) and (rate_of(name) or ("", ""))[0] != "dt":
        fault(f"{shown(name)} is neither the name of a field nor dt(field)")
    return name


One = Annotated[Start, PlainSerializer(_short), WithJsonSchema({"type": ["number", "string", "object"]})]
Initial = Annotated[
    Annotated[One, Tag("=one")] | Annotated[tuple[One, ...], Field(min_length=1, max_length=64), Tag("=list")],
    Discriminator(arity),
]
InitialTable = Annotated[Mapping[Annotated[str, AfterValidator(_target)], Initial], AfterValidator(FrozenDict)]
