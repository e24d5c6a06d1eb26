"""Turn what the validator found into sentences for people, in the order of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from hpcsim.config.toml import quoted
from hpcsim.config.tree import sections_at
from hpcsim.config.values import Section, printable, shown
from hpcsim.errors import ConfigError, Problem, nearest, unknown_name

MOST_SHOWN = 50
Path = tuple[str | int, ...]

_WANTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "text in quotes",
    "tuple": "a list in brackets",
    "list": "a list in brackets",
    "dict": "a table",
    "mapping": "a table",
    "model": "a table",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be larger than"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be less than"),
}


class ConfigFileError(ConfigError):
    """A configuration with faults; the text begins with where it came from and how many there are.

    Parameters
    ----------
    source : str
        File name, or words for a configuration from elsewhere.
    problems : sequence of Problem
        All faults in the order of the file.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        super().__init__(list(problems))
        self.source = source
        self.args = (source, tuple(problems))

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.source}: {count} fault{'' if count == 1 else 's'}"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


def dotted(path: Path) -> str:
    """A path as a person writes it.

    Examples
    --------
    >>> dotted(("lattice", "shape", 1)), dotted(("initial", "dt(u)"))
    ('lattice.shape[1]', 'initial."dt(u)"')
    """
    text = ""
    for element in path:
        part = f"[{element}]" if isinstance(element, int) else f".{quoted(printable(element))}"
        text += part
    return text.lstrip(".")


def explain(error: ValidationError, root: type[Section], document: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Path and message of every fault the validator found; defaults that could not be made are no faults."""
    faults = [e for e in error.errors(include_url=False) if not _by_product(e)]
    order = Order(document)
    located = sorted(((_written(e["loc"], document), e) for e in faults), key=lambda f: order(f[0]))
    # Suggestions cost time for each fault, so only those that will be shown are worded.
    return [
        (path, _sentence(e, root) if n <= MOST_SHOWN else "more of the kind") for n, (path, e) in enumerate(located)
    ]


def _by_product(error: Any) -> bool:
    """Whether an error only follows from another: a default that needs a faulty key, a list short of valid entries."""
    if error["type"] == "too_short":
        return len(error["input"]) >= int(error["ctx"]["min_length"])
    return bool(error["type"] == "default_factory_not_called")


def collect(found: Sequence[tuple[Path, str]], document: Mapping[str, Any]) -> list[Problem]:
    """Problems in the order of the file, each once, with a count in place of those beyond the first 50."""
    order = Order(document)
    ordered = sorted(found, key=lambda f: order(f[0]))
    problems = list(dict.fromkeys(Problem(dotted(path), message) for path, message in ordered))
    if len(problems) > MOST_SHOWN:
        more = Problem("", f"... and {len(problems) - MOST_SHOWN} more faults")
        problems = [*problems[:MOST_SHOWN], more]
    return problems


class Order:
    """Where each path lies in the order of the file; a missing key comes last in its table."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._first: dict[Path, int] = {}
        self._last: dict[Path, int] = {}
        self._count = 0
        self._visit((), document)

    def _visit(self, path: Path, value: Any) -> None:
        self._first[path] = self._count
        self._count += 1
        if isinstance(value, Mapping | list | tuple):
            for name, below in value.items() if isinstance(value, Mapping) else enumerate(value):
                self._visit((*path, name), below)
        self._last[path] = self._count

    def __call__(self, path: Path) -> int:
        if path in self._first:
            return self._first[path]
        while path not in self._last:
            path = path[:-1]
        return self._last[path]


def _written(location: tuple[str | int, ...], document: Mapping[str, Any]) -> Path:
    """The part of a location that stands in the file: tags and levels of short forms are taken out."""
    path: list[str | int] = []
    level: Any = document
    for n, element in enumerate(location):
        known = isinstance(level, Mapping) and element in level
        known |= isinstance(level, list | tuple) and isinstance(element, int) and element < len(level)
        if known:
            path.append(element)
            level = level[element]
        elif isinstance(element, str) and element.startswith("=") or element == "[key]":
            continue
        elif isinstance(element, int) and isinstance(level, Mapping):
            # One table stands for both ends of an axis.
            continue
        elif n == len(location) - 1 and isinstance(level, Mapping) and isinstance(element, str):
            path.append(element)
        else:
            break
    return tuple(path)


def _sentence(error: Any, root: type[Section]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    path = error["loc"]
    if kind == "hpcsim":
        return str(context["message"])
    if kind == "extra_forbidden" or kind == "model_type" and _stray(root, path):
        return _unknown_key(root, path)
    if kind == "missing":
        return _missing(root, path, given)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context[name]!r}, got {shown(given)}"
    if kind == "literal_error":
        return _unknown_choice(given, context["expected"])
    if kind == "finite_number":
        return f"expected a finite number, got {given}"
    if kind in ("too_short", "too_long"):
        limit = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        return f"expected {limit} entries, got {shown(given)}"
    wanted = _WANTED.get(kind.removesuffix("_type").removesuffix("_parsing"))
    return f"expected {wanted}, got {shown(given)}" if wanted else f"{error['msg']}, got {shown(given)}"


def _stray(root: type[Section], path: Path) -> bool:
    """Whether a value that is no table has an unknown name, in a section that knows only tables under such names."""
    return any(section.below() and path[-1] not in section.model_fields for section in sections_at(root, path[:-1]))


def _unknown_key(root: type[Section], path: Path) -> str:
    """The nearest key of the same table, or the section where a key of that name belongs."""
    name = str(path[-1])
    choices = sorted({key for section in sections_at(root, path[:-1]) for key in section.model_fields})
    homes = [
        f"{top}.{name}"
        for top, field in root.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, Section)
        and name in field.annotation.model_fields
    ]
    if homes:
        return f"unknown key '{name}' here; did you mean {' or '.join(homes)}? Known: {', '.join(choices)}"
    return unknown_name("key", printable(name), choices)


def _missing(root: type[Section], path: Path, given: Any) -> str:
    names = [name for name in given if isinstance(name, str)] if isinstance(given, Mapping) else []
    near = nearest(str(path[-1]), names)
    hint = f"; is '{printable(near[0])}' meant for it?" if near else "."
    for section in sections_at(root, path[:-1]):
        if path[-1] in section.model_fields:
            return f"required, but missing{hint} {section.model_fields[str(path[-1])].description}"
    return f"required, but missing{hint}".rstrip(".")


def _unknown_choice(given: Any, expected: str) -> str:
    if not isinstance(given, str):
        return f"expected one of {expected}, got {shown(given)}"
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ",").split(",")]
    return unknown_name("choice", printable(given), choices)
