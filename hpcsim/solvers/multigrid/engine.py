"""Pools, tables and compiled loops of one solver: runs programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box
from hpcsim.solvers.multigrid import fields
from hpcsim.solvers.multigrid.assemble import Assembler, Program
from hpcsim.solvers.multigrid.halo import Gather, Halo
from hpcsim.solvers.multigrid.kernels import load_move, load_run
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.memory import zeros
from hpcsim.solvers.multigrid.source import Form
from hpcsim.solvers.multigrid.tables import Tables, bases_of

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]


class Engine:
    """Runs programs on the levels of a rank.

    Parameters
    ----------
    context : Context
        The ranks.
    everyone : sequence of sequence of Level
        The levels as each rank sees them.
    form : Form
        What the loops are compiled for.
    threads : int
        Threads of this rank.

    Attributes
    ----------
    levels : sequence of Level
        Those of this rank.
    tables : Tables
        Their tables.
    assembler : Assembler
        Takes programs until `finish`.
    scalars : float64 array
        Scale of what comes in and goes out, and what is taken from the right side; see `fields.SCALARS`.
    """

    def __init__(self, context: Context, everyone: Sequence[Sequence[Level]], form: Form, threads: int) -> None:
        self._context, self._everyone, self._form = context, everyone, form
        self.levels = everyone[context.rank]
        self.tables = Tables(self.levels)
        self.assembler = Assembler(self.levels, self.tables, threads)
        self._run: Callable[..., None] = load_run(form)
        self.dtype = form.dtype
        length, dtype = self.tables.length, form.dtype
        second = length if form.polynomial else 1
        sizes = {"U": length, "F": length, "P": second}
        self.pools = {
            name: [zeros(size, dtype, 2 * number), zeros(size, dtype, 2 * number + 1)]
            for number, (name, size) in enumerate(sizes.items())
        }
        self.weights: NDArray[Any] = np.ones(1, dtype)
        self.dense: NDArray[Any] = np.zeros(1, dtype)
        self.scalars = np.array([1.0, 1.0, 0.0])
        self.sums = np.zeros(2 * int(np.prod(self.levels[0].total)))
        self._halos: dict[tuple[int, int], Halo] = {}
        self._gathers: dict[int, Gather] = {}

    def finish(self, programs: Sequence[Program]) -> None:
        """Take over the assembled programs; collective."""
        found = self.assembler.finish()
        self._code, self._ops, self._strips = found["code"], found["ops"], found["strips"]
        self._runs, self._parameters = found["runs"], found["parameters"]
        parts = self.assembler.parts
        level = self.levels[0]
        ring = max(fields.RING * int(np.prod(own.total[1:])) * 2 * own.pitch for own in self.levels)
        row = max(2 * own.pitch for own in self.levels) + 4 * fields.MARGIN
        row = max(row, self.levels[-1].size + 2 * fields.MARGIN)
        self._parts = parts
        self._scratch = [zeros(parts * ring, self._form.dtype, 6), zeros(parts * row, self._form.dtype, 7)]
        self._row = zeros(parts * -(-level.sites // fields.MARGIN) * fields.MARGIN, np.float64, 3)
        for program in programs:
            for item in program:
                self._connect(item.kind, item.first, item.second)

    def _connect(self, kind: str, number: int, width: int) -> None:
        dtype = self._form.dtype
        if kind == "ghosts":
            self.halo(number, width)
        elif kind == "gather" and number not in self._gathers:
            parts: list[Box] = [own[number].part for own in self._everyone]
            base = self.tables.bases[number]
            self._gathers[number] = Gather(self._context, self.levels[number], base, parts, dtype, self._move)

    def halo(self, number: int, width: int) -> Halo:
        """The exchange of so many ghost rows of a level; collective when made."""
        if (number, width) not in self._halos:
            levels = [own[number] for own in self._everyone]
            bases = [bases_of(own)[number] for own in self._everyone]
            self._halos[number, width] = Halo(self._context, levels, bases, width, self.dtype, self._move)
        return self._halos[number, width]

    @cached_property
    def _move(self) -> Callable[..., None]:
        return load_move(self._form)

    def set_dense(self, matrix: Values) -> None:
        """Take over the inverse of the coarsest level."""
        self.dense = matrix.astype(self.dtype).ravel()

    def numbers(self, natural: Values) -> None:
        """Take over the tables: weights for the levels, and those for arrays in natural order."""
        self._integers = self.tables.integer_table
        self._places = self.tables.rows.ravel().copy()
        self._numbers = self.tables.number_table.astype(self._form.dtype)
        self._natural = natural

    def run(self, program: Program, right: Values, solution: Values) -> None:
        """Run a program; collective if levels are cut.

        Parameters
        ----------
        program : Program
            Made by the assembler.
        right, solution : float64 array
            Flat arrays in natural order that the tables describe.
        """
        U, F, P = self.pools["U"], self.pools["F"], self.pools["P"]
        for item in program:
            if item.kind == "run":
                self._run(
                    item.first, item.second, self._parts, self._code, self._ops, self._strips, self._runs,
                    self._places, self._integers, self._numbers, self._parameters, *U, *F, *P, self.weights,
                    *self._scratch, self._row, right, solution, self._natural, self.dense, self.scalars, self.sums,
                )  # fmt: skip
            elif item.kind == "ghosts":
                self._halos[item.first, item.second].run(*self.pools[item.register])
            else:
                self._gathers[item.first].run(*F)

    def square(self, loaded: bool = False) -> float:
        """Sum over the ranks of the squares that the last program summed by rows; collective if levels are cut.

        Parameters
        ----------
        loaded : bool
            Of the right side that was loaded, else of the residual.
        """
        half = len(self.sums) // 2
        own = float((self.sums[half:] if loaded else self.sums[:half]).sum())
        return own if self.levels[0].shared else self.total(own)

    def total(self, own: float) -> float:
        """Sum over the ranks, in their order; collective."""
        every = np.zeros(self._context.size)
        self._context.comm.Allgather(np.array([own]), every)
        return float(every.sum())

    def least(self, own: float) -> float:
        """Smallest value of the ranks; collective."""
        return float(self._context.min(own))
