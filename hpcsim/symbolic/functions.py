"""The functions a formula may call, with their NumPy and standard-library forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Function:
    """One allow-listed function.

    Attributes
    ----------
    arity : int
        Number of arguments.
    scalar : callable
        Form for Python floats.
    numpy : str
        Name of the ufunc in NumPy.
    exact : bool
        Whether every platform rounds it alike (no libm inside), so that backends agree to the bit.
    """

    arity: int
    scalar: Callable[..., float]
    numpy: str
    exact: bool = False


def _sign(x: float) -> float:
    return math.nan if math.isnan(x) else float((x > 0) - (x < 0))


FUNCTIONS: dict[str, Function] = {
    "exp": Function(1, math.exp, "exp"),
    "log": Function(1, math.log, "log"),
    "log10": Function(1, math.log10, "log10"),
    "sqrt": Function(1, math.sqrt, "sqrt", exact=True),
    "sin": Function(1, math.sin, "sin"),
    "cos": Function(1, math.cos, "cos"),
    "tan": Function(1, math.tan, "tan"),
    "asin": Function(1, math.asin, "arcsin"),
    "acos": Function(1, math.acos, "arccos"),
    "atan": Function(1, math.atan, "arctan"),
    "atan2": Function(2, math.atan2, "arctan2"),
    "sinh": Function(1, math.sinh, "sinh"),
    "cosh": Function(1, math.cosh, "cosh"),
    "tanh": Function(1, math.tanh, "tanh"),
    "erf": Function(1, math.erf, "erf"),
    "abs": Function(1, abs, "absolute", exact=True),
    "sign": Function(1, _sign, "sign", exact=True),
    "floor": Function(1, math.floor, "floor", exact=True),
    "ceil": Function(1, math.ceil, "ceil", exact=True),
    "min": Function(2, min, "minimum", exact=True),
    "max": Function(2, max, "maximum", exact=True),
}


def numpy_function(name: str) -> Callable[..., Any]:
    """The array form of a function of the table."""
    if name == "erf":
        from scipy.special import erf

        return erf
    import numpy

    return getattr(numpy, FUNCTIONS[name].numpy)
