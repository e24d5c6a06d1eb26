"""Compiles a function with Numba and hands out its object file; the only module of this room that imports Numba."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hpcsim.native.load import UNREACHED
from hpcsim.native.signature import Argument, entry_source


def build_object(function: Callable[..., Any], arguments: Sequence[Argument]) -> tuple[str, bytes]:
    """Compile a jitted function for given argument types.

    Parameters
    ----------
    function : callable
        A function, jitted or not; it returns nothing and writes its results into array arguments.
    arguments : sequence of Argument
        Their types.

    Returns
    -------
    symbol : str
        Name of the C entry point.
    code : bytes
        Relocatable object file.

    Raises
    ------
    ValueError
        If the function needs Numba's runtime (it allocates), which is not there when the object is loaded.
    """
    import numba
    from numba import types
    from numpy.lib.stride_tricks import as_strided

    signature = []
    for argument in arguments:
        value = getattr(types, argument.dtype)
        counts = [types.int64] * (argument.ndim * (2 if argument.strided else 1))
        signature += [types.CPointer(value), *counts] if argument.ndim else [value]
    if not hasattr(function, "py_func"):
        function = numba.njit(nogil=True, error_model="numpy")(function)
    make_array: Any = numba.carray  # type: ignore[attr-defined]
    names: dict[str, Any] = {"target": function, "carray": make_array, "as_strided": as_strided}
    exec(entry_source("target", arguments), names)  # noqa: S102 (the text is made of argument positions alone)
    make_entry: Any = numba.cfunc(types.void(*signature), error_model="numpy")
    compiled = make_entry(names["entry"])
    runtime = [f.name for f in compiled._library._final_module.functions if f.is_declaration]
    foreign = [name for name in runtime if name.startswith(("NRT_", "numba_")) and name not in UNREACHED]
    if foreign:
        raise ValueError(f"{function.__name__} needs {', '.join(foreign)}: a stored function must not allocate memory")
    return compiled._wrapper_name, bytes(compiled._library._get_compiled_object())
