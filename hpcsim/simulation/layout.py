"""The blocks of a case."""

from __future__ import annotations

from hpcsim.lattice.layout import Layout, make_layout
from hpcsim.simulation.case import Case


def case_layout(case: Case, ranks: int, owners: tuple[int, ...] | None = None) -> Layout:
    """Blocks of a case for a number of ranks.

    Parameters
    ----------
    case : Case
        The case.
    ranks : int
        Number of ranks.
    owners : tuple of int, optional
        Owner of each block, to override the partition.

    Raises
    ------
    LayoutError
        If the decomposition cannot work; the message has the numbers and one that would.
    """
    lattice = case.config.lattice
    return make_layout(
        case.domain,
        ranks,
        ghost=max(1, case.ghost),
        block_shape=lattice.block_shape,
        curve=lattice.curve,
        partition=lattice.partition,
        owners=owners,
    )
