"""Command-line overrides ``section.key=value``, merged into the file before the check.

A value is TOML; what is no TOML value is text, also inside brackets, because shells take quotes away.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from hpcsim.config.problems import dotted
from hpcsim.config.toml import quoted, toml_value
from hpcsim.config.values import LONGEST_TEXT, shown
from hpcsim.errors import ConfigError, Problem

_PETSC_OPTION = re.compile(r"-[A-Za-z]")
MOST_OVERRIDES = 1000
_DEEPEST = 8


def apply_overrides(
    document: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[tuple[str, ...], str], list[Problem]]:
    """A copy of the document with the overrides in it.

    Parameters
    ----------
    document : mapping
        The file as parsed.
    overrides : sequence of str
        ``"run.steps=10"`` and the like; of two for one key the later one holds.

    Returns
    -------
    merged : dict
        The document with the new values.
    given : dict
        Path of each key that was set, with the text that set it.
    problems : list of Problem
        Overrides that could not be read or placed.
    """
    merged: dict[str, Any] = copy.deepcopy(dict(document))
    given: dict[tuple[str, ...], str] = {}
    problems: list[Problem] = []
    if len(overrides) > MOST_OVERRIDES:
        return merged, given, [Problem("--set", f"{len(overrides)} overrides; at most {MOST_OVERRIDES} are allowed")]
    for text in overrides:
        name, equals, value = text.partition("=")
        path = _path(name)
        if not equals or path is None or len(text) > LONGEST_TEXT + 200:
            problems.append(Problem("--set", f"expected section.key=value, got {shown(text)}"))
            continue
        obstacle = _place(merged, path, read_value(value))
        if obstacle:
            problems.append(Problem(dotted(path), f"{obstacle} (from --set)"))
        given[path] = text
    return merged, given, problems


def petsc_overrides(words: Sequence[str]) -> list[str]:
    """Overrides of the section ``[petsc]`` that say the same as a command line of PETSc.

    As there, a word that begins with a dash and a letter is an option, and a word after it that does not is its value.

    Parameters
    ----------
    words : sequence of str
        ``["-phi_ksp_type", "cg", "-ksp_monitor"]``.

    Returns
    -------
    list of str
        Entries for `apply_overrides`; values stay text, an option without one is the flag ``true``.

    Raises
    ------
    ConfigError
        If a word is no option and follows no option.

    Examples
    --------
    >>> petsc_overrides(["-phi_shift", "-1.5", "-ksp_monitor"])
    ['petsc.phi_shift="-1.5"', 'petsc.ksp_monitor=true']
    """
    given: dict[str, str] = {}
    option = ""
    for word in words:
        if _PETSC_OPTION.match(word):
            option = word[1:]
            given[option] = "true"
        elif option:
            given[option] = toml_value(word)
            option = ""
        else:
            raise ConfigError(f"after --: expected an option of PETSc such as -ksp_type, got {shown(word)}")
    return [f"petsc.{quoted(name)}={value}" for name, value in given.items()]


def read_value(text: str) -> Any:
    """The value of an override: TOML if it is TOML, else the text itself.

    Examples
    --------
    >>> read_value("[64, 32]"), read_value("rk4"), read_value("[E, B]")
    ([64, 32], 'rk4', ['E', 'B'])
    """
    text = text.strip()
    parsed = _toml(f"v = {text}")
    if parsed is not None and set(parsed) == {"v"}:
        return parsed["v"]
    # `"[E,B]"` arrives without its inner quotes from most shells.
    if text.startswith("[") and text.endswith("]") and not set("[]{}\"'") & set(text[1:-1]):
        return [read_value(item) for item in text[1:-1].split(",") if item.strip()]
    return text


def _path(name: str) -> tuple[str, ...] | None:
    """The keys of a dotted path: quoted as in TOML, or plainly split, as in ``initial.dt(E)``."""
    level: Any = _toml(f"{name} = 0") if name.count(".") < _DEEPEST and "=" not in name else None
    path: list[str] = []
    while isinstance(level, dict) and len(level) == 1:
        part, level = next(iter(level.items()))
        path.append(part)
    if level == 0 and path:
        return tuple(path)
    parts = tuple(part.strip() for part in name.split("."))
    return parts if all(parts) and len(parts) <= _DEEPEST else None


def _toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _place(document: dict[str, Any], path: tuple[str, ...], value: Any) -> str | None:
    """Set a value deep in the document; returns what is in the way, if anything."""
    level = document
    for n, part in enumerate(path[:-1]):
        below = level.setdefault(part, {})
        if not isinstance(below, dict):
            return f"{dotted(path[: n + 1])} is {shown(below)}, so '{path[n + 1]}' cannot be set in it"
        level = below
    level[path[-1]] = value
    return None
