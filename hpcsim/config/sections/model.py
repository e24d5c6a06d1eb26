"""Section ``[model]``: a model by name, or one written as equations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hpcsim.config.sections.convolution import ConvolutionEntry
from hpcsim.config.values import Formula, FrozenDict, Name, Section, Table, Value, fault, key, shown

EQUATIONS = "equations"
_RATE = re.compile(r"(dtt?)\(([A-Za-z][A-Za-z0-9_]{0,63})\)")
_SOLVED = re.compile(r"solve\(([A-Za-z][A-Za-z0-9_]{0,63})\)")


def rate_of(name: str) -> tuple[str, str] | None:
    """Split ``dt(u)`` into ``("dt", "u")``; None if it is no such thing.

    Examples
    --------
    >>> rate_of("dtt(phi)"), rate_of("phi")
    (('dtt', 'phi'), None)
    """
    match = _RATE.fullmatch(name)
    return (match[1], match[2]) if match else None


def solved(name: str) -> str | None:
    """The field of ``solve(phi)``; empty for ``0``, whose field is not said; None if it is no such thing.

    Examples
    --------
    >>> solved("solve(phi)"), solved("0"), solved("dt(phi)")
    ('phi', '', None)
    """
    match = _SOLVED.fullmatch(name)
    return "" if name == "0" else match[1] if match else None


def _left(name: str) -> str:
    if rate_of(name) is None and solved(name) is None:
        fault(f"{shown(name)} is no left-hand side; write dt(field), dtt(field), solve(field) or 0, without spaces")
    return name


class FieldEntry(Section):
    """One field of a model written as equations."""

    centring: Literal["cell", "vertex", "face", "edge"] = key("cell", "Where on the lattice the values live.")
    components: Annotated[int, Field(strict=True, ge=1, le=64)] = key(1, "Number of components.")
    dtype: Literal["float64", "float32"] | None = key(None, "Type of the values.", shown_default="run.dtype")


class Model(Section):
    """What is solved: the name of a model, or fields and equations."""

    name: Name = key(EQUATIONS, "Name of a model, as in `hpcsim list models`; 'equations' for one written below.")
    order: Literal[2, 4, 6, 8] = key(2, "Order of the finite differences.")
    parameters: Table[Value] = key(
        text="Parameters: numbers, formulas of x, y, z, w, or lists of those.",
        shown_default="the model's own",
        default_factory=FrozenDict,
    )
    fields: Table[FieldEntry] = key(text="Fields of a model written as equations.", default_factory=FrozenDict)
    equations: Annotated[Mapping[Annotated[str, AfterValidator(_left)], Formula], AfterValidator(FrozenDict)] = key(
        text="Right-hand sides with the key dt(field) or dtt(field), and constraints, what is zero, with the key "
        "solve(field), or 0 where only one field can be meant.",
        default_factory=FrozenDict,
    )
    convolutions: Table[ConvolutionEntry] = key(
        text="Fields that are integrals of others, each with a source, a kernel and a mode.", default_factory=FrozenDict
    )
    kernels: Annotated[tuple[Name, ...], Field(max_length=16)] = key(
        (), "Own functions run after every step, registered by a plug-in, as in `hpcsim list kernels`."
    )
    derived: Table[Formula] = key(
        text="Named formulas that equations, output and diagnostics may use.", default_factory=FrozenDict
    )
