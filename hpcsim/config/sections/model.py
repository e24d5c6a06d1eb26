"""Section ``[model]``: a model by name, or one written as equations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hpcsim.config.values import Formula, FrozenDict, Name, Section, Table, Value, fault, key, shown

EQUATIONS = "equations"
_RATE = re.compile(r"(dtt?)\(([A-Za-z][A-Za-z0-9_]{0,63})\)")


def rate_of(name: str) -> tuple[str, str] | None:
    """Split ``dt(u)`` into ``("dt", "u")``; None if it is no such thing.

    Examples
    --------
    >>> rate_of("dtt(phi)"), rate_of("phi")
    (('dtt', 'phi'), None)
    """
    match = _RATE.fullmatch(name)
    return (match[1], match[2]) if match else None


def _rate(name: str) -> str:
    if rate_of(name) is None:
        fault(f"{shown(name)} is no left-hand side; write dt(field) or dtt(field) without spaces")
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
    equations: Annotated[Mapping[Annotated[str, AfterValidator(_rate)], Formula], AfterValidator(FrozenDict)] = key(
        text="Right-hand sides, with the key dt(field) or dtt(field).", default_factory=FrozenDict
    )
    kernels: Annotated[tuple[Name, ...], Field(max_length=16)] = key(
        (), "Own functions run after every step, registered by a plug-in, as in `hpcsim list kernels`."
    )
    derived: Table[Formula] = key(
        text="Named formulas that equations, output and diagnostics may use.", default_factory=FrozenDict
    )
