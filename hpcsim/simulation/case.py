"""From a configuration to everything that needs no arrays: domain, equations, scheme, conditions, quantities.

`make_case` is the whole-config check: it goes as far as it can and reports all faults at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from hpcsim.boundary.conditions import Conditions, periodic_axes, resolve
from hpcsim.comm.exchange import EXCHANGES
from hpcsim.config.problems import dotted
from hpcsim.config.schema import Config
from hpcsim.diagnostics.quantities import Quantity, parse_quantities
from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.fields.spec import FieldSpec
from hpcsim.integrators import INTEGRATORS
from hpcsim.integrators.constrained import stationary, with_constraints
from hpcsim.integrators.noise import refuse_noise
from hpcsim.integrators.raw import RAW_KERNELS, RawKernel
from hpcsim.integrators.scheme import Scheme, refuse_rates_at_walls
from hpcsim.kernels.backend import BACKENDS
from hpcsim.lattice.curve import CURVES
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.partition import PARTITIONS
from hpcsim.models.base import Model
from hpcsim.models.build import build_model
from hpcsim.models.initial import InitialCondition, resolve_initial
from hpcsim.output.compress.options import compression_faults
from hpcsim.output.writers import HISTORIES, SNAPSHOTS
from hpcsim.simulation.faults import Faults
from hpcsim.simulation.saving import saving_options
from hpcsim.simulation.sponge import with_damping
from hpcsim.solvers.options import unknown_solvers
from hpcsim.solvers.propagate import mode_axes
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.evolve import Evolve
from hpcsim.sweeps.sweep import Solve
from hpcsim.sweeps.transforms import Propagate
from hpcsim.symbolic.discretize import Discretizer
from hpcsim.symbolic.expr import Access
from hpcsim.symbolic.operators import AXES, Value, parts_of
from hpcsim.symbolic.system import System


@dataclass(frozen=True)
class Case:
    """A checked case, ready to be given blocks and memory.

    Attributes
    ----------
    config : Config
        The configuration it came from.
    domain : Domain
        The lattice.
    model : Model
        Texts of the model.
    system : System
        Parsed equations, with the damping of absorbing layers.
    specs : dict of str to FieldSpec
        The fields.
    conditions : Conditions
        Boundary conditions.
    discrete : Discrete
        The system with its discretiser.
    scheme : Scheme
        One time step.
    initial : dict of str to InitialCondition
        Initial values, and initial rates under ``dt(field)``.
    quantities : tuple of Quantity
        Numbers of the time series.
    outputs : dict of str to Value
        Fields and derived fields of the snapshots, as expressions.
    kernels : tuple of RawKernel
        Own functions that run after every step.
    """

    config: Config
    domain: Domain
    model: Model
    system: System
    specs: dict[str, FieldSpec]
    conditions: Conditions
    discrete: Discrete
    scheme: Scheme
    initial: dict[str, InitialCondition]
    quantities: tuple[Quantity, ...]
    outputs: dict[str, Value]
    kernels: tuple[RawKernel, ...] = ()

    @cached_property
    def sources(self) -> dict[str, str]:
        """Register to the field whose shape and boundary conditions it has."""
        return {**{name: name for name in self.specs}, **self.scheme.extra}

    @cached_property
    def ghost(self) -> int:
        """Ghost layers that the scheme, the quantities, the outputs and the derived fields read."""
        scheme = self.scheme
        exprs = [value for stage in (*scheme.start, *scheme.stages, *scheme.constraints) for value in stage.values]
        exprs += [quantity.integrand(self.discrete) for quantity in self.quantities]
        # A derived field may be asked for at any time, not only as an output.
        looks = [*self.outputs.values(), *map(self.system.names().resolve, self.system.derived)]
        exprs += [self.discrete.at_home(part) for value in looks for part in parts_of(value)]
        offsets = (n.offset for expr in exprs for n in expr.walk() if isinstance(n, Access))
        widths = [kernel.ghost for kernel in self.kernels]
        return max((*widths, *(abs(step) for offset in offsets for step in offset)), default=0)

    @cached_property
    def solvers(self) -> tuple[str, ...]:
        """Names of the solvers that the scheme needs, in the order of their first use."""
        stages = (*self.scheme.start, *self.scheme.stages, *self.scheme.constraints)
        return tuple(dict.fromkeys(stage.name for stage in stages if isinstance(stage, (Solve, Evolve))))

    @property
    def staggered(self) -> bool:
        """Whether any field lives off the cell centres."""
        return any(any(location) for places in self.system.locations.values() for location in places)


def make_case(config: Config) -> Case:
    """Check a whole configuration.

    Parameters
    ----------
    config : Config
        A configuration that fits the schema.

    Returns
    -------
    Case

    Raises
    ------
    ConfigError
        With every fault found.
    """
    faults = Faults()
    for where, name, registry in (
        ("run.exchange", config.run.exchange, EXCHANGES),
        ("run.backend", config.run.backend, BACKENDS),
        ("lattice.curve", config.lattice.curve, CURVES),
        ("lattice.partition", config.lattice.partition, PARTITIONS),
        ("output.format", config.output.format, SNAPSHOTS),
        ("diagnostics.format", config.diagnostics.format, HISTORIES),
    ):
        if name not in registry:
            faults.unknown(registry.kind, name, registry, where)
    faults.collect(lambda: saving_options(config), "checkpoint")
    domain = faults.collect(lambda: _domain(config), "lattice")
    model = faults.collect(lambda: _model(config), "model")
    if domain is None or model is None:
        raise faults.error()
    system = faults.collect(lambda: model.system(domain.ndim), "model")
    specs = dict(model.fields)
    faults.collect(lambda: _one_dtype(specs), "model.fields")
    conditions = faults.collect(lambda: _conditions(config, domain, model), "boundary")
    if system is None or conditions is None:
        raise faults.error()
    faults.collect(partial(_has_end, config, system), "run")
    system = with_damping(system, specs, conditions)
    discrete = Discrete(system, _discretizer(config, domain, system))
    scheme = faults.collect(lambda: _scheme(config, model, discrete), "run.integrator")
    initial = faults.collect(lambda: _initial(config, domain, model, system), "initial")
    quantities: tuple[Quantity, ...] | None = ()
    if scheme is not None:
        _add_levels(discrete, scheme)
        quantities = faults.collect(lambda: parse_quantities(config, model, system, scheme), "diagnostics")
    outputs = faults.collect(lambda: _outputs(config, system), "output.fields")
    faults.problems += _compression_problems(config, system)
    faults.problems += _convolution_problems(system, domain, conditions)
    kernels = faults.collect(lambda: _kernels(config, specs, system), "model.kernels") or ()
    if faults.problems or scheme is None or initial is None or quantities is None or outputs is None:
        raise faults.error()
    faults.collect(lambda: refuse_rates_at_walls(discrete, domain), "model.equations")
    case = Case(
        config, domain, model, system, specs, conditions, discrete, scheme, initial, quantities, outputs, kernels
    )
    faults.problems += unknown_solvers(config, case.solvers)
    _refuse_misfits(case, faults)
    # Conditions are checked again for the ghost width that is really needed.
    faults.collect(lambda: _conditions(config, domain, model, case.ghost), "boundary")
    faults.report()
    return case


def _refuse_misfits(case: Case, faults: Faults) -> None:
    """Steps by transforms need walls that suit the modes."""
    for stage in case.scheme.stages:
        if isinstance(stage, Propagate):
            field, component = stage.unknown
            location = case.system.locations[field][component]
            check = partial(mode_axes, stage, case.domain, location, case.conditions, field)
            faults.collect(check, "boundary")


def _convolution_problems(system: System, domain: Domain, conditions: Conditions) -> list[Problem]:
    """Faults of kernels and modes; the catalogue is loaded only for cases that have convolutions."""
    if not system.convolutions:
        return []
    from hpcsim.solvers.convolve import convolution_problems

    return convolution_problems(system, domain, conditions)


def _has_end(config: Config, system: System) -> None:
    """A run that moves must know its end; one without time derivatives takes no steps."""
    if system.equations and config.run.steps is None and config.run.stop_time is None:
        raise ConfigError("needs stop_time or steps")


def _domain(config: Config) -> Domain:
    lattice = config.lattice
    periodic = periodic_axes(_boundary(config), len(lattice.shape))
    return Domain(lattice.shape, lattice.lower, lattice.upper, periodic)


def _boundary(config: Config) -> Mapping[str, object]:
    """The key ``lattice.boundary`` as plain tables."""
    mapping = config.to_mapping()["lattice"]["boundary"]
    return mapping if isinstance(mapping, Mapping) else dict.fromkeys(AXES[: len(config.lattice.shape)], mapping)


def _model(config: Config) -> Model:
    section = config.to_mapping()["model"]
    return build_model(
        config.model.name,
        len(config.lattice.shape),
        parameters=section.get("parameters", {}),
        fields=section.get("fields", {}),
        equations=section.get("equations", {}),
        derived=section.get("derived", {}),
        convolutions=section.get("convolutions", {}),
        dtype=config.run.dtype,
    )


def _one_dtype(specs: Mapping[str, FieldSpec]) -> None:
    if len({spec.dtype for spec in specs.values()}) > 1:
        given = ", ".join(f"{name}: {spec.dtype}" for name, spec in specs.items())
        raise ConfigError(f"all fields of a run have one dtype ({given})")


def _conditions(config: Config, domain: Domain, model: Model, ghost: int = 1) -> Conditions:
    tables = config.to_mapping().get("boundary", {})
    specs = list(model.fields.values())
    return resolve(_boundary(config), tables, specs, domain, model.parameters, ghost)


def spacing_symbols(domain: Domain) -> tuple[str, ...]:
    """Symbol of the spacing of each axis; axes of equal spacing share one, which saves multiplications."""
    spacing = domain.spacing
    return tuple(f"h_{AXES[spacing.index(step)]}" for step in spacing)


def _discretizer(config: Config, domain: Domain, system: System) -> Discretizer:
    return Discretizer(domain.ndim, config.model.order, dict(system.locations), spacing_symbols(domain))


def _scheme(config: Config, model: Model, discrete: Discrete) -> Scheme:
    if not discrete.system.equations:
        if config.run.integrator is not None:
            raise ConfigError("no field has a time derivative, so there is nothing to integrate; remove run.integrator")
        return with_constraints(stationary(discrete), discrete)
    name = config.run.integrator or model.integrator
    if name not in INTEGRATORS and config.run.integrator is None:
        raise ConfigError([Problem("model", f"the model's integrator '{name}' does not exist")])
    scheme: Scheme = INTEGRATORS.get(name)(discrete)
    if scheme.unlimited and config.run.dt is None:
        text = f"{name} is stable at every step size, so the equations set none; give a step size"
        raise ConfigError([Problem("run.dt", text)])
    refuse_noise(discrete, scheme)
    return with_constraints(scheme, discrete)


def _add_levels(discrete: Discrete, scheme: Scheme) -> None:
    """Let formulas of quantities name the scheme's own registers."""
    known = discrete.discretizer.locations
    assert isinstance(known, dict)
    for register, source in scheme.extra.items():
        known[register] = known[source]


