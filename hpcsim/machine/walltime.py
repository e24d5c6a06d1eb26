"""How long the job may still run: the limit of the command line, or the end of the SLURM job."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping

from hpcsim.errors import ConfigError
from hpcsim.output.queue import job_seconds_left

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)\s*(s|min|h|d)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d{1,3}):(\d{2}):(\d{2})")
_ALLOWED = "write '3600', '90 min', '2 h' or '1-12:00:00'"


def parse_walltime(text: str) -> float:
    """Seconds of a wall time.

    Parameters
    ----------
    text : str
        A number of seconds, an amount with one of the units s, min, h, d, or SLURM's ``days-hours:minutes:seconds``.

    Raises
    ------
    ConfigError
        If the text is no positive time.

    Examples
    --------
    >>> parse_walltime("90 min"), parse_walltime("1-00:00:30"), parse_walltime("60")
    (5400.0, 86430.0, 60.0)
    """
    given = text.strip()
    seconds = 0.0
    if match := _AMOUNT.fullmatch(given):
        seconds = float(match[1]) * _UNITS[match[2] or "s"]
    elif match := _CLOCK.fullmatch(given):
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    if not 0.0 < seconds < math.inf:
        raise ConfigError(f"--walltime: '{given}' is no time; {_ALLOWED}")
    return seconds


def time_limit(
    walltime: float | None,
    began: float,
    environment: Mapping[str, str],
    ask: Callable[[str], float | None] = job_seconds_left,
) -> Callable[[], float]:
    """Seconds left until the job must have ended, as a function; for the rank that decides.

    Parameters
    ----------
    walltime : float or None
        Limit of the command line in seconds from ``began`` on; it comes before what SLURM says.
    began : float
        Reading of the monotone clock when the process began.
    environment : mapping of str to str
        ``SLURM_JOB_END_TIME`` (seconds since 1970), or ``SLURM_JOB_ID`` to ask the queue with.
    ask : callable
        Job id to the seconds that the queue still gives it, None if unknown.

    Examples
    --------
    >>> left = time_limit(None, 0.0, {})
    >>> left()
    inf
    """
    if walltime is not None:
        end = began + walltime
        return lambda: end - time.monotonic()
    # The wall clock is read once: from then on the monotone one counts, which nothing sets back.
    given = environment.get("SLURM_JOB_END_TIME", "")
    left = float(given) - time.time() if given.isdecimal() else None
    job = environment.get("SLURM_JOB_ID", "")
    if left is None and job:
        left = ask(job)
    if left is None:
        return lambda: math.inf
    end = time.monotonic() + left
    return lambda: end - time.monotonic()
