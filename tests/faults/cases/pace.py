"""A plug-in kernel that changes nothing and takes PACE_S seconds a step, so that a test can act in mid-run.

With PACE_DIE the first rank leaves at the first step.
"""

from __future__ import annotations

import os
import time
from typing import Any

from hpcsim.integrators.raw import RAW_KERNELS, RawKernel

PACE_S = float(os.environ.get("PACE_S", "0"))


def pace(*arguments: Any) -> None:
    """Take a while."""
    if os.environ.get("PACE_DIE") and os.environ.get("OMPI_COMM_WORLD_RANK", "0") == "0":
        os._exit(1)
    if PACE_S:
        time.sleep(PACE_S)


RAW_KERNELS.register("pace", RawKernel(pace, ["E"]))
