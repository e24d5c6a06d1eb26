"""Collects the faults of a check that goes on after the first one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, Problem, unknown_name

T = TypeVar("T")


class Faults:
    """A list of problems that grows while parts of a case are checked.

    Examples
    --------
    >>> faults = Faults()
    >>> faults.collect(lambda: 1 + 1, "sum")
    2
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def collect(self, part: Callable[[], T], where: str) -> T | None:
        """Result of a part of the check, or None if it has faults; these are kept, with `where` if they name none."""
        try:
            return part()
        except ConfigError as error:
            self.problems += [Problem(p.where or where, p.message) for p in error.problems]
            return None

    def unknown(self, kind: str, name: str, known: Iterable[str], where: str) -> None:
        """Keep the fault of a name that does not exist."""
        self.problems.append(Problem(where, unknown_name(kind, name, known)))

    def report(self) -> None:
        """Raise what was found.

        Raises
        ------
        ConfigError
            If there are problems; each is listed once.
        """
        if self.problems:
            raise self.error()

    def error(self) -> ConfigError:
        """The error of what was found, each problem once."""
        return ConfigError(list(dict.fromkeys(self.problems)))


def report_together(context: Context, problems: Sequence[Problem]) -> None:
    """Raise what any rank found, on every rank alike; collective.

    Raises
    ------
    ConfigError
        If a rank has problems: for each key what the lowest such rank says, for others find the same at other sites.
    """
    if context.agree(not problems):
        return
    first: dict[str, Problem] = {}
    for text in context.texts(json.dumps([(p.where, p.message) for p in problems])):
        for where, message in json.loads(text):
            first.setdefault(where, Problem(where, message))
    raise ConfigError(list(first.values()))
