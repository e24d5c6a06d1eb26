"""Tables ``[model.convolutions.FIELD]``: fields that are integrals of others."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from hpcsim.config.values import Formula, Name, Open, Scalar, Section, arity, key

MOST_COMPONENTS = 64


class KernelEntry(Open):
    """A kernel by name, with the parameters of that function.

    Which parameters there are is known to the function, not to the schema. The name `formula` has the key `formula`.
    """

    name: Name = key(text="Name of the function, as in `hpcsim list greens`.")
    times: Formula | None = key(
        None, "What the function is multiplied by: a formula of the offsets x, y, z, w and the distance r."
    )
    origin: Scalar | None = key(
        None,
        "Value at the origin.",
        shown_type="number or formula of numeric parameters",
        shown_default="that of a formula where it is finite, else the mean over the cell",
    )


def _form(value: Any) -> str:
    """Tag of a kernel given as text, as a table, or as a list of those."""
    return arity(value) if isinstance(value, list | tuple) else "=text" if not isinstance(value, _TABLES) else "=table"


_TABLES = (dict, KernelEntry)
_One = Annotated[Annotated[Formula, Tag("=text")] | Annotated[KernelEntry, Tag("=table")], Discriminator(_form)]
Kernel = Annotated[
    Annotated[Formula, Tag("=text")]
    | Annotated[KernelEntry, Tag("=table")]
    | Annotated[tuple[_One, ...], Field(min_length=1, max_length=MOST_COMPONENTS), Tag("=list")],
    Discriminator(_form),
]
Source = Annotated[
    Annotated[Formula, Tag("=one")]
    | Annotated[tuple[Formula, ...], Field(min_length=1, max_length=MOST_COMPONENTS), Tag("=list")],
    Discriminator(arity),
]


class ConvolutionEntry(Section):
    """A field that is an integral at every time: of the source at y times the kernel at x - y, over all y."""

    source: Source = key(text="What is integrated: a formula, or a list with one for each component.")
    kernel: Kernel = key(
        text="Its weight: a name as in `hpcsim list greens`, a formula of the distance r and the offsets x, y, z, w, a "
        "table with a name and parameters, or a list with one for each component.",
        shown_type="text, table, or list of those",
    )
    mode: Name | None = key(
        None,
        "Space around the lattice: open by a truncated transform (truncated) or by zeros (padded), or periodic.",
        shown_default="truncated where the kernel allows it, else padded",
    )
