"""``hpcsim bench``: how close this machine's kernels and exchanges come to what the machine can do."""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path

from hpcsim.errors import ConfigError, unknown_name

KINDS = ("memory", "stencil", "exchange", "checkpoint", "poisson")
PEERS = ("geometric", "pfmg", "gamg", "boomeramg")
ORDERS = (2, 4, 6, 8)
DTYPES = ("float64", "float32")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("kind", choices=KINDS, help="what to measure; only ratios taken in one run mean much")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--n", type=_positive, default=256, help="cells per axis (default 256, larger than the caches)")
    parser.add_argument("--orders", type=_orders, default=ORDERS, help="orders of the differences (default 2,4,6,8)")
    parser.add_argument("--dtypes", type=_dtypes, default=DTYPES, help="number types (default float64,float32)")
    parser.add_argument("--threads", type=_positive, default=None, help="threads (default: 2, or 1 on one processor)")
    parser.add_argument("--repeats", type=_positive, default=7, help="timed rounds (default 7)")
    parser.add_argument("--gib", type=_size, default=4.0, help="with checkpoint: size of the state (default 4)")
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="with checkpoint: where to write (default: here)"
    )
    parser.add_argument("--vertex", action="store_true", help="with poisson: unknowns on the planes between cells")
    parser.add_argument(
        "--peers", type=_peers, default=PEERS, help="with poisson: preconditioners of PETSc (default all; '' for none)"
    )
    parser.add_argument(
        "--ranks", action=argparse.BooleanOptionalAction, default=True, help="compare ranks with threads"
    )
    # The part that runs on all ranks; used by the command itself when it calls mpirun.
    parser.add_argument("--on-ranks", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Measure and print; 0 unless something could not be measured at all."""
    from hpcsim.machine.detect import affinity
    from hpcsim.machine.threads import set_threads

    threads = args.threads or min(2, len(affinity()))
    set_threads(threads)
    from hpcsim.perf.bench import Settings, as_text, report

    settings = Settings(
        args.n, args.orders, args.dtypes, threads, args.repeats, args.gib, str(args.directory), args.vertex, args.peers
    )
    if _launched():
        return _on_ranks(args, settings)
    found = report(args.kind, settings, args.ranks)
    print(json.dumps(found, indent=2) if args.json else as_text(found))
    return 0


def _launched() -> bool:
    from hpcsim.comm.launch_check import launched

    return launched(os.environ)


def _on_ranks(args: argparse.Namespace, settings: object) -> int:
    """Under a launcher: what needs ranks on all of them, the rest on the first."""
    from hpcsim.comm.context import Context
    from hpcsim.perf.bench import Settings, as_text, on_ranks, report
    from hpcsim.perf.ranks import hand_back, quiet_barrier

    assert isinstance(settings, Settings)
    with Context.launch(1) as context:
        if args.kind == "exchange" and context.size != 2:
            raise ConfigError(f"bench exchange: measures the plane between 2 ranks, and there are {context.size}")
        wanted = args.kind != "memory" and (context.size > 1 or args.kind in ("checkpoint", "poisson"))
        shared = on_ranks(args.kind, settings, context) if wanted else {}
        if context.rank == 0 and args.on_ranks:
            hand_back(shared)
        elif context.rank == 0:
            found = {"bench": args.kind, "host": context.hosts[0], "threads": 1, **shared}
            if args.kind == "poisson":
                found = {"bench": args.kind, "host": context.hosts[0], "threads": 1, "parts": [shared]}
            elif args.kind not in ("exchange", "checkpoint"):
                found = report(args.kind, settings, with_ranks=False)
            if args.kind == "stencil" and shared:
                found["ranks"] = shared
            print(json.dumps(found, indent=2) if args.json else as_text(found))
        quiet_barrier(context)
    return 0


def _positive(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return value


def _size(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return value


def _orders(text: str) -> tuple[int, ...]:
    return tuple(int(_known("order", part, [str(order) for order in ORDERS])) for part in text.split(","))


def _dtypes(text: str) -> tuple[str, ...]:
    return tuple(_known("number type", part, DTYPES) for part in text.split(","))


def _peers(text: str) -> tuple[str, ...]:
    return tuple(_known("preconditioner", part, PEERS) for part in text.split(",") if part)


def _known(kind: str, given: str, valid: tuple[str, ...] | list[str]) -> str:
    name = given.strip()
    if name not in valid:
        raise argparse.ArgumentTypeError(unknown_name(kind, name, valid))
    return name
