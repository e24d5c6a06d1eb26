"""Compiled loops of multigrid: from the machine code on disk for one thread, through Numba's pool for several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpcsim.kernels.cache import discard, load_module
from hpcsim.native.function import native_source
from hpcsim.solvers.multigrid.source import Form, multigrid_source

_TABLES = ("int64[2]", "int64[2]", "int64[2]", "int64[2]", "int64[1]", "int64[1]")
_COUNTS = ("int64", "int64", "int64")


def run_forms(dtype: str) -> tuple[str, ...]:
    """Types of the arguments of ``run``."""
    values = f"{dtype}[1]"
    pools = (values,) * 7
    natural = ("float64[1]",) * 4
    return (*_COUNTS, *_TABLES, values, "float64[1]", *pools, values, values, *natural, values, *("float64[1]",) * 2)


def move_forms(dtype: str) -> tuple[str, ...]:
    """Types of the arguments of ``move_runs``."""
    values = f"{dtype}[1]"
    return (values, "int64[2]", values, values, "int64")


def load_run(form: Form) -> Callable[..., None]:
    """The interpreter of programs, ``run(begin, end, parts, ...)``."""
    source = multigrid_source(form)
    if not form.parallel:
        return native_source(source, "run", run_forms(form.dtype))
    return _threaded(source, run_forms(form.dtype))


def load_move(form: Form) -> Callable[..., None]:
    """The packing of messages, ``move_runs(message, runs, A, B, pack)``."""
    return native_source(multigrid_source(form), "move_runs", move_forms(form.dtype))


def _threaded(source: str, forms: tuple[str, ...]) -> Callable[..., None]:
    """The kernel for several threads; Numba brings their pool and keeps its own cache."""
    from numba.core.errors import NumbaError

    module = load_module(source)
    try:
        return _specialise(module, forms)
    except NumbaError:
        raise
    except Exception:
        # A damaged entry of the cache can raise anything while it is unpickled: forget it and compile again.
        discard(module.run)
    try:
        return _specialise(load_module(source), forms)
    except (OSError, RuntimeError):
        # Machine code cannot be written here.
        return _specialise(load_module(source), forms, cached=False)


def _specialise(module: Any, forms: tuple[str, ...], cached: bool = True) -> Callable[..., None]:
    from numba import types

    def argument(form: str) -> Any:
        name, _, axes = form.partition("[")
        value = getattr(types, name)
        return types.Array(value, int(axes[:-1]), "C") if axes else value

    if cached:
        module.run.enable_caching()
    module.run.compile(tuple(argument(form) for form in forms))
    run: Callable[..., None] = module.run
    return run
