"""Text of a case on its way from equations to source, and what a step costs."""

from __future__ import annotations

from collections.abc import Sequence

from hpcsim.comm.context import Context
from hpcsim.kernels.loopnest import LoopNest
from hpcsim.kernels.numba.source import kernel_source
from hpcsim.simulation.build import make_setting
from hpcsim.simulation.case import Case
from hpcsim.simulation.layout import case_layout
from hpcsim.simulation.warmup import shrunk
from hpcsim.sweeps.evolve import Evolve
from hpcsim.sweeps.joint import Part
from hpcsim.sweeps.setting import Setting
from hpcsim.sweeps.sweep import Solve
from hpcsim.sweeps.transforms import Convolve, Propagate
from hpcsim.symbolic.convolution import Convolution
from hpcsim.symbolic.expr import ONE
from hpcsim.symbolic.linearize import linearize
from hpcsim.symbolic.operators import AXES
from hpcsim.symbolic.simplify import normal_form
from hpcsim.symbolic.text import to_text


def describe(case: Case, stages: Sequence[str]) -> str:
    """The wanted forms of a case, one section each.

    Parameters
    ----------
    case : Case
        The case.
    stages : sequence of {"equation", "stencil", "nest", "source"}
        Which forms.
    """
    sections = {"equation": _equations, "stencil": _stencils, "nest": _nests, "source": _sources}
    small = shrunk(case)
    with Context.serial() as context:
        setting = make_setting(small, context, case_layout(small, 1))
        texts = [sections[name](case, setting) for name in stages]
        setting.ghosts.free()
        setting.state.free()
    return "\n\n".join(texts)


def _equations(case: Case, setting: Setting) -> str:
    lines = ["# equation"]
    for equation in case.system.equations:
        left = ("dtt" if equation.order == 2 else "dt") + f"({equation.field})"
        place = AXES[equation.component] + " component: " if case.system.components[equation.field] > 1 else ""
        lines.append(f"{place}{left} = {to_text(equation.rhs)}")
    lines += [f"0 = {to_text(c.residual)}    (for {c.field})" for c in case.system.constraints]
    lines += map(_integral, case.system.convolutions)
    lines += [f"{name} = {to_text(expr)}    (tabulated)" for name, expr in case.system.statics.items()]
    return "\n".join(lines)


def _integral(part: Convolution) -> str:
    """A convolution as a line of text."""
    kernel = part.kernel
    named = ", ".join(f"{name} = {to_text(value)}" for name, value in kernel.parameters)
    words = [f"{kernel.name}({named})" if named else kernel.name] if kernel.name else []
    words += [to_text(kernel.formula)] if kernel.formula != ONE or not words else []
    return f"{part.field}[{part.component}] = integral of ({to_text(part.source)}) with the kernel {' * '.join(words)}"


def _stencils(case: Case, setting: Setting) -> str:
    lines = [f"# stencil (order {case.discrete.discretizer.order}, spacing {case.domain.spacing})"]
    itemsize = 4 if setting.dtype == "float32" else 8
    for stencil in case.discrete.stencils():
        count = sum(len(offsets) for offsets in stencil.reads.values())
        cost = f"{stencil.bytes_per_site(itemsize)} B and {stencil.flops_per_site} flops per site"
        lines.append(f"{stencil.field}: {count} reads, ghost width {stencil.ghost_width}, {cost}")
        lines.append(f"  {to_text(stencil.value)}")
    return "\n".join(lines)


def _steps(case: Case, setting: Setting) -> list[tuple[int, Part, list[LoopNest]]]:
    """Number, stage and loop nests of every stage."""
    stages = enumerate(case.scheme.stages)
    return [(number, stage, [setting.make_nest(sweep) for sweep in stage.sweeps]) for number, stage in stages]


def _nests(case: Case, setting: Setting) -> str:
    lines = [f"# loop nest ({case.scheme.name}, {setting.dtype})"]
    total_bytes = total_flops = 0
    for name in sorted(case.discrete.discretizer.noises):
        lines.append(f"before the step: {setting.storage.itemsize} B")
        lines.append(f"  for every site: {name} = normal number of (seed, stream, site, step)")
        total_bytes += setting.storage.itemsize
    for number, stage, nests in _steps(case, setting):
        place = f"stage {number} at t + {stage.time:g} dt:"
        for nest in nests:
            lines.append(f"{place} {nest.bytes_per_site} B and {nest.flops_per_site} flops")
            lines += [f"  for every site: {to_text(a.target)} = {to_text(a.value)}" for a in nest.assignments]
            lines += [f"  s{i} = {to_text(scalar)}" for i, scalar in enumerate(nest.scalars)]
            total_bytes += nest.bytes_per_site
            total_flops += nest.flops_per_site
        if isinstance(stage, Propagate):
            lines.append(f"{place} exact in the modes of {stage.unknown[0]}, with the weights")
            lines += [f"  {to_text(weight)} at {offset}" for offset, weight in stage.weights]
        if isinstance(stage, Evolve):
            lines.append(f"{place} inner steps of PETSc's TS, implicit and explicit rates apart")
            for unknown, *rates in zip(stage.unknowns, stage.implicit, stage.explicit, strict=True):
                lines.append(f"  {unknown[0]}: {' | '.join(to_text(normal_form(rate)) for rate in rates)}")
        if isinstance(stage, Convolve):
            count = sum(len(shared.parts) for shared in stage.shared)
            lines.append(f"{place} {stage.name} by convolution: {len(stage.shared)} source(s), {count} component(s)")
        if isinstance(stage, Solve):
            lines.append(f"{place} {_kind(stage)}")
            lines += [f"  0 = {to_text(normal_form(residual))}" for residual in stage.residuals]
    lines += [f"after the step, swap {a} and {b}" for a, b in case.scheme.swaps]
    intensity = total_flops / total_bytes if total_bytes else 0.0
    beside = " beside the solves" if case.solvers else ""
    lines.append(f"a step: {total_bytes} B and {total_flops} flops per site ({intensity:.2f} flops per byte){beside}")
    return "\n".join(lines)


def _kind(stage: Solve) -> str:
    """Who solves a stage, and what kind of operator it is."""
    found = linearize(stage.residuals, stage.unknowns)
    return f"solver '{stage.name}' ({'linear' if found.linear else 'nonlinear'}, {found.kind})"


def _sources(case: Case, setting: Setting) -> str:
    texts = dict.fromkeys(
        kernel_source(nest, parallel=case.config.run.threads > 1)
        for _, _, nests in _steps(case, setting)
        for nest in nests
    )
    return "\n".join(f"# source of kernel {i}\n{text}" for i, text in enumerate(texts))
