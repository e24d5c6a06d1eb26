"""Constraints and convolutions beside a time scheme: found before every stage that reads them, and for looks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from hpcsim.errors import FormulaError
from hpcsim.integrators.groups import Group, dependent_groups, moving_groups, needed_groups
from hpcsim.integrators.scheme import Scheme
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.joint import Part
from hpcsim.sweeps.sweep import Solve, Stage
from hpcsim.symbolic.expr import Access


def with_constraints(scheme: Scheme, discrete: Discrete) -> Scheme:
    """A scheme that keeps the constraints and convolutions of its system.

    All are solved at the start, before the step size is chosen. One that depends on evolving fields or on time is
    solved again before every stage that reads its unknowns, from the values that the stage works on, and before every
    look at the state. An implicit stage that reads the unknowns of a constraint is solved together with it.

    Raises
    ------
    FormulaError
        If a convolution depends on itself, or an implicit stage reads one that depends on evolving fields.
    """
    groups = dependent_groups(discrete)
    if not groups:
        return scheme
    start: list[Part] = [group.solve(discrete, 0.0, {}) for group in groups]
    moving = moving_groups(groups, frozenset(discrete.system.orders))
    for stage in scheme.start:
        start += _joined(stage, moving, discrete) if isinstance(stage, Solve) else [stage]
    stages: list[Part] = []
    for stage in scheme.stages:
        if isinstance(stage, Stage):
            needed = needed_groups(moving, _reads(stage))
            stages += [*(group.solve(discrete, stage.time, stage.inputs) for group in needed), stage]
        elif isinstance(stage, Solve):
            stages += _joined(stage, moving, discrete)
        else:
            _refuse_inside(needed_groups(moving, _reads(stage)), scheme.name)
            stages.append(stage)
    looks = tuple(group.solve(discrete, 0.0, {}) for group in moving)
    return replace(scheme, start=tuple(start), stages=tuple(stages), constraints=looks, before=len(groups))


def stationary(discrete: Discrete) -> Scheme:
    """The scheme of a system without time derivatives: nothing moves."""
    return Scheme("stationary", 1, {}, frozenset(), (), (), lambda spectrum: math.inf)


def _joined(stage: Solve, moving: list[Group], discrete: Discrete) -> list[Part]:
    """An implicit stage with the constraints that it needs as further equations of the same solve.

    Convolutions that it needs are found before; they may depend on time only.
    """
    needed = needed_groups(moving, _reads(stage))
    integrals = [group for group in needed if group.integral]
    before = needed_groups(moving, [field for group in integrals for field in group.fields])
    evolving = frozenset(discrete.system.orders)
    _refuse_integrals([g for g in integrals if any(p.reads & evolving for p in needed_groups(moving, g.fields))])
    joined = [group for group in needed if not group.integral]
    whole = replace(
        stage,
        unknowns=stage.unknowns + tuple(unknown for group in joined for unknown in group.unknowns),
        residuals=stage.residuals + tuple(r for group in joined for r in group.residuals(discrete, stage.inputs)),
    )
    return [*(group.solve(discrete, stage.time, stage.inputs) for group in before), whole]


def _refuse_integrals(groups: Iterable[Group]) -> None:
    """A convolution couples every site to every other, so it cannot be part of an implicit step."""
    for group in groups:
        raise FormulaError(
            f"an implicit step reads '{group.name}', a convolution of fields that it solves for; take an explicit "
            "scheme, such as rk4, or imex_ark3, which takes terms with convolutions explicitly"
        )


def _refuse_inside(groups: Iterable[Group], scheme: str) -> None:
    """What is found between stages is not up to date within a step that another library takes."""
    for group in groups:
        kind = "convolution" if group.integral else "constraint"
        raise FormulaError(
            f"{scheme} reads '{group.name}' in its inner steps, a {kind} that would have to be found in each of them; "
            "take another integrator, such as imex_ark3"
        )


def _reads(stage: Part) -> frozenset[str]:
    """Registers that a stage reads."""
    return frozenset(node.register for value in stage.values for node in value.walk() if isinstance(node, Access))
