"""Places of numbers in the tables that the compiled loops read; the generated source and the tables share them."""

from __future__ import annotations

AXES = 3
"""Most outer axes, those along which rows are stacked; the last axis is the row."""

# A level: one row of integers. Per outer axis there are AXES places from the named one on.
LEVEL = (
    "SITES",  # unknowns of a row
    "BASE",  # element of the pool where local index 0 of every outer axis begins
    "PARITY",  # parity of the global indices of that place
    "WRAP",  # whether rows are periodic
    "ROW",  # float table of the row: centre, then lower, upper, extra away from ends, at the first and the last site
    "HALF",  # room for one colour of a row in scratch
    "STEP",  # per axis: elements between neighbours
    "WEIGHTS",  # per axis: float tables lower, upper, extra, one value per local index each
    "TOTAL",  # per axis: local indices, ghosts included
    "FIRST",  # per axis: first own local index
    "LAST",  # per axis: one past the last own local index
    # Transfers to and from the next coarser level.
    "MODE",  # how rows are coarsened: NESTED, TABLE or SAME
    "BELOW",  # per axis: integer table, coarse local index below each local index
    "SHARE",  # per axis: float tables, weights of the coarse site below and of the one above
    "FROM",  # per axis: integer table, first local index of each coarse local index
    "MEAN",  # per axis: float table, TAPS weights per coarse local index
    "ROWBELOW",  # integer table, coarse site below each site of a row
    "ROWSHARE",  # float table: weight of the coarse site above for each site; before it the ghost factors
    "ROWFROM",  # integer table, TAPS places in scratch per coarse site of a row
    "ROWMEAN",  # float table, TAPS weights per coarse site
    # Natural arrays of the finest level: right side and solution.
    "RIGHT",  # element of the right side at local index 0
    "RIGHTSTEP",  # per axis
    "SOLUTION",  # element of the solution at local index 0
    "SOLUTIONSTEP",  # per axis
    "BEFORE",  # per axis: integer tables, elements to the lower and to the upper neighbour at each local index
)
_PER_AXIS = {
    "STEP", "WEIGHTS", "TOTAL", "FIRST", "LAST", "BELOW", "SHARE", "FROM", "MEAN", "RIGHTSTEP", "SOLUTIONSTEP",
    "BEFORE",
}  # fmt: skip


def places() -> dict[str, int]:
    """Place of every field in the row of a level.

    Examples
    --------
    >>> places()["SITES"], places()["WEIGHTS"] - places()["STEP"]
    (0, 3)
    """
    found, place = {}, 0
    for name in LEVEL:
        found[name] = place
        place += AXES if name in _PER_AXIS else 1
    return found


LEVEL_WIDTH = sum(AXES if name in _PER_AXIS else 1 for name in LEVEL)

# How rows are coarsened.
NESTED, TABLE, SAME = 0, 1, 2

# Numbers of the row table, in order.
ROW_NUMBERS = ("centre", "lower", "upper", "lower0", "upper0", "extra0", "lower1", "upper1", "extra1")

# Instructions of a program: one row of integers each.
PASS, COPY, DIRECT = 0, 1, 2
INSTRUCTION_WIDTH = 8

# Stages of a pass.
STAGES = (
    "LOAD",  # right side to the level, scaled; sums squares
    "START",  # first half sweep from zero: colour 0
    "FRESH",  # second half sweep from zero: colour 1
    "RELAX0",  # half sweep of colour 0
    "RELAX1",  # half sweep of colour 1
    "RESTRICT",  # residual, restricted to the coarser level
    "INJECT",  # right side, restricted to the coarser level
    "CORRECT",  # adds the interpolated correction
    "ASSIGN",  # the interpolated correction itself
    "ADD",  # adds the level to the solution
    "SET",  # the level as solution
    "RESIDUAL",  # residual of the solution to the level, scaled; sums squares
    "OPERATE",  # operator on the solution, to the right side
    "POLYU0",  # first step of the polynomial from zero, and zero to the second iterate
    "POLYV0",  # the same with the iterates exchanged
    "POLYU",  # a step of the polynomial from the second iterate
    "POLYV",  # a step of the polynomial to the second iterate
    "TAKE",  # the second iterate becomes the first
)
OPS_WIDTH = 3

# Scalars of a call.
SCALARS = ("INWARD", "OUTWARD", "MEAN")
MARGIN = 16
"""Places before a row of scratch, for ghosts."""

RING = 4
"""Planes of residuals that are kept until they are restricted; at least TAPS."""
