"""``hpcsim check``: reports every fault of a case without running it."""

from __future__ import annotations

import argparse
import math

from hpcsim.cli.case import add_case_arguments, load_case, naming_file, use_plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_case_arguments(parser)
    parser.add_argument("--ranks", type=int, default=1, metavar="N", help="check the decomposition for N ranks")


def run(args: argparse.Namespace) -> int:
    """Check the case; faults are errors with exit code 2."""
    config = load_case(args)
    use_plugins(args)
    from hpcsim.simulation.case import make_case
    from hpcsim.simulation.layout import case_layout

    with naming_file(args):
        case = make_case(config)
        layout = case_layout(case, args.ranks)
    cells = math.prod(case.domain.shape)
    print(f"{args.case}: no faults")
    print(f"  model       {case.model.name}, fields {', '.join(case.specs)}")
    print(f"  lattice     {' x '.join(map(str, case.domain.shape))} = {cells} cells, {case.domain.ndim}-D")
    order = f" (order {case.scheme.order})" if case.system.equations else ""
    print(f"  scheme      {case.scheme.name}{order}, differences of order {config.model.order}")
    if case.solvers:
        print(f"  solvers     {', '.join(case.solvers)}")
    print(f"  ghosts      {max(1, case.ghost)} layer(s)")
    print(f"  blocks      {len(layout.blocks)} on {args.ranks} rank(s)")
    return 0
