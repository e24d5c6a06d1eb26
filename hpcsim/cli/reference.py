"""``hpcsim reference``: prints every configuration key, or writes the reference pages of the documentation."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--json-schema", action="store_true", help="print a JSON schema for editors instead")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write the pages configuration.md and python.md into a directory"
    )


def run(args: argparse.Namespace) -> int:
    """Print the reference as Markdown or the schema, or write the pages."""
    from hpcsim.config import reference

    if args.json_schema:
        print(reference.json_text(), end="")
    elif args.output is None:
        print(pages()["configuration.md"], end="")
    else:
        from hpcsim.output.files import disk_errors

        with disk_errors("write the reference to", args.output):
            args.output.mkdir(parents=True, exist_ok=True)
            for name, text in pages().items():
                (args.output / name).write_text(text, encoding="utf-8")
                print(args.output / name)
    return 0


def pages() -> dict[str, str]:
    """Name to text of every generated page."""
    from hpcsim.cli.reference_names import names_markdown
    from hpcsim.cli.reference_python import python_markdown
    from hpcsim.config import reference

    configuration = f"{reference.markdown().rstrip()}\n\n{names_markdown()}"
    return {"configuration.md": configuration, "python.md": python_markdown()}
