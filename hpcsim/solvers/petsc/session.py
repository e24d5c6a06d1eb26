"""PETSc and its options for all solvers of a run, started when the first of them needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpcsim.solvers.petsc.options import OptionBook, flatten

if TYPE_CHECKING:
    from hpcsim.comm.context import Context
    from hpcsim.solvers.petsc.library import Library


class Session:
    """What the solvers of a run share.

    Parameters
    ----------
    context : Context
        The ranks.
    options : mapping
        The section ``[petsc]``.
    solvers : sequence of str
        Names of all solvers of the run: the prefixes that options may have.
    """

    def __init__(self, context: Context, options: Mapping[str, Any], solvers: Sequence[str]) -> None:
        self._context, self._options, self._solvers = context, dict(options), tuple(solvers)

    def mentions(self, solver: str) -> tuple[str, ...]:
        """Options that are meant for a solver: those with its prefix, and those without any."""
        others = tuple(f"{name}_" for name in self._solvers if name != solver)
        names = [name for name, _ in flatten(self._options)]
        return tuple(name for name in names if name.startswith(f"{solver}_") or not name.startswith(others))

    @property
    def alone(self) -> bool:
        """Whether the run has one solver only."""
        return len(self._solvers) == 1

    @cached_property
    def library(self) -> Library:
        """PETSc; collective at first use.

        Raises
        ------
        ConfigError
            If petsc4py is not installed; the message says how to get it.
        """
        from hpcsim.solvers.petsc.library import Library

        return Library(self._context)

    @cached_property
    def book(self) -> OptionBook:
        """The options, dealt out by prefix; it knows which were used."""
        return OptionBook(flatten(self._options), self._solvers)
