"""Tables from a name to the object that bears it, loaded when first asked for.

A registry is the one place to touch when something is added: one line ``name -> "module:attribute"``. Listing names
imports nothing, so ``hpcsim list`` needs no compiler, no MPI and no GPU library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from hpcsim.errors import ConfigError, unknown_name


class Registry:
    """A named table of lazily imported objects.

    Parameters
    ----------
    kind : str
        What the entries are, in the singular; used in messages.
    entries : mapping of str to str
        Name to ``"package.module:attribute"``.

    Examples
    --------
    >>> numbers = Registry("number", {"pi": "math:pi"})
    >>> round(numbers.get("pi"), 2)
    3.14
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._paths = dict(entries)
        self._objects: dict[str, Any] = {}

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._paths, *self._objects})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._paths or name in self._objects

    def get(self, name: str) -> Any:
        """The object of that name, imported now if it was not yet.

        Raises
        ------
        ConfigError
            If the name is unknown; the message names the nearest one.
        """
        if name not in self._objects:
            if name not in self._paths:
                raise ConfigError(unknown_name(self.kind, name, self.names()))
            module, attribute = self._paths[name].split(":")
            self._objects[name] = getattr(import_module(module), attribute)
        return self._objects[name]

    def register(self, name: str, entry: Any) -> None:
        """Add an object from Python (a plug-in, a tutorial); a taken name is refused.

        Raises
        ------
        ConfigError
            If the name is already taken by another object.
        """
        if name in self and self._objects.get(name) is not entry:
            raise ConfigError(f"the {self.kind} name '{name}' is already taken; choose another")
        self._objects[name] = entry

    def summary(self, name: str) -> str:
        """First line of the entry's docstring."""
        text = (self.get(name).__doc__ or "").strip()
        return text.splitlines()[0] if text else ""
