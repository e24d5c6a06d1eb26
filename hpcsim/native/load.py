"""Links an object file into this process with LLVM's loader."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from hpcsim.native.signature import Argument, Flattener

# Parts of Numba's runtime that only its error paths call. Compiled loops raise nothing, so these are never reached;
# if one ever were, the process ends instead of going on with wrong data.
UNREACHED = (
    "NRT_Free",
    "NRT_MemInfo_call_dtor",
    "NRT_decref",
    "NRT_incref",
    "numba_do_raise",
    "numba_gil_ensure",
    "numba_gil_release",
    "numba_runtime_build_excinfo_struct",
    "numba_unpickle",
)


@cache
def _llvm() -> Any:
    """LLVM's bindings, ready for this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    end = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for name in UNREACHED:
        if llvm.address_of_symbol(name) is None:
            llvm.add_symbol(name, end)
    return llvm


def processor() -> str:
    """Name and features of this processor, as LLVM sees them."""
    llvm = _llvm()
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def link(symbol: str, code: bytes, arguments: Sequence[Argument]) -> Callable[..., None]:
    """Make an entry point of an object file callable.

    Parameters
    ----------
    symbol : str
        Name of the entry point.
    code : bytes
        Object file.
    arguments : sequence of Argument
        Types of the arguments; arrays are checked against them at every call.

    Returns
    -------
    callable
        Frees the interpreter lock while it runs.
    """
    llvm = _llvm()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    c_types = [c_type for argument in arguments for c_type in argument.c_types]
    entry = ctypes.CFUNCTYPE(None, *c_types)(engine.get_function_address(symbol))

    flatten = Flattener(arguments)

    def call(*values: Any) -> None:
        entry(*flatten(values))

    # The machine code lives as long as the engine does.
    call.engine = engine  # type: ignore[attr-defined]
    return call
