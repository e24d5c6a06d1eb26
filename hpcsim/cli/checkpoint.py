"""``hpcsim checkpoint``: list, verify, prune and convert the checkpoints of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsim.errors import ConfigError, DiskError, NoCheckpointError, unknown_name

if TYPE_CHECKING:
    from hpcsim.output.checkpoint.store import CheckpointStore

FOLDER = "ckpt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the four actions with their arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|verify|prune|convert")
    listing = _action(actions, "list", "show the checkpoints of a run")
    listing.add_argument("--json", action="store_true", help="print JSON")
    checking = _action(actions, "verify", "check every byte; exit code 4 if a checkpoint is bad")
    checking.add_argument("names", nargs="*", metavar="NAME", help="checkpoints to check (default: all)")
    checking.add_argument("--structure", action="store_true", help="look into the HDF5 files too")
    checking.add_argument("--json", action="store_true", help="print JSON")
    pruning = _action(actions, "prune", "remove old checkpoints, never one that a kept one needs")
    pruning.add_argument("--keep", type=int, required=True, metavar="N", help="how many steps to keep, at least 2")
    pruning.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    turning = _action(actions, "convert", "write a checkpoint in another form; also under mpirun")
    turning.add_argument("name", nargs="?", metavar="NAME", help="checkpoint (default: the one a restart takes first)")
    turning.add_argument("--mode", choices=("shards", "collective"), help="several files, or one (default: as it is)")
    turning.add_argument("--files", type=int, metavar="N", help="number of files in mode shards (default: 1)")
    turning.add_argument("--codec", default="none", help="lossless codec of the values, or none (the default)")
    turning.add_argument("--to", type=Path, metavar="DIR", help="run directory for the result (default: beside it)")


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Parser of one action, which takes the run first."""
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory, or its directory of checkpoints")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; 0 if it went well, 4 if a checkpoint is bad."""
    act = {"list": _list, "verify": _verify, "prune": _prune, "convert": _convert}[arguments.action]
    return act(arguments)


def open_store(path: Path) -> CheckpointStore:
    """The checkpoints of a run directory, or of a directory of checkpoints.

    Raises
    ------
    DiskError
        If it is neither.
    """
    from hpcsim.output.checkpoint.store import CheckpointStore

    if not path.is_dir():
        raise DiskError(f"there is no directory {path}; give a run directory")
    if (path / FOLDER).is_dir():
        return CheckpointStore(path / FOLDER)
    store = CheckpointStore(path)
    if path.resolve().name != FOLDER and not store.names():
        raise DiskError(f"{path} holds no checkpoints; give a run directory with checkpoints in {FOLDER}/")
    return store


def _chosen(store: CheckpointStore, names: list[str]) -> list[str]:
    """The names given, or all; unknown ones are refused."""
    known = store.names()
    for name in names:
        if name not in known:
            raise ConfigError(unknown_name("checkpoint", name, known))
    return names or known


def _list(arguments: argparse.Namespace) -> int:
    """Print a table, the newest first."""
    store = open_store(arguments.run)
    rows = describe(store)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    if not rows:
        print(f"no checkpoints in {store.root}")
        return 0
    head = {"name": "name", "step": "step", "time": "t", "bytes": "size", "mode": "mode", "codec": "codec"}
    head |= {"needs": "needs", "state": "state"}
    lines = [head] + [{key: _cell(key, row[key]) for key in head} for row in rows]
    widths = {key: max(len(line[key]) for line in lines) for key in head}
    for line in lines:
        print("  ".join(text.ljust(widths[key]) for key, text in line.items()).rstrip())
    _, note = store.candidates()
    if note:
        print(note)
    return 0


