"""Only start; print what the launch checks say (F-28, F-29)."""

from __future__ import annotations

import sys

from hpcsim.comm.abort import describe, exit_code
from hpcsim.comm.context import Context
from hpcsim.errors import HpcsimError

try:
    with Context.launch(int(sys.argv[1])) as context:
        for note in context.warnings:
            print(f"note: {note}", flush=True)
        print(f"rank {context.rank} of {context.size} crowded {context.crowded} mpi4py {'mpi4py' in sys.modules}")
except HpcsimError as error:
    print(describe(error), file=sys.stderr, flush=True)
    library = sys.modules.get("mpi4py.MPI")
    print(f"MPI was started: {library is not None and library.Is_initialized()}", flush=True)
    sys.exit(exit_code(error))
