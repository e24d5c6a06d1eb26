"""Native multigrid for star-shaped operators on rectangular grids, one to four axes, on ranks and threads.

A level stores the sites of a row by colour, so that every loop is unit stride. A cycle is a list of *passes*; a pass
runs several *stages* (half sweeps, residual, transfers) in one walk over memory, stage j some planes behind stage 0.
Everything that is index-like is tabulated at set-up; the compiled loops interpret the tables.
"""
