"""``hpcsim compare A B``: are two results the same, bit by bit, and if not, how far apart."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("first", help="run directory or snapshot file")
    parser.add_argument("second", help="run directory or snapshot file to compare with")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--rtol", type=float, help="accept differences up to this size, relative to the larger value")
    parser.add_argument("--atol", type=float, help="accept differences up to this size")


def run(arguments: argparse.Namespace) -> int:
    """Compare and print; 0 if identical (or within the tolerances given), else 1."""
    import json

    from hpcsim.output.compare import compare_results

    outcome = compare_results(arguments.first, arguments.second)
    print(json.dumps(outcome.as_dict(), indent=1) if arguments.json else outcome.text())
    if outcome.identical:
        return 0
    if arguments.rtol is None and arguments.atol is None:
        return 1
    close = not outcome.notes and all(
        d.identical or d.max_abs <= (arguments.atol or 0.0) or d.max_rel <= (arguments.rtol or 0.0)
        for d in outcome.differences
        if not d.what.startswith("digest of ")
    )
    if not arguments.json:
        print("within the tolerances" if close else "beyond the tolerances")
    return 0 if close else 1
