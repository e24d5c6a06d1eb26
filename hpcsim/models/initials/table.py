"""Reading the table of an initial condition: every key is checked, every fault is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.models.initial import InitialCondition, InitialSetting
from hpcsim.models.parameters import constant, finite_number


class TableReader:
    """Typed access to a table.

    A method returns a harmless value for a key that is missing or wrong and keeps the fault for `finish`.

    Parameters
    ----------
    table : mapping
        The table without ``kind``.
    where : str
        Its path in the configuration.
    setting : InitialSetting
        What the condition may depend on.
    """

    def __init__(self, table: Mapping[str, Any], where: str, setting: InitialSetting) -> None:
        self.where = where
        self.setting = setting
        self._table = table
        self._faults: list[Problem] = []

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def fault(self, key: str, message: str) -> None:
        """Keep a fault of a key (of the table itself if the key is empty)."""
        self._faults.append(Problem(f"{self.where}.{key}" if key else self.where, message))

    def number(self, key: str, default: float | None = None, *, lower: float = -math.inf, wide: bool = False) -> float:
        """A real number above `lower`; without a default the key is needed. `wide` allows ``inf``."""
        return self._number(key, self._get(key, default), lower, wide)

    def vector(self, key: str, *, repeat: bool = False, lower: float = -math.inf, wide: bool = False) -> list[float]:
        """One number per axis; `repeat` lets one number stand for all axes."""
        ndim = self.setting.domain.ndim
        given = self._get(key, None)
        entries = [given] * ndim if (repeat or ndim == 1) and not _is_list(given) else given
        if given is None:
            return [1.0] * ndim
        if not _is_list(entries) or len(entries) != ndim:
            count = f"{len(entries)} entries" if _is_list(entries) else f"{entries!r}"
            self.fault(key, f"{count} given for {ndim} axes; give one number per axis{' or one for all' * repeat}")
            return [1.0] * ndim
        return [self._number(key, entry, lower, wide) for entry in entries]

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        given = self._get(key, default)
        if not isinstance(given, bool):
            self.fault(key, f"{given!r} given; true or false is needed")
            return default
        return given

    def text(self, key: str, default: str | None = None, choices: Sequence[str] = ()) -> str:
        """A text, of the choices if there are any."""
        given = self._get(key, default)
        if given is None:
            return ""
        if not isinstance(given, str) or not given:
            self.fault(key, f"{given!r} given; a text is needed")
        elif choices and given not in choices:
            self.fault(key, unknown_name(key, given, choices))
        else:
            return given
        return default or ""

    def get(self, key: str) -> Any:
        """The value as it was given; the key is needed."""
        return self._get(key, None)

    def finish(self) -> None:
        """Raise all faults found, if any.

        Raises
        ------
        ConfigError
            With every fault.
        """
        if self._faults:
            raise ConfigError(self._faults)

    def _get(self, key: str, default: Any) -> Any:
        if key not in self._table and default is None:
            self.fault(key, "this key is needed")
        return self._table.get(key, default)

    def _number(self, key: str, given: Any, lower: float, wide: bool) -> float:
        if given is None:
            return 1.0
        value = constant(given, self.setting.domain.ndim)
        number = math.inf if wide and value == math.inf else finite_number(value)
        if number is None or not number > lower:
            allowed = "a finite number" if lower == -math.inf else f"a number > {lower:g}"
            self.fault(key, f"{given!r} given; {allowed} is needed")
            return 1.0
        return number


class InitialKind:
    """A kind of initial condition: knows its keys, makes the condition from a table.

    Parameters
    ----------
    make : callable
        ``make(reader) -> InitialCondition``; its docstring describes the kind.
    keys : tuple of str
        Keys that the table may have besides ``kind``.
    """

    def __init__(self, make: Callable[[TableReader], InitialCondition], keys: tuple[str, ...]) -> None:
        self.KEYS = keys
        self._make = make
        self.__doc__ = make.__doc__

    def __call__(self, table: Mapping[str, Any], where: str, setting: InitialSetting) -> InitialCondition:
        """The condition of a table.

        Raises
        ------
        ConfigError
            With every unknown, missing or wrong key.
        """
        reader = TableReader({key: value for key, value in table.items() if value is not None}, where, setting)
        for key in table:
            if key not in self.KEYS:
                reader.fault(str(key), unknown_name("key", str(key), self.KEYS))
        condition = self._make(reader)
        reader.finish()
        return condition


def initial_kind(*keys: str) -> Callable[[Callable[[TableReader], InitialCondition]], InitialKind]:
    """Decorator that turns ``make(reader) -> InitialCondition`` into an `InitialKind` with these keys."""
    return lambda make: InitialKind(make, keys)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
