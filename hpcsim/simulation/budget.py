"""The memory guard: a run that its nodes cannot hold is refused before anything is allocated, with what would fit."""

from __future__ import annotations

import math

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.config.sections.memory import budget_bytes
from hpcsim.errors import HpcsimError, Problem
from hpcsim.lattice.layout import Layout
from hpcsim.simulation.case import Case
from hpcsim.simulation.faults import report_together
from hpcsim.simulation.layout import case_layout
from hpcsim.simulation.memory import MemoryNeed, predict, resized
from hpcsim.simulation.node import node_memory
from hpcsim.sizes import size_text

_MOST_NAMED = 40
_ARRAYS = ("register", "table", "scratch", "copy")
_MOST_NODES = 1 << 20
_SHRINK = 0.995
_TRIES = 200


def check_memory(case: Case, context: Context, layout: Layout, copies: int = 0) -> int:
    """Compare what the ranks of a node will need with the budget; collective.

    Parameters
    ----------
    case : Case
        What is solved.
    context : Context
        The ranks.
    layout : Layout
        The blocks.
    copies : int
        Copies of the state that will be kept (checkpoints in the background).

    Returns
    -------
    int
        Bytes that the pool of this rank may hold: its part of the budget, less what is not of the pool.

    Raises
    ------
    ConfigError
        On every rank, if the ranks of a node need more than its budget.
    """
    need = predict(case, layout, context.rank, copies=copies)
    parts = np.zeros(context.node_size, np.int64)
    context.node_comm.Allgather(np.array([need.budgeted], np.int64), parts)
    total = int(parts.sum())
    offered = node_memory()
    budget = budget_bytes(case.config.memory.budget, offered)
    faults = []
    if total > budget:
        faults.append(Problem("lattice.shape", _refusal(case, context, layout, need, total, budget, offered, copies)))
    report_together(context, faults)
    # Where blocks are dealt unevenly the budget follows the need.
    return budget * need.budgeted // total - (need.budgeted - need.pooled)


def _refusal(
    case: Case, context: Context, layout: Layout, need: MemoryNeed, total: int, budget: int, offered: int, copies: int
) -> str:
    ranks = f"{context.node_size} rank{'s' if context.node_size > 1 else ''}"
    shape = " x ".join(map(str, case.domain.shape))
    text = (
        f"{shape} cells need {size_text(total)} of memory for the {ranks} of {context.hosts[context.rank]}; the budget "
        f'is {size_text(budget)} (memory.budget = "{case.config.memory.budget}"; the node offers {size_text(offered)}).'
    )
    text += f" {'One rank' if context.size > 1 else 'The run'} holds {_owners(case, need)}."
    return f"{text} {_remedies(case, context, need, budget // context.node_size, copies)}"


def _owners(case: Case, need: MemoryNeed) -> str:
    """Every register with its bytes, or every field where that is too long to read; then the rest."""
    arrays = {row.owner: max(row.nbytes, row.pooled) for row in need.rows if row.kind in _ARRAYS}
    if len(arrays) > _MOST_NAMED:
        fields: dict[str, int] = {}
        for name, size in arrays.items():
            field = case.sources.get(name.removeprefix("copy of "), name)
            fields[field] = fields.get(field, 0) + size
        arrays = fields
    named = [f"{name} {size_text(size)}" for name, size in list(arrays.items())[:_MOST_NAMED]]
    if len(arrays) > _MOST_NAMED:
        named.append(f"{len(arrays) - _MOST_NAMED} more {size_text(sum(list(arrays.values())[_MOST_NAMED:]))}")
    others = {
        "messages": sum(row.nbytes for row in need.rows if row.kind == "exchange"),
        "passing arrays": max((row.nbytes for row in need.rows if row.kind == "passing"), default=0),
        "program and libraries": need.process,
    }
    return ", ".join([*named, *(f"{name} {size_text(size)}" for name, size in others.items() if size)])


def _remedies(case: Case, context: Context, need: MemoryNeed, budget: int, copies: int) -> str:
    """What would fit: a smaller lattice, more nodes, single precision."""
    found = []
    shape = largest_lattice(case, context.size, budget, need, copies)
    if shape is not None:
        found.append(f"{' x '.join(map(str, shape))} cells")
    nodes = nodes_needed(case, context.size, budget, need, copies)
    if nodes is not None:
        found.append(f"{nodes} times as many nodes")
    if next(iter(case.specs.values())).dtype == "float64":
        saved = sum(row.nbytes for row in need.rows if row.kind in _ARRAYS) // 2
        found.append(f'run.dtype = "float32" (saves {size_text(saved)} a rank)')
    return f"What would fit or help: {'; '.join(found)}"


def largest_lattice(case: Case, ranks: int, budget: int, need: MemoryNeed, copies: int = 0) -> tuple[int, ...] | None:
    """The largest lattice of the same proportions that fits into the budget of a rank; None if none does.

    Parameters
    ----------
    case : Case
        The case.
    ranks : int
        Number of ranks.
    budget : int
        Bytes of a rank.
    need : MemoryNeed
        What the case needs as it is.
    copies : int
        Copies of the state.
    """
    process, ndim = need.process, case.domain.ndim
    if budget <= process:
        return None
    factor = min(1.0, ((budget - process) / (need.budgeted - process)) ** (1.0 / ndim))
    # Ghosts weigh more on a smaller lattice: a little less than in proportion.
    for _ in range(_TRIES):
        shape = tuple(max(1, int(n * factor)) for n in case.domain.shape)
        found = _need_of(resized(case, shape), ranks, copies, process)
        if found is not None and found <= budget:
            return shape
        factor *= _SHRINK
    return None


def nodes_needed(case: Case, ranks: int, budget: int, need: MemoryNeed, copies: int = 0) -> int | None:
    """How many times as many nodes, with as many ranks on each, would hold the case; None if that is not known.

    Parameters as for `largest_lattice`.
    """
    process = need.process
    if budget <= process:
        return None
    first = math.ceil((need.budgeted - process) / (budget - process))
    for nodes in range(first, min(2 * first + 4, _MOST_NODES)):
        found = _need_of(case, ranks * nodes, copies, process)
        if found is not None and found <= budget:
            return nodes
    return None


def _need_of(case: Case, ranks: int, copies: int, process: int) -> int | None:
    """Bytes of the rank that needs most, taken to be the one with most cells; None if the layout cannot work."""
    try:
        layout = case_layout(case, ranks)
    except HpcsimError:
        return None
    cells = [sum(math.prod(block.shape) for block in layout.local(rank)) for rank in range(ranks)]
    need = predict(case, layout, int(np.argmax(cells)), copies=copies)
    return need.budgeted - need.process + process
