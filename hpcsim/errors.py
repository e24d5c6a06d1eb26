"""The exception tree: every error hpcsim raises on purpose, each with its process exit code.

The exit codes are part of the interface (job scripts read them): 0 finished, 75 stopped early (requeue),
2 configuration, 3 launch, 4 no good checkpoint, 5 blow-up, 6 disk, 7 no convergence, 86 watchdog, 70 internal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class HpcsimError(Exception):
    """Base of all errors raised on purpose; the command line prints the message without a traceback."""

    exit_code = 70


@dataclass(frozen=True)
class Problem:
    """One fault found in a configuration.

    Attributes
    ----------
    where : str
        Dotted path of the key, e.g. ``lattice.shape``.
    message : str
        What was given, what is allowed and, where there is one, the nearest valid name.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(HpcsimError):
    """A configuration, an equation or a layout that cannot work; lists every fault found.

    Parameters
    ----------
    problems : sequence of Problem or str
        All faults, in the order of the file.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem | str] | str) -> None:
        faults = [problems] if isinstance(problems, str) else list(problems)
        self.problems = tuple(p if isinstance(p, Problem) else Problem("", p) for p in faults)
        super().__init__("\n".join(str(p) for p in self.problems))


class FormulaError(ConfigError):
    """A formula that the allow-list parser refuses, or that has no meaning for the declared names."""


class LayoutError(ConfigError):
    """A decomposition that cannot work: the message has the numbers and the block size that would."""


class LaunchError(HpcsimError):
    """The processes were started in a way that cannot be what was meant (singletons, binding, threads)."""

    exit_code = 3


class RankDisagreement(LaunchError):
    """Ranks of one job hold different configurations, sources or step sizes."""


class NoCheckpointError(HpcsimError):
    """No checkpoint of the run can be trusted."""

    exit_code = 4


class BlowUpError(HpcsimError):
    """A field holds NaN or Inf, or a step size fell below its limit."""

    exit_code = 5


class DiskError(HpcsimError):
    """An output could not be written: no space, no permission, or the directory is in use."""

    exit_code = 6


class ConvergenceError(HpcsimError):
    """A linear or nonlinear solver did not reach its tolerance; the message has the reason, history and advice."""

    exit_code = 7


class MemoryBudgetError(HpcsimError):
    """Memory was asked for that the budget of the run, or the system, has no room for."""

    exit_code = 2


class LeaseError(HpcsimError):
    """A lease of memory was returned twice, or used after its return."""


class MessageError(HpcsimError):
    """A ghost message arrived altered (found only with ``run.check_messages``)."""


def nearest(name: str, choices: Iterable[str], count: int = 1) -> list[str]:
    """Valid names closest to a misspelt one; small and capital letters count as equal.

    Examples
    --------
    >>> nearest("laplacain", ["laplacian", "grad"]), nearest("d", ["D", "decay"])
    (['laplacian'], ['D'])
    """
    known = list(choices)
    same = [choice for choice in known if choice.casefold() == name.casefold()]
    return same[:count] or difflib.get_close_matches(name, known, n=count, cutoff=0.6)


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> str:
    """Sentence for a name that does not exist: the nearest valid one and the list of all.

    Examples
    --------
    >>> unknown_name("model", "difusion", ["diffusion", "advection"])
    "unknown model 'difusion'; did you mean 'diffusion'? Known: advection, diffusion"
    """
    known = sorted(choices)
    near = nearest(name, known)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown {kind} '{name}'{hint} Known: {', '.join(known) if known else 'none'}"
