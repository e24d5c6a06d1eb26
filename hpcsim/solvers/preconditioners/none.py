"""No preconditioner."""

from __future__ import annotations

from hpcsim.solvers.preconditioners.base import Preconditioner


class NoPreconditioner(Preconditioner):
    """The identity: for well conditioned matrices, and to compare with."""

    pc_type = "none"
    needs_rows = False
