"""Reference of the public Python names: signatures and first paragraphs, read from the code."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import hpcsim
from hpcsim.cli.reference_names import first_paragraph

_HEAD = """# Python reference

The public names of the package `hpcsim`; `import hpcsim` loads none of them before it is used. Everything else may
change from version to version.
"""


class _Words:
    """An annotation that prints as it was written."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def python_markdown() -> str:
    """The page: each public name with its signature, its first paragraph and its public methods."""
    parts = [_HEAD]
    for name in sorted(hpcsim.PUBLIC):
        value = getattr(hpcsim, name)
        kind = "class" if inspect.isclass(value) else "function"
        parts.append(f"## `{name}`\n\n```text\n{kind} hpcsim.{name}{_signature(value)}\n```\n")
        parts.append(f"{first_paragraph(value.__doc__)}\n")
        if inspect.isclass(value):
            parts += [f"- `{_entry(key, member)}`: {first_paragraph(member.__doc__)}" for key, member in members(value)]
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Documented public methods and properties of a class that this package wrote, in the order of the code."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] == "hpcsim":
            found |= {
                name: value for name, value in vars(base).items() if not name.startswith("_") or name == "__getitem__"
            }
    for name, value in found.items():
        function = value.fget if isinstance(value, property) else value
        # Pydantic puts methods of its own into the classes made with it.
        if inspect.isfunction(function) and function.__module__.startswith("hpcsim.") and function.__doc__:
            yield name, value


def _entry(name: str, member: Any) -> str:
    if isinstance(member, property):
        return name
    return f"{name}{_signature(member)}"


def _signature(value: Any) -> str:
    """Signature of a callable with annotations as they stand in the code; empty for a pydantic model."""
    if hasattr(value, "model_fields"):
        return ""
    signature = inspect.signature(value)
    parameters = [
        p.replace(annotation=_words(p.annotation, p.empty)) for p in signature.parameters.values() if p.name != "self"
    ]
    if inspect.isclass(value):
        return str(signature.replace(parameters=parameters, return_annotation=signature.empty))
    returns = _words(signature.return_annotation, signature.empty)
    return str(signature.replace(parameters=parameters, return_annotation=returns))


def _words(annotation: Any, empty: Any) -> Any:
    return annotation if annotation is empty or not isinstance(annotation, str) else _Words(annotation)
