"""Ghosts of a run: exchange between blocks first, then the boundary conditions, for any group of registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpcsim.boundary.fill import BoundaryFill
from hpcsim.boundary.homogeneous import homogeneous
from hpcsim.comm.exchange import Exchange, make_exchange
from hpcsim.comm.plan import FieldGeometry, build_plan
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.layout import Layout
from hpcsim.lattice.storage import Storage
from hpcsim.timing import Timers

if TYPE_CHECKING:
    from hpcsim.boundary.conditions import Conditions
    from hpcsim.comm.context import Context
    from hpcsim.comm.plan import Mover
    from hpcsim.fields.state import Register


class GhostFill:
    """Fills the ghosts of one group of registers; made by `Ghosts.prepare`.

    Call sequence: ``start``, then work that reads no ghost, then ``finish``. Without corners each kind of ghost has its
    own source, so ``walls`` may come before ``receive``, and the ghosts from blocks of this rank may come last.

    Attributes
    ----------
    plan : ExchangePlan
        Tables of the exchange.
    corners : bool
        Whether edges and corners are filled.
    overlaps : bool
        Whether to compute between ``start`` and ``finish``.
    """

    def __init__(self, exchange: Exchange, boundary: BoundaryFill, timers: Timers, corners: bool) -> None:
        self._exchange = exchange
        self.plan = exchange.plan
        self.corners = corners
        self._boundary = boundary
        self._timers = timers
        # Splitting a launch costs time, so it is done only where a message can hide behind it.
        self.overlaps = exchange.overlaps and bool(exchange.plan.neighbours)

    def start(self, registers: Sequence[Register], t: float, local: bool = True) -> None:
        """Set the wall planes that conditions fix, send what others need; if ``local``, fill ghosts from own blocks."""
        # Neighbours and the work that overlaps with the messages read the planes, so they are set first.
        with self._timers.region("boundary"):
            self._boundary.fix_planes(registers, t)
        with self._timers.region("exchange"):
            self._exchange.start(registers, local)

    def finish(self, registers: Sequence[Register], t: float) -> None:
        """Receive, unpack, then apply the boundary conditions at time t."""
        self.receive(registers)
        self.walls(registers, t)

    def receive(self, registers: Sequence[Register]) -> None:
        """Wait for the messages and unpack them."""
        with self._timers.region("exchange"):
            self._exchange.finish(registers)

    def walls(self, registers: Sequence[Register], t: float) -> None:
        """Apply the boundary conditions at time t."""
        with self._timers.region("boundary"):
            self._boundary.fill(registers, t)

    def fix_planes(self, registers: Sequence[Register], t: float) -> None:
        """Set the wall planes that conditions fix, and nothing else; on this rank alone."""
        self._boundary.fix_planes(registers, t)

    def free(self) -> None:
        """Give back what the exchange holds."""
        self._exchange.free()


class Ghosts:
    """Makes and keeps the ghost fills of a run.

    Parameters
    ----------
    context : Context
        The ranks.
    layout : Layout
        The blocks.
    storage_of : callable
        Storage of a rank.
    specs : mapping of str to FieldSpec
        Every field by name.
    conditions : Conditions
        Boundary conditions per field, component, axis and side.
    mover : Mover
        Moves regions.
    strategy : str
        Name of the exchange strategy.
    parameters : mapping
        Parameters of the model that boundary values may use.
    check_messages : bool
        Whether every message carries a checksum.
    timers : Timers
        Where the time goes.
    """

    def __init__(
        self,
        context: Context,
        layout: Layout,
        storage_of: Callable[[int], Storage],
        specs: Mapping[str, FieldSpec],
        conditions: Conditions,
        mover: Mover,
        strategy: str,
        parameters: Mapping[str, Any],
        check_messages: bool,
        timers: Timers,
    ) -> None:
        self._context = context
        self._layout = layout
        self._storage_of = storage_of
        self._specs = dict(specs)
        self._conditions = conditions
        self._mover = mover
        self._strategy = strategy
        self._parameters = dict(parameters)
        self._check = check_messages
        self._timers = timers
        self._fills: dict[tuple[tuple[str, ...], int, bool], GhostFill] = {}

    def homogeneous(self) -> Ghosts:
        """The same fills with wall values of zero, for directions of linear solvers; to be freed by the caller.

        Raises
        ------
        ConfigError
            If a condition has no linear part, see `hpcsim.boundary.homogeneous`.
        """
        return Ghosts(
            self._context, self._layout, self._storage_of, self._specs, homogeneous(self._conditions), self._mover,
            self._strategy, self._parameters, self._check, self._timers,
        )  # fmt: skip

    @property
    def conditions(self) -> Conditions:
        """The boundary conditions."""
        return self._conditions

    def prepare(self, fields: Sequence[str], width: int, corners: bool) -> GhostFill:
        """The fill for registers shaped like these fields; collective when it is new.

        Parameters
        ----------
        fields : sequence of str
            Field of each register, in the order in which registers will be passed.
        width : int
            Layers to exchange.
        corners : bool
            Whether edges and corners are needed.
        """
        key = (tuple(fields), width, corners)
        if key not in self._fills:
            specs = [self._specs[name] for name in fields]
            ndim = self._layout.domain.ndim
            geometry = [FieldGeometry(spec.components, spec.locations(ndim)) for spec in specs]
            rank = self._context.rank
            plan = build_plan(self._layout, rank, self._storage_of, geometry, width, corners)
            dtype = specs[0].dtype
            exchange = make_exchange(self._strategy, self._context, plan, self._mover, dtype, self._check)
            boundary = BoundaryFill(
                self._layout,
                rank,
                self._storage_of(rank),
                specs,
                self._conditions,
                self._mover,
                self._parameters,
                corners,
                width,
            )
            self._fills[key] = GhostFill(exchange, boundary, self._timers, corners)
        return self._fills[key]

    def exchange_once(self, register: Register, location: tuple[int, ...]) -> None:
        """Fill the ghosts of one scalar register that have an owner; for tables that never change; collective."""
        geometry = [FieldGeometry(1, (location,))]
        rank = self._context.rank
        plan = build_plan(self._layout, rank, self._storage_of, geometry, self._storage_of(rank).ghost, True)
        exchange = make_exchange("blocking", self._context, plan, self._mover, register.flat.dtype, self._check)
        exchange.run([register])
        exchange.free()

    def fixed_planes(self, field: str, component: int) -> tuple[tuple[bool, bool], ...]:
        """Per axis, whether the lower and the upper wall plane is set by a condition and not by the equations."""
        domain = self._layout.domain
        staggered = self._specs[field].locations(domain.ndim)[component]
        flags = []
        for axis in range(domain.ndim):
            sides = [
                not domain.periodic[axis]
                and bool(staggered[axis])
                and self._conditions.at(field, component, axis, side).fixes_boundary(component, True)
                for side in (0, 1)
            ]
            flags.append((sides[0], sides[1]))
        return tuple(flags)

    def fixes_planes(self, field: str) -> bool:
        """Whether any wall plane of a field is set by a condition."""
        count = self._specs[field].components
        return any(any(pair) for component in range(count) for pair in self.fixed_planes(field, component))

    def free(self) -> None:
        """Give back every fill, in the order in which they were made; collective."""
        for fill in self._fills.values():
            fill.free()
        self._fills.clear()
