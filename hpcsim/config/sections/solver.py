"""Sections ``[solver]`` and ``[petsc]``: how constraints and implicit steps are solved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from hpcsim.config.values import (
    NAME,
    FrozenDict,
    Integer,
    Name,
    Positive,
    Real,
    Section,
    check_scalar,
    fault,
    key,
    shown,
)

STEP = "step"
"""Name of the solver of implicit time steps; a constraint has the name of its field."""

_PETSC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


def _two(given: Any) -> Any:
    if not isinstance(given, list | tuple) or len(given) != 2:
        fault(f"expected two numbers of sweeps, [before, after], got {shown(given)}")
    return given


_Count = Annotated[Integer, Field(ge=0, le=100)]
_Sweeps = Annotated[tuple[_Count, _Count], BeforeValidator(_two)]
_Iterations = Annotated[Integer, Field(ge=1, le=10**6)]


class SolverKeys(Section):
    """What can be said of one solver."""

    method: Literal["auto", "pointwise", "multigrid", "fft", "krylov", "petsc"] = key(
        "auto",
        "Who solves: native multigrid, fast transforms, a Krylov iteration, PETSc; auto takes what suits the operator.",
    )
    rtol: Positive = key(
        1e-8, "Linear solves end when the residual is this part of the right side, in the two-norm.", le=1.0
    )
    atol: Real = key(0.0, "Linear solves also end when the two-norm of the residual is below this.", ge=0.0)
    max_iterations: _Iterations = key(500, "Most cycles or iterations of one linear solve; more is an error.")
    preconditioner: Name = key(
        "auto", "Preconditioner of a Krylov iteration, by its name; auto chooses by the type of the operator."
    )
    cycle: Literal["v", "w", "f", "fmg"] = key("v", "Cycle of multigrid; fmg starts on the coarsest grid.")
    smoother: Literal["red_black", "chebyshev"] = key("red_black", "Smoother of multigrid.")
    sweeps: _Sweeps = key(
        (1, 1), "Sweeps of the smoother before and after the coarser grid.", shown_type="[before, after]"
    )
    precision: Literal["mixed", "double"] = key(
        "mixed", "Arithmetic of the multigrid cycle; the iteration around it is in double precision either way."
    )
    newton_rtol: Positive = key(
        1e-8, "Nonlinear solves end when the residual has fallen to this part of the first one.", le=1.0
    )
    newton_iterations: _Iterations = key(30, "Most Newton steps of one nonlinear solve; more is an error.")

    @field_validator("sweeps")
    @classmethod
    def _some(cls, sweeps: tuple[int, int]) -> tuple[int, int]:
        if not any(sweeps):
            fault("at least one sweep before or after the coarser grid is needed")
        return sweeps


class NamedSolver(SolverKeys):
    """One named solver: keys that are given hold in place of those of ``[solver]``."""

    @model_serializer(mode="wrap")
    def _given(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in whole(self).items() if name in self.model_fields_set}


class Solver(SolverKeys):
    """How constraints and implicit time steps are solved.

    A table ``[solver.phi]`` has the same keys and holds for the constraint of the field phi, ``[solver.step]`` for
    implicit time steps.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, NamedSolver]

    @classmethod
    def below(cls) -> type[Section]:
        """The table of one named solver."""
        return NamedSolver

    @model_validator(mode="before")
    @classmethod
    def _without_empty_tables(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value != {} or name in cls.model_fields}

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.named:
            if not NAME.fullmatch(name):
                fault(f"{shown(name)} is not the name of a field or '{STEP}'")
        return self

    @property
    def named(self) -> Mapping[str, NamedSolver]:
        """The tables of single solvers."""
        return FrozenDict(self.__pydantic_extra__ or {})

    def of(self, name: str) -> SolverKeys:
        """The keys of the solver of that name.

        Examples
        --------
        >>> solver = Solver.model_validate({"rtol": 1e-6, "cycle": "w", "phi": {"rtol": 1e-10}})
        >>> phi, step = solver.of("phi"), solver.of("step")
        >>> (phi.rtol, phi.cycle), (step.rtol, step.cycle)
        ((1e-10, 'w'), (1e-06, 'w'))
        """
        own = self.named.get(name)
        general = {key: getattr(self, key) for key in SolverKeys.model_fields}
        return SolverKeys.model_construct(**general | (own.model_dump() if own is not None else {}))


def _petsc_name(name: str) -> str:
    if name.startswith("-") and _PETSC_NAME.fullmatch(name.lstrip("-")):
        fault(f"write the option without its dash, {name.lstrip('-')}")
    if not _PETSC_NAME.fullmatch(name):
        fault(f"{shown(name)} is not the name of a PETSc option; write letters, digits and underscores, e.g. ksp_type")
    return name


def _petsc_value(value: Any) -> bool | int | float | str:
    if isinstance(value, list | tuple):
        fault(f"expected text, a number or a flag, got {shown(value)}; PETSc reads lists as text, e.g. '1,2,3'")
    return value if isinstance(value, bool) else check_scalar(value)


PetscValue = Annotated[
    bool | int | float | str,
    PlainValidator(_petsc_value),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
PetscTable = Annotated[Mapping[Annotated[str, AfterValidator(_petsc_name)], PetscValue], AfterValidator(FrozenDict)]