def _initial(config: Config, domain: Domain, model: Model, system: System) -> dict[str, InitialCondition]:
    given = config.to_mapping().get("initial", {})
    faults = Faults()
    rates = {f"dt({name})": name for name, order in system.orders.items() if order == 2}
    integrals = {part.field for part in system.convolutions}
    conditions: dict[str, InitialCondition] = {}
    for key, value in given.items():
        name = rates.get(key, key)
        if name not in model.fields or name in integrals:
            faults.problems.append(Problem(dotted(("initial", key)), _no_initial(key, model, rates)))
            continue
        setting = {
            "field": key,
            "parameters": model.parameters,
            "second_order": system.orders.get(key) == 2,
            "seed": config.run.seed,
            "start_time": config.run.start_time,
            "directory": config.directory,
        }
        where = dotted(("initial", key))
        made = faults.collect(partial(resolve_initial, value, where, domain, system.locations[name], **setting), where)
        if made is not None:
            conditions[key] = made
    faults.report()
    return conditions


def _kernels(config: Config, specs: Mapping[str, FieldSpec], system: System) -> tuple[RawKernel, ...]:
    faults = Faults()
    kernels: list[RawKernel] = []
    for name in config.model.kernels:
        if name not in RAW_KERNELS:
            faults.unknown("kernel", name, RAW_KERNELS, "model.kernels")
            continue
        kernels.append(RAW_KERNELS.get(name))
        faults.problems += kernels[-1].check(specs, system.symbols, f"model.kernels.{name}")
    faults.report()
    return tuple(kernels)


def _no_initial(key: str, model: Model, rates: Mapping[str, str]) -> str:
    """Why a key of ``[initial]`` has no meaning."""
    if key in model.convolutions:
        return "the values of this field follow from its convolution; remove them"
    if key.removeprefix("dt(").removesuffix(")") in model.fields:
        return "a first rate is given for second-order equations, dtt(field) = ..., only; remove it"
    return unknown_name("field", key, [*model.fields, *rates])


def _compression_problems(config: Config, system: System) -> list[Problem]:
    """Codecs, bounds and formats that do not go together."""
    output = config.output
    names = output.fields or tuple(system.locations)
    found = compression_faults(output.format, output.compression, output.error, output.ratio, names)
    return [Problem(f"output.{key}", text) for key, text in found]


def _outputs(config: Config, system: System) -> dict[str, Value]:
    names = config.output.fields or tuple(system.locations)
    known = [*system.locations, *system.derived, *system.statics]
    faults = Faults()
    for name in names:
        if name not in known:
            faults.unknown("field", name, known, "output.fields")
    faults.report()
    return {name: system.names().resolve(name) for name in names}
