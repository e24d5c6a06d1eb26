"""Memory that constraints and implicit steps will need: registers, tables, and the vectors of their solvers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.layout import Block
from hpcsim.simulation.case import Case
from hpcsim.sweeps.sweep import Solve
from hpcsim.sweeps.transforms import Propagate
from hpcsim.symbolic.linearize import Linearization, linearize
from hpcsim.symbolic.simplify import invariant

VALUE = 8
# Vectors of one value per unknown: right side and solution, and what the method works with.
VECTORS = {"pointwise": 3, "fft": 3, "multigrid": 9, "krylov": 9, "petsc": 10}
# Per entry of an assembled matrix: row, column and value while it is put together, twice, then PETSc's copy and its
# coarser levels.
ENTRY = 3 * (VALUE + 8 + 8)
PETSC_BYTES = 64 << 20
"""What the library itself adds to the process."""


class SolverArray(NamedTuple):
    """A register that a solver adds.

    Attributes
    ----------
    owner : str
        Its name.
    spec : FieldSpec
        Its shape.
    """

    owner: str
    spec: FieldSpec


def solver_registers(case: Case) -> Iterator[SolverArray]:
    """Registers of all solvers, each once."""
    seen: set[str] = set()
    for problem in problems(case):
        linear = _linear(problem)
        arrays = [
            SolverArray(f"{register}@{problem.name}.{role}", case.specs[case.sources[register]])
            for register, _ in problem.unknowns
            for role in ("residual", "direction")
        ]
        varying = sum(not invariant(entry.coefficient) for entry in linear.entries)
        dtype = case.specs[case.sources[problem.unknowns[0][0]]].dtype
        if varying:
            arrays.append(SolverArray(f"{problem.name}@coefficients", FieldSpec("table", varying, dtype=dtype)))
        if likely_method(case, problem, linear) == "petsc":
            arrays += [
                SolverArray(f"{register}@{problem.name}.number.{place}", FieldSpec("number"))
                for place, (register, _) in enumerate(problem.unknowns)
            ]
        for array in arrays:
            if array.owner not in seen:
                seen.add(array.owner)
                yield array


def solver_vectors(case: Case, blocks: tuple[Block, ...]) -> Iterator[tuple[str, int]]:
    """Name and bytes of what each solver holds beside registers on a rank with these blocks."""
    sites = sum(math.prod(block.shape) for block in blocks)
    if any(likely_method(case, problem, _linear(problem)) == "petsc" for problem in problems(case)):
        yield "PETSc", PETSC_BYTES
    for problem in problems(case):
        linear = _linear(problem)
        method = likely_method(case, problem, linear)
        nbytes = VECTORS[method] * VALUE * linear.size * sites
        if method == "petsc":
            nbytes += ENTRY * len(linear.entries) * sites
        yield f"solver {problem.name}", nbytes
    for stage in case.scheme.stages:
        if isinstance(stage, Propagate):
            # The modes are complex; with them the factors of the step.
            yield "modes", 10 * VALUE * sites


def problems(case: Case) -> list[Solve]:
    """Systems that a run solves, each once."""
    scheme = case.scheme
    stages = [s for s in (*scheme.start, *scheme.stages, *scheme.constraints) if isinstance(s, Solve)]
    return list({(stage.name, stage.unknowns, stage.residuals): stage for stage in stages}.values())


def likely_method(case: Case, problem: Solve, linear: Linearization) -> str:
    """The solver that the configuration names or that the form of the equations will lead to."""
    asked = case.config.solver.of(problem.name).method
    if asked != "auto":
        return asked
    if linear.pointwise:
        return "pointwise"
    if linear.star:
        return "fft" if linear.constant else "multigrid"
    return "petsc"


def _linear(problem: Solve) -> Linearization:
    return linearize(problem.residuals, problem.unknowns)
