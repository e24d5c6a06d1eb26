"""Runs one page of the documentation from top to bottom in the current directory: ``python page.py PAGE.md``.

- A ``python`` block is executed; all blocks of a page share their names. One that begins with ``# name.py`` is also
  written to that file.
- A ``toml`` block that begins with ``# name.toml`` is written to that file.
- A ``console`` block is run line by line; ``# exit code N`` at the end of a line says what is expected instead of 0.

Other blocks (``bash``, ``text``) are for reading.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.(?:py|toml))\n")
EXPECTED = re.compile(r"\s+# exit code (\d+)$")


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return BLOCK.findall(text)


def commands(text: str) -> list[tuple[str, int]]:
    """Command lines of all console blocks with the exit codes they should have."""
    found = []
    for language, content in blocks(text):
        for line in content.splitlines() if language == "console" else ():
            match = EXPECTED.search(line)
            command = line.removeprefix("$ ")
            found.append((EXPECTED.sub("", command), int(match[1]) if match else 0))
    return found


def is_case(content: str) -> bool:
    """Whether a TOML block is a whole case."""
    return {"lattice", "model", "run"} <= tomllib.loads(content).keys()


def main(page: Path) -> None:
    """Run the blocks in order; the first that fails ends the process."""
    names: dict[str, object] = {"__name__": page.stem}
    expected = iter(commands(page.read_text()))
    for language, content in blocks(page.read_text()):
        if match := FILE.match(content):
            Path(match[1]).write_text(content)
        if language == "python":
            exec(compile(content, f"{page.name} block", "exec"), names)
        for _ in content.splitlines() if language == "console" else ():
            command, code = next(expected)
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=100)
            if done.returncode != code:
                sys.exit(f"{command}\nended with {done.returncode}, not {code}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
