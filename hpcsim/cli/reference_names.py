"""Reference of everything that has a name in a case file: its text and its options, read from the registries."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from hpcsim.cli.list import KINDS, describe
from hpcsim.config.toml import toml_value
from hpcsim.registry import Registry

PLAIN = {
    "integrators": "Integrators, `run.integrator`",
    "greens": "Green's functions, `kernel` of a convolution",
    "exchanges": "Exchange strategies, `run.exchange`",
    "backends": "Backends, `run.backend`",
    "partitions": "Partitions, `lattice.partition`",
    "curves": "Curves, `lattice.curve`",
    "snapshots": "Snapshot formats, `output.format`",
    "histories": "Series formats, `diagnostics.format`",
}
"""Kinds of `hpcsim list` without options of their own, with the heading of their table."""


def names_markdown() -> str:
    """Sections on models, conditions, initial values, integrators and all other names."""
    parts = [_models(KINDS.get("models")), _boundaries(KINDS.get("boundaries")), _initial(KINDS.get("initial"))]
    parts += [_plain(heading, KINDS.get(kind)) for kind, heading in PLAIN.items()]
    return "\n".join(parts)


def first_paragraph(text: str | None) -> str:
    r"""First paragraph of a docstring on one line, as Markdown.

    Examples
    --------
    >>> first_paragraph("One ``line``\n    of a*b.\n\n    More.")
    'One `line` of a\\*b.'
    """
    return _markdown(" ".join(inspect.cleandoc(text or "").split("\n\n")[0].split()))


def prose(text: str | None) -> str:
    """Paragraphs of a docstring up to its first section with an underlined heading."""
    kept = []
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        lines = paragraph.splitlines()
        if len(lines) > 1 and set(lines[1]) == {"-"}:
            break
        kept.append(paragraph)
    return _markdown("\n\n".join(kept))


def _markdown(text: str) -> str:
    """Docstring text as Markdown: single back quotes, and stars that are no emphasis outside of them."""
    parts = text.replace("``", "`").split("`")
    parts[::2] = [part.replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A Markdown table.

    Examples
    --------
    >>> print(table(["a", "b"], [["1", "x|y"]]), end="")
    | a | b |
    |---|---|
    | 1 | x\|y |
    """
    text = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    text += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(text) + "\n"


def _models(registry: Registry) -> str:
    parts = ["## Models, `model.name`\n"]
    for name in registry.names():
        builder = registry.get(name)
        parts.append(f"### `{name}`\n\n{prose(builder.__doc__)}\n")
        rows = [
            [f"`{key}`", info.allowed(), _default(info.default), info.unit.replace("*", "\\*"), _markdown(info.help)]
            for key, info in getattr(builder, "PARAMETERS", {}).items()
        ]
        if rows:
            parts.append(table(["parameter", "allowed", "default", "unit", "meaning"], rows))
    return "\n".join(parts)


def _boundaries(registry: Registry) -> str:
    parts = ["## Boundary conditions, `type`\n"]
    for name in registry.names():
        kind = registry.get(name)
        parts.append(f"### `{name}`\n\n{prose(kind.__doc__)}\n")
        rows = []
        for key, info in kind.keys.items():
            default = "required" if info.required else "chosen by the condition" if info.default is None else None
            least = f", at least {info.least:g}" if info.least > float("-inf") else ""
            allowed = ", ".join(map(_default, info.choices)) or f"{_KIND_WORDS[info.kind]}{least}"
            rows.append([f"`{key}`", allowed, default or _default(info.default), _markdown(info.help)])
        if rows:
            parts.append(table(["key", "allowed", "default", "meaning"], rows))
    return "\n".join(parts)


_KIND_WORDS = {
    "formula": "number, formula, or a list with one per component",
    "number": "number, or formula of numeric parameters",
    "whole": "whole number",
}


def _initial(registry: Registry) -> str:
    parts = ["## Initial conditions, `kind`\n"]
    for name in registry.names():
        kind = registry.get(name)
        keys = ", ".join(f"`{key}`" for key in getattr(kind, "KEYS", ()))
        parts.append(f"### `{name}`\n\n{prose(kind.__doc__)}\n\nKeys: {keys}.\n")
    return "\n".join(parts)


def _plain(heading: str, registry: Registry) -> str:
    rows = [[f"`{name}`", _markdown(text)] for name, text in describe(registry).items()]
    return f"## {heading}\n\n" + table(["name", "meaning"], rows)


def _default(value: Any) -> str:
    """A default as TOML."""
    return f"`{toml_value(list(value) if isinstance(value, tuple) else value)}`"
