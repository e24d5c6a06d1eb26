"""What a model may be given: defaults, units and ranges of its parameters, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hpcsim.errors import ConfigError, FormulaError, Problem, unknown_name
from hpcsim.symbolic.expr import Num
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.operators import AXES
from hpcsim.symbolic.parse import parse

Scalar: TypeAlias = "float | str"
ParameterValue: TypeAlias = "float | str | list[float | str]"
"""A number, a formula, or a list of those with one entry per axis or component."""


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter of a model.

    Parameters
    ----------
    default : float, str or tuple of float
        Value when none is given; of a vector, four entries of which the first ``ndim`` are used.
    unit : str
        Physical unit, ``"1"`` for a pure number.
    help : str
        One line for people.
    lower, upper : float, optional
        Bounds of numbers; formulas are not bounded here.
    positive : bool
        Whether `lower` itself is excluded.
    formula : bool
        Whether a formula of space, time or fields may stand for the number.
    vector : bool
        Whether there is one entry per axis.
    reason : str
        Why the range is what it is; ends the message about a value outside.
    choices : tuple of str
        Names that may be given; without `formula` nothing else may.

    Examples
    --------
    >>> ParameterInfo(1.0, "length**2/time", "diffusion coefficient", lower=0.0, formula=True).allowed()
    'a number >= 0 or a formula'
    """

    default: float | str | tuple[float, ...]
    unit: str
    help: str
    lower: float | None = None
    upper: float | None = None
    positive: bool = False
    formula: bool = False
    vector: bool = False
    reason: str = ""
    choices: tuple[str, ...] = ()

    def allowed(self) -> str:
        """The values that are allowed, in words."""
        if self.choices:
            return ", ".join(self.choices) + (" or a formula" if self.formula else "")
        bounds = []
        if self.lower is not None:
            bounds.append(f"{'>' if self.positive else '>='} {self.lower:g}")
        if self.upper is not None:
            bounds.append(f"<= {self.upper:g}")
        text = " ".join(["a number", " and ".join(bounds)]).strip()
        text += " or a formula" if self.formula else ""
        return f"a list with {text} for each axis" if self.vector else text

    def check(self, value: object, where: str, ndim: int) -> ParameterValue:
        """The value in its final form: floats for numbers and constant formulas, text for other formulas.

        Parameters
        ----------
        value : object
            What was given.
        where : str
            Path of the key, for messages.
        ndim : int
            Axes of the lattice.

        Raises
        ------
        ConfigError
            If the value is of another kind or out of range; every fault of a list is reported.
        """
        if not self.vector:
            return self._scalar(value, where, ndim)
        entries = _entries(value, ndim)
        if entries is None or len(entries) != ndim:
            count = "1 value" if entries is None else f"{len(entries)} entries"
            raise ConfigError([Problem(where, f"{count} given for {ndim} axes; allowed: {self.allowed()}")])
        faults: list[Problem] = []
        checked: list[float | str] = []
        for axis, entry in zip(AXES, entries, strict=False):
            try:
                checked.append(self._scalar(entry, f"{where}[{axis}]", ndim))
            except ConfigError as error:
                faults.extend(error.problems)
        if faults:
            raise ConfigError(faults)
        return checked

    def _scalar(self, value: object, where: str, ndim: int) -> float | str:
        if isinstance(value, str) and value in self.choices:
            return value
        value = constant(value, ndim)
        if isinstance(value, str) and value.strip() and self.formula:
            return value
        number = finite_number(value)
        if isinstance(value, str) and self.choices:
            raise ConfigError([Problem(where, unknown_name("choice", value, self.choices))])
        if number is None or self.choices and not self.formula:
            raise ConfigError([Problem(where, f"{value!r} given; allowed: {self._entry_allowed()}")])
        low = self.lower is not None and (number < self.lower or (self.positive and number == self.lower))
        if low or (self.upper is not None and number > self.upper):
            text = f"{number:g} is out of range; allowed: {self._entry_allowed()}"
            raise ConfigError([Problem(where, f"{text} ({self.reason})" if self.reason else text)])
        return number

    def _entry_allowed(self) -> str:
        text = self.allowed()
        return text.removeprefix("a list with ").removesuffix(" for each axis")


def _entries(value: object, ndim: int) -> Sequence[object] | None:
    """Entries of a vector; in one dimension a scalar is its only entry."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return value
    return [value] if ndim == 1 else None


def finite_number(value: object) -> float | None:
    """The value as a float if it is a finite real number (a bool is none), else None.

    Examples
    --------
    >>> finite_number(2), finite_number(True), finite_number(float("nan"))
    (2.0, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def constant(value: object, ndim: int) -> object:
    """A text without names as its number (``"2*pi"``); anything else as it is.

    Examples
    --------
    >>> constant("1/4", 1), constant("1/x", 1)
    (0.25, '1/x')
    """
    if not isinstance(value, str):
        return value
    try:
        parsed = parse(value, Names(ndim))
    except FormulaError:
        # Names of the model are not known here; the text is parsed again with all of them where equations are.
        return value
    return float(parsed.value) if isinstance(parsed, Num) else value


def check_parameters(
    table: Mapping[str, ParameterInfo], given: Mapping[str, Any], ndim: int, where: str = "model.parameters"
) -> dict[str, ParameterValue]:
    """Complete and check the parameters of a model.

    Parameters
    ----------
    table : mapping of str to ParameterInfo
        What the model knows.
    given : mapping of str to object
        What was given.
    ndim : int
        Axes of the lattice.
    where : str
        Path of the table, for messages.

    Returns
    -------
    dict
        Every parameter of the table.

    Raises
    ------
    ConfigError
        With one problem per unknown name (and the nearest known one) and per value that is not allowed.

    Examples
    --------
    >>> check_parameters({"D": ParameterInfo(1.0, "1", "", lower=0.0)}, {"D": "1/4"}, 1)
    {'D': 0.25}
    """
    faults = [Problem(f"{where}.{name}", unknown_name("parameter", name, table)) for name in given if name not in table]
    checked: dict[str, ParameterValue] = {}
    for name, info in table.items():
        default = list(info.default[:ndim]) if isinstance(info.default, tuple) else info.default
        try:
            checked[name] = info.check(given.get(name, default), f"{where}.{name}", ndim)
        except ConfigError as error:
            faults.extend(error.problems)
    if faults:
        raise ConfigError(faults)
    return checked
