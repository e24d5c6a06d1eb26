"""One rank holds another configuration (F-27)."""

from __future__ import annotations

import sys

from hpcsim.comm.context import Context

with Context.launch() as context:
    odd = int(sys.argv[1])
    text = "stop_time = 20.0" if context.rank != odd else "stop_time = 21.0"
    context.same(b"versions", "versions")
    context.same(text.encode(), "configuration")
    print("finished", flush=True)
