"""Amounts of memory: read strictly from text, written short, and asked of the system for this process."""

from __future__ import annotations

import math
import re
from pathlib import Path

from hpcsim.errors import ConfigError, unknown_name

UNITS = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)")
_ALLOWED = "write '8 GB', '512 MiB' or '1.5 TB'"
_LONGEST = 64
_MOST = 2**62
_STATUS = Path("/proc/self/status")


def parse_size(text: str) -> int:
    """Bytes of a size with its unit.

    Parameters
    ----------
    text : str
        A positive number and a unit of B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).

    Returns
    -------
    int
        Bytes, at least 1, rounded down.

    Raises
    ------
    ConfigError
        If the text is no such thing.

    Examples
    --------
    >>> parse_size("8 GB"), parse_size("1.5KiB")
    (8000000000, 1536)
    """
    given = text.strip()
    match = _SIZE.fullmatch(given) if len(given) <= _LONGEST and given.isascii() else None
    if match is None:
        raise ConfigError(f"'{given[:_LONGEST]}' is not a size; {_ALLOWED}")
    if match[2] not in UNITS:
        raise ConfigError(f"'{given}': {unknown_name('unit', match[2], UNITS)}")
    amount = float(match[1]) * UNITS[match[2]]
    if not 1.0 <= amount <= _MOST or not math.isfinite(amount):
        raise ConfigError(f"'{given}': the size must be from 1 B to {size_text(_MOST)}")
    return int(amount)


def size_text(nbytes: int) -> str:
    """Bytes with the unit that suits them, three digits, powers of 1000.

    Examples
    --------
    >>> size_text(8_000_000_000), size_text(1_073_741_824), size_text(999), size_text(999_999)
    ('8 GB', '1.07 GB', '999 B', '1 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        # Rounded to three digits first, so that no text shows 1000 of a unit.
        amount = float(f"{nbytes / UNITS[unit]:.3g}")
        if amount < 1000.0:
            return f"{amount:.3g} {unit}"
    return f"{nbytes / UNITS['TB']:.3g} TB"


def resident_bytes() -> int:
    """Memory of this process that is in use now (resident set), 0 where the system does not tell."""
    return _status("VmRSS:")


def peak_bytes() -> int:
    """The most that this process ever had resident, 0 where the system does not tell."""
    return _status("VmHWM:")


def _status(key: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(key)), 0)
