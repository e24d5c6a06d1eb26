"""Write plain data as TOML: sections as ``[a.b]`` tables, what lies deeper as inline tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_toml(document: Mapping[str, Any]) -> str:
    """TOML text of nested mappings of numbers, flags, texts and lists; empty tables are left out.

    Examples
    --------
    >>> print(write_toml({"run": {"dt": 1e-07, "seed": 3}, "model": {"parameters": {"c": [1, "x"]}}}), end="")
    [run]
    dt = 1e-07
    seed = 3
    <BLANKLINE>
    [model.parameters]
    c = [1, "x"]
    """
    blocks: list[str] = []
    for name, section in document.items():
        scalars = {k: v for k, v in section.items() if not isinstance(v, Mapping) or _short(v)}
        if scalars:
            blocks.append(_block(quoted(name), scalars))
        blocks += [_block(f"{quoted(name)}.{quoted(k)}", v) for k, v in section.items() if v and k not in scalars]
    return "\n".join(blocks)


def quoted(name: str) -> str:
    """A key as TOML writes it: bare if it can be.

    Examples
    --------
    >>> quoted("u"), quoted("dt(u)")
    ('u', '"dt(u)"')
    """
    return name if _BARE.fullmatch(name) else _string(name)


def _short(table: Mapping[str, Any]) -> bool:
    """Whether a table reads better inside braces: one condition or one kind of initial data."""
    return "type" in table or "kind" in table


def _block(header: str, table: Mapping[str, Any]) -> str:
    lines = [f"[{header}]", *(f"{quoted(k)} = {toml_value(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """A number, flag, text, list or table as TOML writes it in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{quoted(k)} = {toml_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return "[" + ", ".join(toml_value(v) for v in value) + "]"


def _string(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04X}" if c < " " or c == "\x7f" else c) for c in text) + '"'
