"""The reference page and the JSON schema, both made from the declarations of the keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hpcsim.config.schema import Config
from hpcsim.config.sections.boundary import Condition, FieldBoundary
from hpcsim.config.sections.checkpoint import Checkpoint
from hpcsim.config.sections.convolution import ConvolutionEntry, KernelEntry
from hpcsim.config.sections.initial import Start
from hpcsim.config.sections.lattice import Lattice
from hpcsim.config.sections.memory import Memory
from hpcsim.config.sections.model import FieldEntry, Model
from hpcsim.config.sections.output import Diagnostics, Output, Quantity
from hpcsim.config.sections.run import Run
from hpcsim.config.sections.solver import Solver
from hpcsim.config.toml import toml_value
from hpcsim.config.tree import arms
from hpcsim.config.values import Section

_HEAD = "# Configuration reference\n\nEvery key of a configuration file. Keys without a default are required.\n"
_COLUMNS = "| key | type | default | unit | range | meaning |\n|---|---|---|---|---|---|\n"
_PETSC = """## `[petsc]`

{text} Values are text, numbers and flags; `true` gives an option that needs no value. Words after `--` on the command
line, `hpcsim run case.toml -- -phi_ksp_type cg -ksp_monitor`, are added to this table.
"""
_PLAIN = {bool: "flag", int: "integer", float: "number", str: "text"}


def tables() -> dict[str, type[Section]]:
    """Heading of each table of the reference page, with the section that declares its keys."""
    return {
        "[lattice]": Lattice,
        "A boundary condition": Condition,
        "[boundary.field]": FieldBoundary,
        "[model]": Model,
        "[model.fields] field": FieldEntry,
        "[model.convolutions] field": ConvolutionEntry,
        "A kernel": KernelEntry,
        "[initial] field": Start,
        "[run]": Run,
        "[solver]": Solver,
        "[output]": Output,
        "[diagnostics]": Diagnostics,
        "[diagnostics.quantities] name": Quantity,
        "[checkpoint]": Checkpoint,
        "[memory]": Memory,
    }


def markdown() -> str:
    """The reference page: for each table its keys with type, default, unit, range and meaning."""
    parts = [_HEAD]
    for heading, section in tables().items():
        rows = "".join(_row(name, field) for name, field in section.model_fields.items())
        words = " ".join(line.strip() for line in (section.__doc__ or "").split("\n") if line.strip())
        parts.append(f"## `{heading}`\n\n{words}\n\n{_COLUMNS}{rows}")
    parts.append(_PETSC.format(text=Config.model_fields["petsc"].description))
    return "\n".join(parts)


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a configuration, for editors that complete and check TOML."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "hpcsim configuration"}


def _row(name: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
    whole = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    kind = str(extra["shown_type"]) if isinstance(extra, dict) and "shown_type" in extra else type_words(whole)
    cells = [f"`{name}`", kind, default_words(field), unit, range_words(whole), field.description or ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def default_words(field: FieldInfo) -> str:
    """The default as TOML, or words for one that depends on other keys."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "shown_default" in extra:
        return str(extra["shown_default"])
    if field.is_required():
        return "required"
    if field.default is None or field.default is PydanticUndefined or field.default_factory:
        return "none"
    return f"`{toml_value(field.default)}`"


def type_words(annotation: Any) -> str:
    """A type in words.

    Examples
    --------
    >>> type_words(int), type_words(tuple[float, ...]), type_words(Literal[2, 4])
    ('integer', 'list of number', '2, 4')
    """
    words = list(dict.fromkeys(_words(arm) for _, arm in arms(annotation)))
    # Wherever a number is allowed, an integer is one.
    return " or ".join(word for word in words if word != "integer" or "number" not in words)


def _words(arm: Any) -> str:
    origin, inside = get_origin(arm), get_args(arm)
    if origin is Literal:
        return ", ".join(toml_value(choice) for choice in inside)
    if origin is tuple:
        few = inside[-1] is not Ellipsis
        return "condition or [lower, upper]" if few else f"list of {type_words(inside[0])}"
    if origin is Mapping:
        return f"table of {type_words(inside[1])}"
    if arm is Condition:
        return "condition"
    return _PLAIN.get(arm, "table")


def range_words(annotation: Any) -> str:
    """The limits on a value, its entries and its length.

    Examples
    --------
    >>> range_words(Annotated[int, Ge(1), Le(8)])
    '>= 1, <= 8'
    """
    limits: list[str] = []
    _limits(annotation, limits)
    return ", ".join(sorted(dict.fromkeys(limits), key=lambda words: "=>".find(words[0]), reverse=True))


def _limits(annotation: Any, limits: list[str]) -> None:
    for inner in get_args(annotation) if get_origin(annotation) is not Literal else ():
        if isinstance(inner, FieldInfo):
            _bounds(inner.metadata, limits)
        elif get_origin(inner) is not None:
            _limits(inner, limits)
        else:
            _bounds([inner], limits)


def _bounds(metadata: list[Any], limits: list[str]) -> None:
    for limit in metadata:
        match limit:
            case Ge(bound):
                limits.append(f">= {bound}")
            case Gt(bound):
                limits.append(f"> {bound}")
            case Le(bound):
                limits.append(f"<= {bound}")
            case Lt(bound):
                limits.append(f"< {bound}")
            case MinLen(length):
                limits.append(f"at least {length} entries" if length > 1 else "not empty")
            case MaxLen(length):
                limits.append(f"at most {length} entries")


def json_text() -> str:
    """The JSON schema as text, ready to be saved."""
    return json.dumps(json_schema(), indent=2) + "\n"
