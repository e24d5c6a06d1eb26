"""Links an object file into this process with LLVM's loader."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache, partial
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


class Linked:
    """A compiled function in this process; frees the interpreter lock while it runs.

    Parameters
    ----------
    symbol : str
        Name of the entry point.
    code : bytes
        Object file; its machine code lives as long as this object.
    arguments : sequence of Argument
        Types of the arguments; arrays are checked against them at every call.
    """

    def __init__(self, symbol: str, code: bytes, arguments: Sequence[Argument]) -> None:
        llvm = _llvm()
        machine = llvm.Target.from_default_triple().create_target_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self._c_types = [c_type for argument in arguments for c_type in argument.c_types]
        self._entry = ctypes.CFUNCTYPE(None, *self._c_types)(self._engine.get_function_address(symbol))
        self._flatten = Flattener(arguments)

    def __call__(self, *values: Any) -> None:
        """Call it with arrays and numbers."""
        self._entry(*self._flatten(values))

    def bind(self, *values: Any) -> Callable[[], None]:
        """The call with these values, converted once; the caller keeps the arrays alive."""
        flat = self._flatten(values)
        return partial(self._entry, *(c_type(value) for c_type, value in zip(self._c_types, flat, strict=True)))
