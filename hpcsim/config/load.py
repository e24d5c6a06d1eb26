"""From a file or a dictionary to a checked `Config`, or to all faults at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpcsim.config.check import structure, together, written
from hpcsim.config.files import read_text
from hpcsim.config.overrides import apply_overrides
from hpcsim.config.problems import ConfigFileError, collect, dotted, explain
from hpcsim.config.schema import Config
from hpcsim.config.values import printable
from hpcsim.errors import ConfigError, Problem

_QUOTED = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*+"|\'[^\'\n]*+\'|#[^\n]*+', re.DOTALL)
_KEY_PATH = re.compile(r"[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++)*+")
_LONGEST_KEY_PATH = 16
_STAND_INS = {"lattice": {"shape": [1]}, "model": {}, "run": {}}
_TWICE = ("Cannot overwrite", "Cannot declare", "Cannot mutate")


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration file.

    Parameters
    ----------
    path : path
        TOML file in UTF-8, at most 1 MB.
    overrides : sequence of str
        Values set on the command line, ``"run.steps=10"``; they are checked like the file.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        With every fault found in the file and in the overrides.
    """
    file = os.fsdecode(path)
    source = printable(file, 300)
    return load_text(read_text(file), source, Path(file).absolute().parent, overrides)


def load_text(text: str, source: str, directory: Path, overrides: Sequence[str] = ()) -> Config:
    """Check a configuration given as TOML text.

    Parameters
    ----------
    text : str
        The TOML.
    source : str
        Words that begin the message of a refusal.
    directory : Path
        Where files named in the configuration lie.
    overrides : sequence of str
        As for `load`.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        With every fault found in the text and in the overrides.
    """
    document = parse_toml(text, source)
    merged, given, problems = apply_overrides(document, overrides)
    try:
        config = from_mapping(merged, where=source, directory=directory)
    except ConfigError as error:
        raise ConfigFileError(source, [*problems, *(_mark(problem, given) for problem in error.problems)]) from None
    if problems:
        raise ConfigFileError(source, problems)
    return config


def from_mapping(document: Mapping[str, Any], *, where: str = "configuration", directory: Path | None = None) -> Config:
    """Check a configuration given as nested dictionaries.

    Parameters
    ----------
    document : mapping
        Sections, keys and values as TOML would give them.
    where : str
        Words that begin the message of a refusal.
    directory : Path, optional
        Where files named in the configuration lie; without it they are not looked for.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        With every fault found.

    Examples
    --------
    >>> config = from_mapping({"lattice": {"shape": [64]}, "model": {"name": "diffusion"}, "run": {"steps": 10}})
    >>> config.lattice.upper
    (64.0,)
    """
    found = list(structure(document))
    if found:
        raise ConfigFileError(where, [Problem(dotted(path), message) for path, message in found])
    document = _plain(document)
    found = list(written(document))
    try:
        config = Config.model_validate(document)
        sections = {name: getattr(config, name) for name in Config.model_fields}
    except ValidationError as error:
        found += explain(error, Config, document)
        sections = _valid_sections(document, {str(e["loc"][0]) for e in error.errors() if e["loc"]})
    found += together(sections, directory)
    if found:
        raise ConfigFileError(where, collect(found, document))
    return config.located(directory)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """TOML text as dictionaries, with the line and its text in a refusal.

    Raises
    ------
    ConfigError
        If the text is not TOML, a key is given twice, or tables are nested too deeply.
    """
    deep = next((m for m in _KEY_PATH.finditer(_QUOTED.sub("q", text)) if m[0].count(".") > _LONGEST_KEY_PATH), None)
    if deep:
        message = f"the key {deep[0][:40]}... has more than {_LONGEST_KEY_PATH} dots"
        raise ConfigFileError(source, [Problem("", message)])
    try:
        return tomllib.loads(text)
    except RecursionError:
        message = "lists or tables are nested too deeply"
    except tomllib.TOMLDecodeError as error:
        message = _syntax(str(error), text)
    except ValueError as error:
        # Numbers with thousands of digits and dates that do not exist come as plain ValueError.
        message = f"a value cannot be read: {str(error).partition(';')[0]}"
    raise ConfigFileError(source, [Problem("", message)])


def _syntax(message: str, text: str) -> str:
    """The parser's words with the line itself, and plain words for a key that is given twice."""
    match = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    words = message[: match.start()] if match else message.replace(" (at end of document)", " at the end of the file")
    if words.startswith(_TWICE):
        words = "this key or table is given twice"
    if not match:
        return f"not valid TOML: {words}"
    lines = text.replace("\r\n", "\n").split("\n")
    number = int(match[1])
    line = lines[number - 1].strip() if number <= len(lines) else ""
    return f"line {number}, column {match[2]}: {words}: {printable(line)}"


def _plain(value: Any) -> Any:
    """A copy made of dictionaries and lists only, as a file would give it."""
    if isinstance(value, Mapping):
        return {name: _plain(below) for name, below in value.items()}
    return [_plain(below) for below in value] if isinstance(value, list | tuple) else value


def _valid_sections(document: Mapping[str, Any], faulty: set[str]) -> dict[str, Any]:
    """The sections without faults, so that they can be checked against each other all the same."""
    sound = {name: section for name, section in document.items() if name not in faulty}
    config = Config.model_validate({**_STAND_INS, **sound})
    return {name: getattr(config, name) for name in Config.model_fields if name not in faulty}


def marked(problems: Iterable[Problem], overrides: Sequence[str]) -> list[Problem]:
    """Problems found after the file was read; those of keys that were set on the command line say so."""
    given = apply_overrides({}, overrides)[1]
    return [_mark(problem, given) for problem in problems]


def _mark(problem: Problem, given: Mapping[tuple[str, ...], str]) -> Problem:
    """Say so where the value came from the command line."""
    for path in given:
        name = dotted(path)
        if problem.where == name or problem.where.startswith((name + ".", name + "[")):
            source = "the command line" if path[0] == "petsc" else "--set"
            return Problem(problem.where, f"{problem.message} (from {source})")
    return problem
