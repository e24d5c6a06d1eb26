"""``hpcsim run``: runs a case from its TOML file."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from hpcsim.cli.case import add_case_arguments, load_case, use_plugins
from hpcsim.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_case_arguments(parser)
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="run directory (default: runs/CASE)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the newest good checkpoint if the run directory has any",
    )
    add_run_arguments(parser)
    add_retry_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every verb that runs steps."""
    parser.add_argument("--log-ranks", default="0", metavar="LIST", help="ranks that print: '0', '0,3', '0-7', 'all'")
    parser.add_argument("--quiet", action="store_true", help="print no progress, only warnings and errors")
    parser.add_argument(
        "--walltime", metavar="TIME",
        help="stop with a checkpoint before this time has passed: '3600', '90 min', '1-12:00:00' (default: SLURM's)",
    )  # fmt: skip


def add_retry_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of starts that begin again by themselves when a rank is lost."""
    parser.add_argument(
        "--retries", type=int, default=0, metavar="N",
        help="start the ranks from here and go on from the newest good checkpoint when one is lost, up to N times",
    )  # fmt: skip
    parser.add_argument("--ranks", type=int, metavar="N", help="with --retries: ranks to start (default: 1)")
    parser.add_argument(
        "--launcher", metavar="COMMAND", help="with --retries: what starts the ranks (default: 'mpirun -n RANKS')"
    )


def run(args: argparse.Namespace) -> int:
    """Run the case; 0 only if ``run.json`` says that it finished, 75 if it was stopped and can go on."""
    began = time.monotonic()
    config = load_case(args)
    root = args.output_dir or Path("runs") / Path(args.case).stem
    if (root / "config.toml").resolve() == Path(args.case).resolve():
        raise ConfigError(f"--output-dir {root}: the run keeps its own config.toml there; choose another directory")
    if args.retries or args.ranks is not None or args.launcher is not None:
        from hpcsim.cli.retry import supervise

        return supervise(args, root, os.environ)
    from hpcsim.machine.threads import set_threads

    set_threads(config.run.threads)
    from hpcsim.comm.context import Context

    with Context.launch(config.run.threads) as context:
        use_plugins(args)
        from hpcsim.cli.start import Start, execute
        from hpcsim.output.checkpoint.store import CheckpointStore

        names, note = CheckpointStore(root / "ckpt").candidates() if args.resume else ([], "")
        return execute(context, Start(root, config, tuple(names), note), args, began)
