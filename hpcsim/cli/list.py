"""``hpcsim list``: everything that has a name in a case file, from the registries."""

from __future__ import annotations

import argparse
import json

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.registry import Registry

# What can be listed -> where its table is; one line for each registry of the package.
KINDS = Registry(
    "list",
    {
        "backends": "hpcsim.kernels.backend:BACKENDS",
        "boundaries": "hpcsim.boundary:BOUNDARIES",
        "checkpoints": "hpcsim.output.checkpoint.modes:MODES",
        "codecs": "hpcsim.output.compress:CODECS",
        "curves": "hpcsim.lattice.curve:CURVES",
        "exchanges": "hpcsim.comm.exchange:EXCHANGES",
        "greens": "hpcsim.solvers.fft.greens:GREENS",
        "histories": "hpcsim.output.writers:HISTORIES",
        "initial": "hpcsim.models.initials:INITIAL",
        "integrators": "hpcsim.integrators:INTEGRATORS",
        "kernels": "hpcsim.integrators.raw:RAW_KERNELS",
        "models": "hpcsim.models:MODELS",
        "partitions": "hpcsim.lattice.partition:PARTITIONS",
        "preconditioners": "hpcsim.solvers.preconditioners:PRECONDITIONERS",
        "snapshots": "hpcsim.output.writers:SNAPSHOTS",
        "solvers": "hpcsim.solvers.linear:LINEAR_SOLVERS",
    },
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("kind", nargs="?", help="what to list with one line each; by default the names of everything")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the names of every kind, or one kind with a line for each name."""
    if args.kind is None:
        names = {kind: KINDS.get(kind).names() for kind in KINDS}
        print(json.dumps(names, indent=2) if args.json else _table({k: ", ".join(v) for k, v in names.items()}))
        return 0
    if args.kind not in KINDS:
        raise ConfigError(unknown_name("list", args.kind, KINDS))
    summaries = describe(KINDS.get(args.kind))
    print(json.dumps(summaries, indent=2) if args.json else _table(summaries))
    return 0


def describe(registry: Registry) -> dict[str, str]:
    """Name to summary; an entry whose library is not installed says so.

    Examples
    --------
    >>> describe(Registry("thing", {"absent": "no_such_library:thing"}))
    {'absent': '(needs no_such_library, which is not installed)'}
    """
    summaries = {}
    for name in registry.names():
        try:
            summaries[name] = _summary(registry, name)
        except ModuleNotFoundError as error:
            summaries[name] = f"(needs {error.name}, which is not installed)"
    return summaries


def _summary(registry: Registry, name: str) -> str:
    """What an entry says of itself in a line: its `summary`, else the first line of its docstring."""
    own = getattr(registry.get(name), "summary", None)
    return own if isinstance(own, str) else registry.summary(name)


def _table(rows: dict[str, str]) -> str:
    """Two columns."""
    width = max(map(len, rows), default=0)
    return "\n".join(f"{name:<{width}}  {text}".rstrip() for name, text in rows.items())
