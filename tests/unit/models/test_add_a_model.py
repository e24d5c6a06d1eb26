"""The snippets of docs/add-a-model.md run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from hpcsim.models.build import build_model

PAGE = Path(__file__).parents[3] / "docs" / "add-a-model.md"


def test_snippets_run_in_order() -> None:
    """In a process of their own, because they add a name to the table of models."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, cwd=PAGE.parents[1]
    )
    assert done.returncode == 0, done.stderr


def test_the_case_of_the_page_is_a_model() -> None:
    lines = re.search(r"(?:^    .*\n)+", PAGE.read_text(), re.MULTILINE)
    assert lines is not None
    table = tomllib.loads(re.sub(r"^    ", "", lines[0], flags=re.MULTILINE))["model"]
    model = build_model(**table, ndim=1)
    assert model.system(1).orders == {"u": 1, "v": 1}
