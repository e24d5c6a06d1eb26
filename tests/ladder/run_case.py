"""Runs cases in a process of its own and prints what must be the same: ``run_case.py [launch] JSON...``.

Each JSON text is ``{"name": ..., changes...}``; with ``launch`` the ranks of the launcher are used.
"""

from __future__ import annotations

import json
import sys

from hpcsim.comm.context import Context
from tests.ladder.cases import answer, case

wanted = [json.loads(text) for text in sys.argv[1:] if text != "launch"]
with Context.launch() if "launch" in sys.argv else Context.serial() as context:
    for changes in wanted:
        found = answer(case(changes.pop("name"), **changes), context)
        if context.rank == 0:
            print(json.dumps({**found, "mpi4py": "mpi4py" in sys.modules}), flush=True)
