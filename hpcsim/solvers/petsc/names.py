"""Names of the options that PETSc knows, read from the library itself."""

from __future__ import annotations

import re
from pathlib import Path

Usage = dict[str, bool]
"""Options and whether each was used."""

# The library holds the name of every option as a text of its own.
_OPTION = re.compile(rb"\x00-([a-z][a-z0-9_]{2,60})(?=\x00)")
_NESTED = re.compile(
    r"(?:mg_levels_(?:\d+_)?|mg_coarse_|mg_fine_|gamg_est_|sub_|redundant_|esteig_|telescope_|fieldsplit_[A-Za-z0-9]+_)*"
)
_MAPS = Path("/proc/self/maps")


def split_nested(key: str) -> tuple[str, str]:
    """Prefix of an inner solver, and the rest.

    Examples
    --------
    >>> split_nested("mg_levels_1_sub_pc_type"), split_nested("ksp_rtol")
    (('mg_levels_1_sub_', 'pc_type'), ('', 'ksp_rtol'))
    """
    found = _NESTED.match(key)
    length = found.end() if found is not None else 0
    return key[:length], key[length:]


def known_names(maps: Path = _MAPS) -> frozenset[str]:
    """Options without dash and prefix, from the PETSc library in the memory of this process; none if it is not found.

    Parameters
    ----------
    maps : Path
        List of the files that are mapped.
    """
    names: set[str] = set()
    for path in _library_files(maps):
        try:
            names |= {match.decode() for match in _OPTION.findall(path.read_bytes())}
        except OSError:
            continue
    return frozenset(names)


def _library_files(maps: Path) -> list[Path]:
    """Files of the library; empty where the system has no list of them."""
    try:
        lines = maps.read_text().splitlines()
    except OSError:
        return []
    found = {line.split(maxsplit=5)[-1] for line in lines if "libpetsc" in line}
    return [Path(name) for name in sorted(found)]
