"""Values of a number or a formula."""

from __future__ import annotations

from collections.abc import Sequence

from hpcsim.errors import FormulaError
from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.models.initial import InitialCondition, resolve_list
from hpcsim.models.initials.table import TableReader, initial_kind
from hpcsim.models.parameters import finite_number
from hpcsim.models.sampling import Values, sample
from hpcsim.symbolic.expr import ZERO, Derivative, Expr, FluxDerivative, Num
from hpcsim.symbolic.operators import Vector
from hpcsim.symbolic.parse import parse


class Sampled(InitialCondition):
    """Formulas of space, one for every component or the same for all.

    Parameters
    ----------
    where : str
        Path of the key.
    values, rates : sequence of Expr
        One entry, or one per component; no rates leave the field at rest.
    """

    def __init__(self, where: str, values: Sequence[Expr], rates: Sequence[Expr] = ()) -> None:
        super().__init__(where)
        self._value_exprs = tuple(values)
        self._rate_exprs = tuple(rates)
        self.has_rate = bool(rates)

    def _values(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        return sample(_entry(self._value_exprs, component), domain, box, location)

    def _rate(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        return sample(_entry(self._rate_exprs, component) if self.has_rate else ZERO, domain, box, location)


def _entry(exprs: tuple[Expr, ...], component: int) -> Expr:
    return exprs[0] if len(exprs) == 1 else exprs[component]


@initial_kind("value")
def expression(reader: TableReader) -> InitialCondition:
    """A number or a formula of x, y, z, w, t and the parameters; a list has one entry per component."""
    given = reader.get("value")
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return resolve_list(given, reader.where, reader.setting)
    return Sampled(reader.where, _expressions(reader, given))


def _expressions(reader: TableReader, given: object) -> tuple[Expr, ...]:
    if given is None:
        return (ZERO,)
    number = finite_number(given)
    if number is not None:
        return (Num(number),)
    if not isinstance(given, str):
        reader.fault("", f"{given!r} given; a finite number, a formula or a list with one per component is needed")
        return (ZERO,)
    try:
        value = parse(given, reader.setting.names)
    except FormulaError as error:
        for problem in error.problems:
            reader.fault("", problem.message)
        return (ZERO,)
    exprs = tuple(value) if isinstance(value, Vector) else (value,)
    if isinstance(value, Vector) and len(exprs) != reader.setting.components:
        reader.fault("", f"a vector of {len(exprs)} given for {reader.setting.components} component(s)")
    if any(isinstance(node, (Derivative, FluxDerivative)) for expr in exprs for node in expr.walk()):
        reader.fault("", "derivatives are not known at the start; write the derivative out as a formula")
    return exprs
