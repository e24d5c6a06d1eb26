"""Everything beside the registers that a restart needs, registered by whoever owns it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hpcsim.errors import HpcsimError

Save = Callable[[], Mapping[str, Any]]
Restore = Callable[[Mapping[str, Any]], None]


class Kept:
    """Named items that are saved as plain JSON values and given back to their owners.

    Examples
    --------
    >>> counter = {"n": 3}
    >>> kept = Kept()
    >>> kept.add("counter", lambda: counter, counter.update)
    >>> kept.save()
    {'counter': {'n': 3}}
    >>> kept.restore({"counter": {"n": 7}})
    >>> counter["n"]
    7
    """

    def __init__(self) -> None:
        self._owners: dict[str, tuple[Save, Restore]] = {}

    def add(self, name: str, save: Save, restore: Restore) -> None:
        """Register an item.

        Parameters
        ----------
        name : str
            Its name in the checkpoint; unique.
        save : callable
            Gives its values: numbers, texts, lists and tables of them, equal on all ranks.
        restore : callable
            Takes them back.
        """
        if name in self._owners:
            raise HpcsimError(f"the state item '{name}' is registered twice")
        self._owners[name] = save, restore

    def names(self) -> list[str]:
        """Names of the items in the order they were registered."""
        return list(self._owners)

    def save(self) -> dict[str, dict[str, Any]]:
        """The values of all items."""
        return {name: dict(save()) for name, (save, _) in self._owners.items()}

    def restore(self, saved: Mapping[str, Mapping[str, Any]], names: Iterable[str] | None = None) -> None:
        """Give items back to their owners.

        Parameters
        ----------
        saved : mapping
            As `save` gave it.
        names : iterable of str, optional
            Which items; by default every one that is registered.

        Raises
        ------
        HpcsimError
            If an item that an owner needs is not there.
        """
        for name in self._owners if names is None else names:
            if name not in saved:
                raise HpcsimError(f"the checkpoint has no state item '{name}'; it is of another version")
            self._owners[name][1](saved[name])
