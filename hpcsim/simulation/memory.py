"""Refuses a case whose state cannot fit into the memory of its nodes, before anything is allocated."""

from __future__ import annotations

import math
import os

from hpcsim.comm.context import Context
from hpcsim.errors import Problem
from hpcsim.lattice.storage import Storage
from hpcsim.simulation.case import Case
from hpcsim.simulation.faults import report_together


def check_memory(case: Case, context: Context, storage: Storage, itemsize: int) -> None:
    """Compare what the ranks of a node need for the registers with what the node has; collective.

    Raises
    ------
    ConfigError
        On every rank, if a node has less memory than its ranks need.
    """
    needed = sum(int(text) for text in context.gather_node_text(str(state_bytes(case, storage, itemsize))))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    faults = []
    if needed > memory:
        cells = math.prod(case.domain.shape)
        ranks = f"{context.node_size} rank{'s' if context.node_size > 1 else ''}"
        faults.append(
            Problem(
                "lattice.shape",
                f"{cells} cells need {_size(needed)} for the {ranks} of {context.hosts[context.rank]}, which has "
                f"{_size(memory)}; use more nodes or a smaller lattice",
            )
        )
    report_together(context, faults)


def state_bytes(case: Case, storage: Storage, itemsize: int) -> int:
    """Bytes of the registers of this rank: fields, levels of the scheme, tables of space-dependent parameters."""
    arrays = sum(case.specs[source].components for source in case.sources.values())
    arrays += len(case.discrete.discretizer.statics)
    return arrays * len(storage.blocks) * storage.sites * itemsize


def _size(nbytes: int) -> str:
    """Bytes with a unit.

    Examples
    --------
    >>> _size(3 * 2**30), _size(7 * 2**40)
    ('3.0 GiB', '7168.0 GiB')
    """
    return f"{nbytes / 2**30:.1f} GiB"
