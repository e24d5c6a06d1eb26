"""``hpcsim warmup``: compiles the kernels of a case, so that the job itself starts at once."""

from __future__ import annotations

import argparse

from hpcsim.cli.case import add_case_arguments, load_case, naming_file, use_plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_case_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compile every kernel of the case into the cache of this machine."""
    config = load_case(args)
    from hpcsim.machine.threads import set_threads

    set_threads(config.run.threads)
    use_plugins(args)
    from hpcsim.native.store import cache_directory
    from hpcsim.simulation.case import make_case
    from hpcsim.simulation.warmup import compile_case

    with naming_file(args):
        case = make_case(config)
    count, seconds = compile_case(case)
    print(f"{args.case}: {count} kernel(s) ready in {seconds:.1f} s, kept in {cache_directory()}")
    return 0
