"""The kinds of value a key can have, and the base of all sections.

Scalars are strict: no text is read as a number, no number as a flag. Tables are frozen after the check.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, NoReturn, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hpcsim.errors import ConfigError
from hpcsim.schedule import parse_when

AXES = ("x", "y", "z", "w")
LONGEST_TEXT = 10_000
LARGEST_INTEGER = 2**63 - 1
LARGEST_EXTENT = 2**31 - 1
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

V = TypeVar("V")


def fault(message: str) -> NoReturn:
    """Refuse the value under validation with a sentence of our own."""
    raise PydanticCustomError("hpcsim", "{message}", {"message": message})


def printable(text: str, longest: int = 64) -> str:
    r"""A text as it may stand in a message: shortened, without characters that a terminal would act on.

    Examples
    --------
    >>> printable("a" * 100, 5), printable("a\nb")
    ('aaaaa...', 'a\\nb')
    """
    cut = text if len(text) <= longest else text[:longest] + "..."
    return cut if cut.isprintable() else ascii(cut)[1:-1]


def shown(value: Any) -> str:
    """A value as it is quoted in a message: its kind and a shortened form.

    Examples
    --------
    >>> shown("abc"), shown(3), shown([1, 2])
    ("the text 'abc'", 'the integer 3', 'a list of 2')
    """
    if isinstance(value, bool):
        return f"the flag {str(value).lower()}"
    if isinstance(value, int):
        return f"the integer {value}" if abs(value) < 10**20 else "an integer of more than 20 digits"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the text '{printable(value)}'"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    return f"a {type(value).__name__}"


class FrozenDict(dict[str, V]):
    """A dictionary that cannot be changed after it is made."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a checked configuration cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


class Section(BaseModel):
    """Base of all tables with declared keys: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), defer_build=True, ser_json_inf_nan="constants"
    )

    @classmethod
    def below(cls) -> type[Section] | None:
        """The section that a table under a name of the user's own is, where such tables are allowed."""
        return None


def key(
    default: Any = ..., text: str = "", *, unit: str = "", shown_default: str = "", shown_type: str = "", **limits: Any
) -> Any:
    """Declare one key: its default, its line of help, its unit and its range.

    Parameters
    ----------
    default : object
        Default value; ``...`` for a required key.
    text : str
        One line for the reference page and for messages.
    unit : str
        Unit of the value; empty if it has none.
    shown_default : str
        Words for a default that depends on other keys.
    shown_type : str
        Words for a type that has a short form.
    **limits
        ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ``max_length``, ``default_factory``.
    """
    words = {"unit": unit, "shown_default": shown_default, "shown_type": shown_type}
    extra: dict[str, Any] = {name: value for name, value in words.items() if value}
    if "default_factory" not in limits:
        limits["default"] = default
    return Field(description=text, json_schema_extra=extra or None, **limits)


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        fault(f"{shown(text)} is not a name; a name is a letter, then up to 63 letters, digits or underscores")
    return text


def _text(text: str) -> str:
    if not text.strip():
        fault("the text is empty")
    if len(text) > LONGEST_TEXT:
        fault(f"the text has {len(text)} characters; at most {LONGEST_TEXT} are allowed")
    if any(c < " " and c not in "\t\n\r" or c == "\x7f" for c in text):
        fault(f"{shown(text)} has a control character")
    return text


def _formula(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        fault(f"expected a formula, got {shown(value)}; write it in quotes")
    return value


def _when(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        fault(f"expected text in quotes, got {shown(value)}; write '{value} steps' or 't={value}'")
    return value


def _schedule(text: str) -> str:
    try:
        return str(parse_when(text))
    except ConfigError as error:
        fault(str(error))


def check_scalar(value: Any) -> int | float | str:
    """Refuse what is neither text of allowed length nor a finite number."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        fault(f"expected a number or text, got {shown(value)}")
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        fault(f"integers go from -2^63 + 1 to 2^63 - 1, got {shown(value)}")
    if not math.isfinite(value):
        fault(f"expected a finite number, got {value}")
    return value


def _option(value: Any) -> bool | int | float | str:
    """Like a scalar, but a flag or an infinite number may have a meaning to the type that reads it."""
    return value if isinstance(value, bool) or value in (math.inf, -math.inf) else check_scalar(value)


def _bounded(value: Any) -> Any:
    """Keep integers that no float can hold away from the conversion, which would overflow."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_INTEGER:
        fault(f"expected a number up to 2^63 in size, got {shown(value)}")
    return value


def arity(value: Any) -> str:
    """Tag of a value that may be given as one or as a list."""
    return "=list" if isinstance(value, list | tuple) else "=one"


Flag = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=LARGEST_EXTENT)]
Real = Annotated[float, BeforeValidator(_bounded), Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Real, Field(gt=0.0)]
Name = Annotated[str, Field(strict=True), AfterValidator(_name)]
Text = Annotated[str, Field(strict=True), AfterValidator(_text)]
Formula = Annotated[Text, BeforeValidator(_formula)]
When = Annotated[str, BeforeValidator(_when), Field(strict=True), AfterValidator(_schedule)]
Scalar = Annotated[
    int | float | str,
    PlainValidator(check_scalar),
    WithJsonSchema({"type": ["number", "string"], "maxLength": LONGEST_TEXT}),
]
Value = Annotated[
    Annotated[Scalar, Tag("=one")] | Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=4096), Tag("=list")],
    Discriminator(arity),
]
Option = Annotated[
    Annotated[
        bool | int | float | str,
        PlainValidator(_option),
        WithJsonSchema({"type": ["number", "string", "boolean"]}),
        Tag("=one"),
    ]
    | Annotated[tuple[Scalar, ...], Field(max_length=4096), Tag("=list")],
    Discriminator(arity),
]
Table = Annotated[Mapping[Name, V], AfterValidator(FrozenDict)]


class Open(Section):
    """Base of tables with one declared key that names a type, and options that only this type knows."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Option]

    @model_validator(mode="after")
    def _option_names(self) -> Self:
        for option in self.options:
            # Close enough for one slip of the finger, yet far from real options such as 'scale'.
            near = get_close_matches(option[:64], type(self).model_fields, n=1, cutoff=0.75)
            if near:
                fault(f"unknown key '{printable(option)}'; did you mean '{near[0]}'?")
            if not NAME.fullmatch(option):
                fault(f"{shown(option)} is not the name of an option")
        return self

    @property
    def options(self) -> Mapping[str, Any]:
        """All keys but the declared one, as they were given."""
        return FrozenDict(self.__pydantic_extra__ or {})
