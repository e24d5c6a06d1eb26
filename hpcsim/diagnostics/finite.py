"""Finds the first NaN or Inf of a state and says in which field, site, block, rank and host it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.errors import BlowUpError
from hpcsim.fields.finite import all_finite
from hpcsim.fields.state import State
from hpcsim.symbolic.operators import AXES


@dataclass(frozen=True)
class BadValue:
    """A value that is not finite.

    Attributes
    ----------
    field : str
        Name of the register.
    component : int
        Which component.
    site : tuple of int
        Global index.
    block : int
        Block that owns the site.
    value : float
        NaN or an infinity.
    """

    field: str
    component: int
    site: tuple[int, ...]
    block: int
    value: float

    def __str__(self) -> str:
        place = ", ".join(f"{AXES[axis]}={index}" for axis, index in enumerate(self.site))
        component = f" component {self.component}" if self.component else ""
        return f"field '{self.field}'{component} is {self.value} at site ({place}) of block {self.block}"


def find_bad_value(state: State, names: Iterable[str], backend: str = "auto") -> BadValue | None:
    """The first value on this rank that is not finite, or None."""
    for name in names:
        spec = state[name].spec
        for block in state.storage.blocks:
            for component in range(spec.components):
                values = state.interior(name, block, component)
                if not all_finite(values, backend):
                    index = np.argwhere(~np.isfinite(values))[0]
                    site = tuple(int(i) + lo for i, lo in zip(index, block.lo, strict=True))
                    return BadValue(name, component, site, block.id, float(values[tuple(index)]))
    return None


def check_finite(context: Context, state: State, names: Iterable[str], step: int, backend: str = "auto") -> None:
    """Stop a run that has blown up; collective.

    Raises
    ------
    BlowUpError
        On every rank, if any rank holds a value that is not finite; the message names field, site, rank and host.
    """
    found = find_bad_value(state, names, backend)
    if context.agree(found is None):
        return
    first = int(context.min(float(context.rank if found is not None else context.size)))
    text = f"{found}, rank {context.rank} on {context.hosts[context.rank]}" if found is not None else ""
    texts = context.gather_text(text)
    said = texts[first] if texts is not None else ""
    raise BlowUpError(f"step {step}: {context.bcast_text(said)}; a smaller run.dt may help")
