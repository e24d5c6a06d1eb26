"""``hpcsim status``: step, time to go and last checkpoint of a run, live or ended."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print what is known of the run; 0 whether or not it is alive."""
    from hpcsim.output.status import describe_status, read_status

    facts = read_status(args.run)
    print(json.dumps(facts, indent=1) if args.json else describe_status(facts))
    return 0
