"""F-24: the code of the how-to page runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from hpcsim.boundary import BOUNDARIES

PAGE = Path(__file__).parents[3] / "docs" / "add-a-boundary-condition.md"


def test_the_snippets_of_the_how_to_run():
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    known = set(BOUNDARIES)
    try:
        exec(compile("\n".join(snippets), str(PAGE), "exec"), {"__name__": "page"})
        assert set(BOUNDARIES) - known == {"fading", "inflow"}
    finally:
        for name in set(BOUNDARIES) - known:
            BOUNDARIES._objects.pop(name)
