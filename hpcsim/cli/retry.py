"""The option ``--retries`` of ``run`` and ``restart``: start the ranks from here, and again when one is lost."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from hpcsim.comm.launch_check import launched
from hpcsim.errors import ConfigError, LaunchError
from hpcsim.launch.retry import Supervisor, without_options

_OWN = ("--retries", "--ranks", "--launcher")


def supervise(args: argparse.Namespace, root: Path, environment: Mapping[str, str]) -> int:
    """Run the same command line under a launcher, and go on from the newest checkpoint after a lost rank.

    Raises
    ------
    LaunchError
        If this process was itself started by a launcher.
    ConfigError
        If a number is not positive.
    """
    if launched(environment):
        raise LaunchError("--retries starts the ranks itself; leave mpirun or srun out and give --ranks N")
    for name, value, least in (("--retries", args.retries, 0), ("--ranks", args.ranks, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{name} {value}: at least {least} is needed")
    launcher = shlex.split(args.launcher) if args.launcher else ["mpirun", "-n", str(args.ranks or 1)]
    python = [*launcher, sys.executable, "-m", "hpcsim"]
    own = without_options(args.raw, _OWN)
    petsc = ["--", *args.petsc] if args.petsc else []
    if args.verb == "run":
        again = [str(root), *without_options(own[:], ["--output-dir"])]
        again = ["restart", *_case_to_option(again, args.case)]
    else:
        again = ["restart", *own]

    def say(line: str) -> None:
        print(f"hpcsim: {line}", file=sys.stderr, flush=True)

    stops = args.signals
    return Supervisor(
        root, [*python, args.verb, *own, *petsc], [*python, *again, *petsc], args.retries, say, lambda: stops.number
    ).run()


def _case_to_option(arguments: list[str], case: str) -> list[str]:
    """Arguments of ``restart`` that take the configuration from the case file of ``run``."""
    place = arguments.index(case, 1)
    rest = [argument for argument in arguments[:place] + arguments[place + 1 :] if argument != "--resume"]
    return [*rest, "--case", case]
