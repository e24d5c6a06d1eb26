"""When something happens: every so many steps, every so much simulated time, every so much wall time, or at the end.

An event in simulated time fires at the first step with ``t >= due - dt/2``, where ``due = start + k*interval``. The
step size is never bent to hit an event, so a run that is extended stays bitwise the longer run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpcsim.errors import ConfigError, unknown_name

NEVER = 2**62
"""Number of steps that stands for "not before the end"."""

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_UNITS = ("step", "steps", *_SECONDS)
_ALLOWED = "write '20 steps', 't=0.5', '10 s', '30 min', '2 h' or 'end'"
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TIME = re.compile(rf"t\s*=\s*({_NUMBER})")
_AMOUNT = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)")
_LONGEST = 100


@dataclass(frozen=True)
class When:
    """A parsed schedule text.

    Attributes
    ----------
    kind : {"steps", "time", "wall", "end"}
        What is counted.
    amount : int or float
        The interval in steps, units of simulated time or seconds of wall time; 0 for ``end``.
    text : str
        The canonical text.
    """

    kind: str
    amount: int | float
    text: str

    def __str__(self) -> str:
        return self.text


def parse_when(text: str) -> When:
    """Read a schedule text.

    Parameters
    ----------
    text : str
        ``"20 steps"``, ``"t=0.5"``, ``"10 s"``, ``"30 min"``, ``"2 h"`` or ``"end"``.

    Returns
    -------
    When

    Raises
    ------
    ConfigError
        If the text has no meaning, an unknown unit, or an amount that is not positive and finite.

    Examples
    --------
    >>> parse_when("30 min")
    When(kind='wall', amount=1800.0, text='30 min')
    >>> str(parse_when("t = 0.50"))
    't=0.5'
    """
    if not isinstance(text, str) or len(text) > _LONGEST or not text.isascii():
        raise ConfigError(f"{str(text)[:40]!r} is not a schedule; {_ALLOWED}")
    given = text.strip()
    if given == "end":
        return When("end", 0, "end")
    if match := _TIME.fullmatch(given):
        interval = _positive(match[1], given)
        return When("time", interval, f"t={interval!r}")
    if match := _AMOUNT.fullmatch(given):
        return _counted(match[1], match[2], given)
    raise ConfigError(f"'{given}' is not a schedule; {_ALLOWED}")


def _counted(number: str, unit: str, given: str) -> When:
    if unit not in _UNITS:
        raise ConfigError(f"'{given}': {unknown_name('unit', unit, _UNITS)}; simulated time is written 't=0.5'")
    amount = _positive(number, given)
    if unit in _SECONDS:
        _positive(str(amount * _SECONDS[unit]), given)
        return When("wall", amount * _SECONDS[unit], f"{number} {unit}")
    if amount != int(amount) or amount >= NEVER:
        raise ConfigError(f"'{given}': the number of steps must be a whole number from 1 to {NEVER - 1}")
    count = int(number) if number.isdecimal() else int(amount)
    return When("steps", count, f"{count} step" + ("" if count == 1 else "s"))


def _positive(number: str, given: str) -> float:
    amount = float(number)
    if not 0.0 < amount < math.inf:
        raise ConfigError(f"'{given}': the interval must be positive and finite; {_ALLOWED}")
    return amount


def first_step_at(due: float, start: float, dt: float) -> int:
    """Number of the first step, counted from time ``start``, with ``start + step*dt >= due - dt/2``; 0 if it is past.

    Examples
    --------
    >>> first_step_at(1.0, 0.0, 0.25), first_step_at(0.875, 0.0, 0.25), first_step_at(0.9, 0.0, 0.25)
    (4, 3, 4)
    """
    step = max(0, math.ceil((due - start) / dt - 0.5))
    # The division may round across the boundary; the comparison is what counts.
    while start + step * dt < due - 0.5 * dt:
        step += 1
    while step > 0 and start + (step - 1) * dt >= due - 0.5 * dt:
        step -= 1
    return step


class Schedule:
    """Decides at each step whether an event fires, and remembers which events have fired.

    An interval shorter than a step fires once a step; events that were passed over are not made up for.

    Parameters
    ----------
    when : When or str
        The interval.
    start_time : float
        Simulated time from which ``t=...`` intervals are counted.
    first : bool
        Whether the event also fires at step 0 (or at the first call, for wall time).

    Examples
    --------
    >>> schedule = Schedule("t=0.25")
    >>> [step for step in range(1, 11) if schedule.due(step, 0.1 * step, 0.1)]
    [2, 5, 7, 10]
    """

    def __init__(self, when: When | str, start_time: float = 0.0, *, first: bool = False) -> None:
        self.when = parse_when(when) if isinstance(when, str) else when
        self.start_time = float(start_time)
        self._next = 0 if first else 1
        self._fired_at = -1
        self._wall_due = 0.0 if first else float(self.when.amount)

    def due(self, step: int, t: float, dt: float, wall_s: float = 0.0, *, last: bool = False) -> bool:
        """Whether the event fires after this step; asking counts as firing, so it is asked once a step.

        Parameters
        ----------
        step : int
            Steps done since the start of the simulation.
        t : float
            Simulated time after the step.
        dt : float
            Step size.
        wall_s : float
            Seconds since this process group started the run; must be the same number on all ranks.
        last : bool
            True at the last step of the run, the only one at which ``end`` fires.

        Returns
        -------
        bool
        """
        if step == self._fired_at or not self._reached(step, t, dt, wall_s, last):
            return False
        self._fired_at = step
        self._advance(step, t, dt, wall_s)
        return True

    def next_step_hint(self, step: int, t: float, dt: float) -> int:
        """Steps, at least 1, during which nothing fires before the last of them.

        The number is never too large; rounding may make it one too small. Wall time gives 1, ``end`` gives ``NEVER``.

        Examples
        --------
        >>> Schedule("20 steps").next_step_hint(3, 0.3, 0.1)
        17
        """
        if self.when.kind == "end":
            return NEVER
        if self.when.kind == "wall":
            return 1
        if self.when.kind == "steps":
            return max(1, self._next * int(self.when.amount) - step)
        if not 0.0 < dt < math.inf:
            return 1
        # The slack covers the rounding of t + n*dt against start + n*dt: a hint too small only costs a question.
        slack = 1e-15 * (abs(t) + abs(self._due_time) + dt) / dt
        count = (self._due_time - 0.5 * dt - t) / dt - slack
        return max(1, math.ceil(count)) if count < NEVER else NEVER

    def state(self) -> dict[str, Any]:
        """What a restart needs: plain text and integers.

        Wall time is not part of it: a restarted process counts its own seconds from zero.
        """
        return {"when": self.when.text, "next": self._next, "fired_at": self._fired_at}

    def restore(self, state: Mapping[str, Any], step: int, t: float, dt: float) -> None:
        """Take up the state of an earlier process at the step where it was saved.

        If the interval was changed in between, counting goes on from ``step`` and ``t`` with the new interval.
        """
        self._fired_at = int(state["fired_at"])
        if state["when"] == self.when.text:
            self._next = int(state["next"])
        else:
            self._next = max(self._next, self._passed(step, t, dt) + 1)

    @property
    def _due_time(self) -> float:
        return self.start_time + self._next * float(self.when.amount)

    def _reached(self, step: int, t: float, dt: float, wall_s: float, last: bool) -> bool:
        if self.when.kind == "steps":
            return step >= self._next * int(self.when.amount)
        if self.when.kind == "time":
            return t >= self._due_time - 0.5 * dt
        return last if self.when.kind == "end" else wall_s >= self._wall_due

    def _passed(self, step: int, t: float, dt: float) -> int:
        """Largest k whose event lies at or before this step."""
        if self.when.kind == "steps":
            return step // int(self.when.amount)
        if self.when.kind != "time":
            return 0
        # Rounding here can only matter for several events in one step, of which one fires in any case.
        count = (t + 0.5 * dt - self.start_time) / float(self.when.amount)
        return math.floor(min(count, float(NEVER)))

    def _advance(self, step: int, t: float, dt: float, wall_s: float) -> None:
        if self.when.kind == "wall":
            self._wall_due = wall_s + float(self.when.amount)
        elif self.when.kind != "end":
            self._next = max(self._next, self._passed(step, t, dt)) + 1
