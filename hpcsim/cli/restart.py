"""``hpcsim restart``: goes on with a run from its newest good checkpoint, on any number of ranks."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from hpcsim.cli.case import add_change_arguments, changes, use_plugins
from hpcsim.cli.run import add_retry_arguments, add_run_arguments
from hpcsim.config.load import load
from hpcsim.simulation.checkpoint import best_config, candidates


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument(
        "--from", dest="source", metavar="NAME", help="checkpoint to go on from (default: the newest good one)"
    )
    parser.add_argument("--case", type=Path, metavar="FILE", help="TOML file with a configuration that changed")
    add_change_arguments(parser)
    add_run_arguments(parser)
    add_retry_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Go on with the run; 0 only if it finished, 75 if it was stopped and can go on, 4 if no checkpoint is good."""
    began = time.monotonic()
    root: Path = args.run
    names, note = candidates(root, args.source)
    config = load(args.case, changes(args)) if args.case else best_config(root, names, changes(args))
    args.case = args.case or root
    if args.retries or args.ranks is not None or args.launcher is not None:
        from hpcsim.cli.retry import supervise

        return supervise(args, root, os.environ)
    from hpcsim.machine.threads import set_threads

    set_threads(config.run.threads)
    from hpcsim.comm.context import Context

    with Context.launch(config.run.threads) as context:
        use_plugins(args)
        from hpcsim.cli.start import Start, execute

        return execute(context, Start(root, config, tuple(names), note), args, began)
