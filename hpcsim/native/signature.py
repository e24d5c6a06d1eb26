"""Argument types of a compiled function, and their form in C."""

from __future__ import annotations

import ctypes
import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_FORM = re.compile(r"(float32|float64|int64|uint64|int32|uint32)(?:\[(\d)\])?(~?)$")
_C_TYPES = {
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
    "int64": ctypes.c_int64,
    "uint64": ctypes.c_uint64,
    "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32,
}

_MOST_KNOWN = 256


@dataclass(frozen=True)
class Argument:
    """One argument of a compiled function.

    Attributes
    ----------
    dtype : str
        Number type.
    ndim : int
        Axes of an array; 0 for a number.
    strided : bool
        Whether an array may have any strides; otherwise it is contiguous.
    """

    dtype: str
    ndim: int
    strided: bool

    @property
    def c_types(self) -> list[Any]:
        """Types of the C arguments that carry it."""
        if self.ndim == 0:
            return [_C_TYPES[self.dtype]]
        return [ctypes.c_void_p] + [ctypes.c_int64] * (self.ndim * (2 if self.strided else 1))


def parse_arguments(forms: Sequence[str]) -> tuple[Argument, ...]:
    """Arguments from their short forms.

    Parameters
    ----------
    forms : sequence of str
        ``"int64"`` is a number, ``"float64[1]"`` a contiguous array with one axis, ``"uint64[4]~"`` one with four axes
        and any strides.

    Examples
    --------
    >>> parse_arguments(["float64[2]~"])[0].ndim
    2
    """
    arguments = []
    for form in forms:
        match = _FORM.match(form)
        if match is None:
            raise ValueError(f"'{form}' is no argument type")
        arguments.append(Argument(match[1], int(match[2] or 0), bool(match[3])))
    return tuple(arguments)


def flatten_array(argument: Argument, value: Any) -> list[int]:
    """Address, extents and (for a strided argument) strides of an array.

    Raises
    ------
    TypeError
        If the array has another type, number of axes or memory order than was compiled for.
    """
    if value.dtype != argument.dtype or value.ndim != argument.ndim:
        raise TypeError(f"an array {value.dtype}[{value.ndim}] was given, {argument} is needed")
    if argument.strided:
        return [value.__array_interface__["data"][0], *value.shape, *value.strides]
    if not value.flags.c_contiguous:
        raise TypeError(f"a contiguous array is needed for {argument}")
    return [value.__array_interface__["data"][0], *value.shape]


class Flattener:
    """C arguments of calls; what is known of an array is kept as long as the array lives.

    Registers and tables are passed again and again, and asking NumPy for an address costs more than a small kernel.

    Parameters
    ----------
    arguments : sequence of Argument
        Types of the arguments.
    """

    def __init__(self, arguments: Sequence[Argument]) -> None:
        self._arguments = tuple(arguments)
        self._known: dict[tuple[int, int], tuple[weakref.ref[Any], list[int]]] = {}

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """Flat C arguments of one call."""
        flat: list[Any] = []
        known = self._known
        for position, (argument, value) in enumerate(zip(self._arguments, values, strict=True)):
            if argument.ndim == 0:
                flat.append(value)
                continue
            entry = known.get((position, id(value)))
            if entry is None or entry[0]() is not value:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                entry = weakref.ref(value), flatten_array(argument, value)
                known[position, id(value)] = entry
            flat += entry[1]
        return flat


def entry_source(name: str, arguments: Sequence[Argument]) -> str:
    """Source of a C-callable function that rebuilds the arrays and calls ``name``."""
    parameters: list[str] = []
    values: list[str] = []
    for i, argument in enumerate(arguments):
        parameters.append(f"p{i}")
        if argument.ndim == 0:
            values.append(f"p{i}")
            continue
        shape = [f"n{i}_{axis}" for axis in range(argument.ndim)]
        parameters += shape
        whole = f"({', '.join(shape)},)"
        if argument.strided:
            strides = [f"s{i}_{axis}" for axis in range(argument.ndim)]
            parameters += strides
            values.append(f"as_strided(carray(p{i}, (1,)), {whole}, ({', '.join(strides)},))")
        else:
            values.append(f"carray(p{i}, {whole})")
    return f"def entry({', '.join(parameters)}):\n    {name}({', '.join(values)})\n"
