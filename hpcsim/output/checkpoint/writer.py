"""Writing checkpoints: at once, or beside the run and accepted at a later step."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum, auto
from typing import Any

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.errors import HpcsimError
from hpcsim.lattice.layout import Layout
from hpcsim.output.checkpoint.attempt import Attempt, Job, Moment
from hpcsim.output.checkpoint.background import Background
from hpcsim.output.checkpoint.incremental import Base, read_base
from hpcsim.output.checkpoint.manifest import checkpoint_name
from hpcsim.output.checkpoint.modes import resolve_mode
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions, load_codec
from hpcsim.output.checkpoint.packing import Cutter
from hpcsim.output.checkpoint.report import Report
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.votes import vote
from hpcsim.output.snapshot import SnapshotField

# So many newer ones must have been verified before the checkpoint that a run started from may go.
ENOUGH_NEWER = 2


class _Stage(Enum):
    """What is under way of an attempt that was begun."""

    SURVEY = auto()
    FILL = auto()
    PRUNE = auto()


class CheckpointWriter:
    """Writes the checkpoints of a run; creation and all verbs are collective.

    A checkpoint counts when every rank has written its part, has read it back and has found it as it was in memory.
    Until then, and if anything fails, the older ones stay as they are.

    Parameters
    ----------
    context : Context
        The ranks.
    layout : Layout
        Blocks and owners.
    store : CheckpointStore
        Where checkpoints go.
    options : CheckpointOptions
        How they are written.
    facts : CheckpointFacts
        What every manifest says of the run.

    Raises
    ------
    ConfigError
        If the mode or the codec cannot work here.
    DiskError
        If the run id is no plain name.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hpcsim.fields.spec import FieldSpec
    >>> from hpcsim.lattice.domain import Domain
    >>> from hpcsim.lattice.layout import make_layout
    >>> layout = make_layout(Domain((8,), (0.0,), (1.0,), (True,)), 1)
    >>> store = CheckpointStore(Path(tempfile.mkdtemp()) / "ckpt")
    >>> u = SnapshotField("u", FieldSpec("u"), lambda block: [np.arange(8.0)])
    >>> writer = CheckpointWriter(Context.serial(), layout, store, CheckpointOptions(), CheckpointFacts("a1"))
    >>> report = writer.write([u], step=3, time=0.3, dt=0.1, state={})
    >>> report.accepted, report.nbytes, store.current()
    (True, 64, 'step-00000003')
    """

    def __init__(
        self,
        context: Context,
        layout: Layout,
        store: CheckpointStore,
        options: CheckpointOptions,
        facts: CheckpointFacts,
    ) -> None:
        store.temporary(0, facts.run)
        mode = resolve_mode(options.mode)
        mode.check(context)
        codec = load_codec(options.codec)
        groups = mode.groups(context, options.writers_per_node)
        staging = np.empty(mode.staging_bytes, np.uint8)
        self._job = Job(
            context, layout, Cutter(layout, context.rank), store, options, facts, mode, groups, codec, staging
        )
        self._background = Background()
        self._attempt: Attempt | None = None
        self._stage = _Stage.FILL
        self._release: Callable[[], None] | None = None
        self._base: Base | None = None
        self._since_full = 0
        self._accepted = 0
        self._stall = self._begun = 0.0

    @property
    def busy(self) -> bool:
        """Whether an attempt that was begun is not yet reported; the same on all ranks."""
        return self._attempt is not None

    def write(
        self, fields: Sequence[SnapshotField], step: int, time: float, dt: float, state: Mapping[str, Any]
    ) -> Report:
        """Write a checkpoint now.

        Parameters
        ----------
        fields : sequence of SnapshotField
            The registers.
        step, time, dt
            What the values belong to.
        state : mapping
            JSON-able: everything else that a run needs to go on.

        Returns
        -------
        Report
            The same on all ranks. A checkpoint that was refused raises nothing: the run may go on without it.

        Raises
        ------
        HpcsimError
            If an asynchronous attempt is under way.
        OutOfStep
            If parallel HDF5 failed on this rank in a way that leaves the others waiting.
        """
        self._start(fields, Moment(step, time, dt, state))
        with self._held():
            self._run_through()
            self._current.settle()
            self._current.prune()
        return self._finish()

    def begin(
        self,
        fields: Sequence[SnapshotField],
        step: int,
        time: float,
        dt: float,
        state: Mapping[str, Any],
        release: Callable[[], None],
    ) -> None:
        """Begin a checkpoint that is written beside the run; `poll` brings it to its end.

        In a mode that needs all ranks together it is written here and now, and only accepted by `poll`.

        Parameters
        ----------
        fields : sequence of SnapshotField
            The registers; what they read must not change until `release` is called.
        step, time, dt, state
            As for `write`.
        release : callable
            Called once, when the values are no longer needed, whatever becomes of the checkpoint.

        Raises
        ------
        HpcsimError
            If another attempt is under way.
        """
        self._start(fields, Moment(step, time, dt, state))
        self._release = release
        with self._held():
            if not self._job.mode.background:
                self._run_through()
                self._give_back()
            elif self._current.needs_survey:
                self._stage = _Stage.SURVEY
                self._background.start(self._current.survey)
                return
            elif self._current.place():
                self._background.start(self._current.fill)
            self._stage = _Stage.FILL

    def poll(self) -> Report | None:
        """Move the attempt under way on; cheap while it is being written. Call it until there is a report.

        Returns
        -------
        Report or None
            The outcome once, on all ranks at the same call; None before, and if nothing was begun.
        """
        attempt = self._attempt
        if attempt is None:
            return None
        with self._held():
            if not self._job.context.agree(self._background.idle):
                return None
            if self._stage is _Stage.SURVEY:
                self._stage = _Stage.FILL
                if attempt.place():
                    self._background.start(attempt.fill)
                    return None
            if self._stage is _Stage.FILL:
                attempt.settle()
                self._give_back()
                if not attempt.refused:
                    # Removing large files takes a while, too: not in the thread that has to step.
                    self._stage = _Stage.PRUNE
                    self._background.start(attempt.prune)
                    return None
        return self._finish()

    def drain(self) -> Report | None:
        """Wait for the attempt under way; its outcome, None if there is none."""
        report = None
        while self._attempt is not None:
            with self._held():
                self._background.wait()
            report = self.poll()
        return report

    @property
    def _current(self) -> Attempt:
        assert self._attempt is not None
        return self._attempt

    def _start(self, fields: Sequence[SnapshotField], moment: Moment) -> None:
        """Make the attempt, with the base that it may refer to."""
        if self._attempt is not None:
            raise HpcsimError(f"a checkpoint is still being written; drain it before that of step {moment.step}")
        self._stall, self._begun = 0.0, clock.perf_counter()
        with self._held():
            base = self._usable_base(checkpoint_name(moment.step)) if self._job.options.incremental else None
            self._attempt = Attempt(self._job, fields, moment, base)

    def _usable_base(self, name: str) -> Base | None:
        """The base for a checkpoint of this name, None if it has to be a full one. Collective."""
        job = self._job
        if self._base is None and not self._accepted:
            self._base = read_base(job.context, job.store, sorted(job.options.protect))
        base = self._base
        full = base is None or (self._since_full + 1) % job.options.full_every == 0
        if base is None or full or base.manifest.codec != job.options.codec or name in base.names:
            return None
        fault = base.fault(job.store) if job.context.rank == 0 else ""
        return None if vote(job.context, fault) else base

    def _run_through(self) -> None:
        """All of an attempt up to its end, in this thread."""
        attempt = self._current
        if attempt.needs_survey:
            attempt.survey()
        if attempt.place():
            attempt.fill()

    def _finish(self) -> Report:
        """Report the attempt and be free for the next one."""
        attempt, self._attempt = self._current, None
        report = attempt.report(self._stall, clock.perf_counter() - self._begun)
        if report.accepted:
            self._remember(attempt)
        return report

    def _remember(self, attempt: Attempt) -> None:
        """What the next checkpoint needs to know of an accepted one."""
        self._accepted += 1
        self._since_full = self._since_full + 1 if attempt.base is not None else 0
        self._base = attempt.accepted
        if self._accepted == ENOUGH_NEWER:
            self._job = replace(self._job, options=replace(self._job.options, protect=frozenset()))

    def _give_back(self) -> None:
        """Tell the caller that his values are no longer needed."""
        release, self._release = self._release, None
        if release is not None:
            release()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Count the time for which the caller is held."""
        before = clock.perf_counter()
        try:
            yield
        finally:
            self._stall += clock.perf_counter() - before
