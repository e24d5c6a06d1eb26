"""Generated modules for launches on several threads: written once per source, loaded by every later process.

The file name is the digest of the source text, the versions of Python, NumPy and Numba, and the processor; Numba keeps
its machine code beside the module and checks the processor again. What runs is always the text that was generated,
never what a file holds; a file that differs is written anew. A directory that cannot be written is replaced by a
private temporary one, and where no file can be written at all the module lives in memory only.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcsim.native.store import cache_directory

_VERSION = "1"


def source_digest(source: str) -> str:
    """Key of a generated module: source, versions and processor."""
    import numba
    import numpy

    parts = (_VERSION, source, platform.python_version(), numpy.__version__, numba.__version__, platform.machine())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def load_module(source: str, directory: Path | None = None) -> ModuleType:
    """Import a generated module through the cache.

    Parameters
    ----------
    source : str
        Text of the module.
    directory : Path, optional
        Where to keep it; by default `cache_directory`.

    Returns
    -------
    module
        The imported module; its jitted functions load their machine code from disk if it is there.
    """
    digest = source_digest(source)
    path = _place(source, digest, directory)
    return _executed(source, path, f"hpcsim_kernel_{digest[:16]}")


def _place(source: str, digest: str, directory: Path | None) -> str:
    """File that holds the source, or a name that is no file where none can be written."""
    for make in (lambda: directory or cache_directory(), lambda: Path(tempfile.mkdtemp(prefix="hpcsim-"))):
        try:
            path = make() / digest[:2] / digest / "kernel.py"
            if not _holds(path, source):
                _write(path, source)
            return str(path)
        except OSError:
            continue
    return "<generated kernel>"


def discard(function: Any) -> None:
    """Remove what the cache holds of the module of a jitted function, so that it is compiled afresh."""
    place = function.stats.cache_path
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)


def _holds(path: Path, source: str) -> bool:
    try:
        return path.read_text() == source
    except (OSError, UnicodeDecodeError):
        return False


def _write(path: Path, source: str) -> None:
    """Write under a temporary name and rename, so that no reader ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".py")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(source)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _executed(source: str, path: str, name: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module
