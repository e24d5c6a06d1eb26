"""Object files on disk: written once per key under a temporary name, checked by digest when read."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

_MAGIC = b"hpcsim object 1\n"


def cache_directory() -> Path:
    """Directory of compiled code: ``HPCSIM_CACHE_DIR``, else below the user's cache directory, else a private one.

    Returns
    -------
    Path
        A directory that exists, is writable and belongs to this user alone.
    """
    wanted = os.environ.get("HPCSIM_CACHE_DIR")
    user = os.environ.get("HOME", "")
    home = os.environ.get("XDG_CACHE_HOME") or (os.path.join(user, ".cache") if user else "")
    candidates = [Path(wanted)] if wanted else []
    candidates += [Path(home) / "hpcsim"] if home else []
    candidates.append(Path(tempfile.gettempdir()) / f"hpcsim-{os.getuid()}")
    for candidate in candidates:
        if _usable(candidate):
            return candidate
    return Path(tempfile.mkdtemp(prefix="hpcsim-"))


def _usable(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner = path.stat()
        # Machine code is loaded from here, so a directory that others can write to is not trusted.
        foreign = owner.st_uid != os.getuid() or bool(owner.st_mode & stat.S_IWOTH)
        return os.access(path, os.W_OK | os.X_OK) and not foreign
    except OSError:
        return False


def read_object(path: Path) -> tuple[str, bytes] | None:
    """Entry point and code kept in a file; None if there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    magic, digest, rest = content[: len(_MAGIC)], content[len(_MAGIC) : len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
    if magic != _MAGIC or hashlib.sha256(rest).digest() != digest:
        return None
    symbol, _, code = rest.partition(b"\n")
    return symbol.decode(), code


def write_object(path: Path, symbol: str, code: bytes) -> None:
    """Keep an object file; a disk that refuses it only costs the next process a compilation."""
    rest = symbol.encode() + b"\n" + code
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(rest).digest() + rest)
        os.replace(temporary, path)
    except OSError:
        return