def describe(store: CheckpointStore) -> list[dict[str, Any]]:
    """What there is to say of each checkpoint without reading its values, JSON-able, the newest first.

    ``bytes`` counts the files that it holds itself. ``state`` is ``current`` for the one that `CURRENT` names,
    ``accepted`` for older ones, ``newer`` for one that is newer than that, and ``bad`` with the ``problem``.
    """
    names, current = store.names(), store.current()
    newer = set(names[: names.index(current)]) if current in names else set()
    rows = []
    for name in names:
        row = dict.fromkeys(("step", "time", "mode", "codec", "ranks", "run"))
        row |= {"name": name, "bytes": _nbytes(store.path(name)), "needs": [], "problem": ""}
        row["state"] = "current" if name == current else "newer" if name in newer else "accepted"
        try:
            manifest = store.read_manifest(name)
            row |= {key: getattr(manifest, key) for key in ("step", "time", "mode", "codec", "ranks", "run")}
            row["needs"] = [other for other, _ in manifest.needs]
        except DiskError as error:
            row |= {"state": "bad", "problem": str(error)}
        rows.append(row)
    return rows


def _nbytes(path: Path) -> int:
    """Bytes of the files of a directory; links and what vanishes meanwhile count nothing."""
    total = 0
    for entry in path.iterdir():
        try:
            total += entry.lstat().st_size
        except OSError:
            continue
    return total


def _cell(key: str, value: Any) -> str:
    """A value for the table."""
    if value is None:
        return "?"
    if key == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.2f} MB"
    if key == "time":
        return f"{value:.6g}"
    return (",".join(value) or "-") if key == "needs" else str(value)


def _verify(arguments: argparse.Namespace) -> int:
    """Check and print the faults of each; 4 if there are any."""
    from hpcsim.output.checkpoint.verify import verify

    store = open_store(arguments.run)
    names = _chosen(store, arguments.names)
    if not names:
        raise NoCheckpointError(f"there is no checkpoint in {store.root}")
    found: dict[str, list[str]] = {}
    for name in names:
        found[name] = verify(store, name, structure=arguments.structure)
        if not arguments.json:
            print(f"{name}  {'BAD' if found[name] else 'good'}", *found[name], sep="\n    ", flush=True)
    if arguments.json:
        print(json.dumps(found, indent=1))
    return NoCheckpointError.exit_code if any(found.values()) else 0


def _prune(arguments: argparse.Namespace) -> int:
    """Remove what is old, under the lock of the run, and print the names."""
    from hpcsim.output.checkpoint.store import FEWEST_KEPT
    from hpcsim.output.directory import RunDirectory
    from hpcsim.output.lock import RunLock

    if arguments.keep < FEWEST_KEPT:
        raise ConfigError(f"--keep {arguments.keep}: at least {FEWEST_KEPT} checkpoints are kept")
    store = open_store(arguments.run)
    if arguments.dry_run:
        kept = store.keep_set(arguments.keep)
        gone = [name for name in store.names() if name not in kept]
    else:
        with RunLock(RunDirectory(store.root.absolute().parent).lock):
            gone = store.prune(arguments.keep)
    for name in gone:
        print(f"{'would remove' if arguments.dry_run else 'removed'} {name}")
    print(f"{len(store.names()) - (len(gone) if arguments.dry_run else 0)} kept in {store.root}")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    """Convert one checkpoint and print where the result is."""
    from hpcsim.comm.context import Context
    from hpcsim.output.checkpoint.convert import Form, convert
    from hpcsim.output.checkpoint.store import CheckpointStore

    store = open_store(arguments.run)
    names, _ = store.candidates()
    if not names:
        raise NoCheckpointError(f"there is no checkpoint in {store.root}")
    name = _chosen(store, [arguments.name or names[0]])[0]
    mode = arguments.mode or store.read_manifest(name).mode
    form = Form(mode, 1 if arguments.files is None else arguments.files, arguments.codec)
    target = store
    if arguments.to is not None:
        own = arguments.to.name == FOLDER
        target = CheckpointStore(arguments.to if own else arguments.to / FOLDER)
    with Context.launch() as context:
        made = convert(context, store, name, target, form, print)
        if context.rank == 0:
            print(target.path(made))
    return 0
