"""What may change between a checkpoint and the run that goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcsim.errors import ConfigError, Problem

# Key, or section with all its keys, that may differ; the longest match decides. Everything else must be the same.
MAY_CHANGE: dict[str, str] = {
    "run.stop_time": "the run is extended or shortened",
    "run.steps": "the run is extended or shortened",
    "run.threads": "same bits on any number of threads",
    "run.backend": "same bits, but for transcendental functions",
    "run.exchange": "same bits with every exchange",
    "run.check_finite_every": "only looks at the state",
    "run.check_messages": "only looks at messages",
    "run.watchdog_s": "only watches",
    "run.rtol": "later steps adapt to it",
    "run.atol": "later steps adapt to it",
    "lattice.block_shape": "same bits with every decomposition",
    "lattice.curve": "same bits with every decomposition",
    "lattice.partition": "same bits with every decomposition",
    "solver": "later solves follow it, within its tolerances",
    "petsc": "later solves follow it, within their tolerances",
    "output": "later snapshots follow it",
    "diagnostics.every": "later rows follow it",
    "checkpoint": "later checkpoints follow it",
    "memory": "same bits with every memory strategy",
}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted keys in which two configurations differ, with both values; None stands for a key that is not given.

    Examples
    --------
    >>> differences({"run": {"steps": 10, "dt": 0.1}}, {"run": {"steps": 20, "dt": 0.1}})
    {'run.steps': (10, 20)}
    """
    before, after = _flat(old), _flat(new)
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    }


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        dotted = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            flat |= _flat(value, dotted)
        else:
            flat[dotted] = value
    return flat


def may_change(name: str) -> bool:
    """Whether a key may differ from that of the checkpoint.

    Examples
    --------
    >>> may_change("run.steps"), may_change("output.every"), may_change("run.dt")
    (True, True, False)
    """
    parts = name.split(".")
    return any(".".join(parts[:count]) in MAY_CHANGE for count in range(1, len(parts) + 1))


def check_changes(old: Mapping[str, Any], new: Mapping[str, Any], checkpoint: str) -> list[str]:
    """Lines that tell what changed since a checkpoint.

    Parameters
    ----------
    old, new : mapping
        Resolved configurations of the checkpoint and of the run that goes on.
    checkpoint : str
        Its name, for the message.

    Raises
    ------
    ConfigError
        If a key changed that may not, with all of them.
    """
    changed = differences(old, new)
    refused = [
        Problem(name, f"{_shown(after)} here, {_shown(before)} in {checkpoint}; this may not change in a restart")
        for name, (before, after) in changed.items()
        if not may_change(name)
    ]
    if refused:
        raise ConfigError(refused)
    return [f"{name} changed from {_shown(before)} to {_shown(after)}" for name, (before, after) in changed.items()]


def _shown(value: Any) -> str:
    return "left out" if value is None else repr(value)
