"""Initial values of the fields, and tables of space-dependent parameters; every rank fills its own blocks only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, Problem
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.models.initial import InitialCondition
from hpcsim.models.sampling import sample
from hpcsim.simulation.case import Case
from hpcsim.simulation.faults import report_together
from hpcsim.sweeps.setting import Setting
from hpcsim.symbolic.expr import Expr
from hpcsim.symbolic.operators import AXES


def fill_initial(case: Case, setting: Setting) -> None:
    """Put initial values and rates into the registers; fields that are not named start at zero.

    Raises
    ------
    ConfigError
        On every rank, if a value on any rank is not finite or a file does not fit.
    """
    faults: list[Problem] = []
    for name in case.specs:
        own = case.initial.get(name)
        _fill(case, setting, name, own, False, faults)
        if name in case.scheme.rates:
            given = case.initial.get(f"dt({name})")
            if given is not None:
                _fill(case, setting, case.scheme.rates[name], given, False, faults, name)
            else:
                with_rate = own if own is not None and own.has_rate else None
                _fill(case, setting, case.scheme.rates[name], with_rate, True, faults, name)
    report_together(setting.context, faults)


def _fill(
    case: Case,
    setting: Setting,
    register: str,
    condition: InitialCondition | None,
    rate: bool,
    faults: list[Problem],
    field: str = "",
) -> None:
    field = field or register
    for block in setting.storage.blocks:
        for component, location in enumerate(case.system.locations[field]):
            target = setting.state.interior(register, block, component)
            if condition is None:
                target[...] = 0.0
                continue
            box = setting.layout.owned_box(block, location)
            give = condition.rate if rate else condition.values
            try:
                target[...] = give(case.domain, *box, location, component)
            except ConfigError as error:
                faults += error.problems
                return


def fill_statics(case: Case, setting: Setting) -> None:
    """Tabulate every space-dependent parameter that the discrete equations read, ghosts included.

    Raises
    ------
    ConfigError
        On every rank, if a value at an owned site of any rank is not finite.
    """
    faults: list[Problem] = []
    ghost = setting.storage.ghost
    for register, (name, location) in sorted(case.discrete.discretizer.statics.items()):
        spec = FieldSpec(register, dtype=setting.dtype)
        setting.state.add(register, spec, saved=False, static=True)
        setting.components[register] = 1
        expr: Expr = case.system.statics[name]
        for slot, block in enumerate(setting.storage.blocks):
            lo = tuple(a - ghost for a in block.lo)
            hi = tuple(a + n for a, n in zip(lo, setting.storage.pitch, strict=True))
            with np.errstate(all="ignore"):
                table = sample(expr, case.domain, (lo, hi), location, case.system.symbols)
            owned = table[tuple(slice(ghost, ghost + n) for n in block.shape)]
            if not np.isfinite(owned).all():
                text = _bad_place(owned, case.domain, block.lo, location)
                faults.append(Problem(f"model.parameters.{name}", text))
            setting.state[register].array[slot, 0] = table
        setting.ghosts.exchange_once(setting.state[register], location)
    report_together(setting.context, faults)


def _bad_place(values: NDArray[np.float64], domain: Domain, lo: tuple[int, ...], location: Location) -> str:
    """Where a table that begins at a global index holds its first value that is not finite."""
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    points = (domain.coordinate(a, i + lo[a], bool(location[a])) for a, i in enumerate(index))
    place = ", ".join(f"{AXES[axis]} = {point:.6g}" for axis, point in enumerate(points))
    return f"the formula is {values[index]} at {place}; it must be finite on the whole lattice"
