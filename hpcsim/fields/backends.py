"""Choice between the compiled kernels of this room and their NumPy reference; both give the same bits."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from hpcsim.errors import ConfigError, unknown_name

BACKENDS = ("auto", "numba", "numpy")


def compiled_kernels(backend: str) -> ModuleType | None:
    """The module of compiled kernels, or None where the NumPy reference is to be used.

    Parameters
    ----------
    backend : {"auto", "numba", "numpy"}
        ``auto`` takes the compiled kernels where numba is installed.

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    if backend not in BACKENDS:
        raise ConfigError(unknown_name("backend", backend, BACKENDS))
    if backend == "numpy" or (backend == "auto" and find_spec("numba") is None):
        return None
    return import_module("hpcsim.fields.compiled")
