"""``hpcsim inspect``: shows how a case becomes equations, stencils, loop nests and source."""

from __future__ import annotations

import argparse

from hpcsim.cli.case import add_case_arguments, load_case, naming_file, use_plugins

STAGES = ("equation", "stencil", "nest", "source")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_case_arguments(parser)
    parser.add_argument(
        "--stage", choices=(*STAGES, "all"), default="all", help="which form to show (default: all four)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the forms of the case, from the equation to the compiled source."""
    config = load_case(args)
    use_plugins(args)
    from hpcsim.simulation.case import make_case
    from hpcsim.simulation.inspect import describe

    with naming_file(args):
        case = make_case(config)
    print(describe(case, STAGES if args.stage == "all" else (args.stage,)))
    return 0
