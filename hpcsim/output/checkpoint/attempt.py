"""One checkpoint on its way: local parts, which a thread may do, between the collective ones.

The order is `survey` (local, only if lengths are not known from the shapes), `place` (collective: directory, space,
files), `fill` (local in a mode for the background: values, sync, read-back), `settle` (collective: manifest, name) and
`prune` (local). Whatever fails is kept as a text and voted on; no rank leaves this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hpcsim
from hpcsim.comm.context import Context
from hpcsim.errors import DiskError, HpcsimError
from hpcsim.lattice.layout import Layout
from hpcsim.output.checkpoint import seal
from hpcsim.output.checkpoint.incremental import OLDER, Base
from hpcsim.output.checkpoint.manifest import FieldEntry, FileEntry, Manifest, TableEntry, checkpoint_name
from hpcsim.output.checkpoint.modes import DataMode, Groups, OutOfStep, Target
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions
from hpcsim.output.checkpoint.packing import Cutter, Packing
from hpcsim.output.checkpoint.prepare import Made, fill_with_zeros, make_directory, make_file, share_places
from hpcsim.output.checkpoint.readback import read_back
from hpcsim.output.checkpoint.report import Report, slowest
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.votes import all_rows, gather_table, vote
from hpcsim.output.files import describe
from hpcsim.output.snapshot import SnapshotField
from hpcsim.timing import Timers


@dataclass(frozen=True)
class Job:
    """What is the same for all checkpoints of a run."""

    context: Context
    layout: Layout
    cutter: Cutter
    store: CheckpointStore
    options: CheckpointOptions
    facts: CheckpointFacts
    mode: DataMode
    groups: Groups
    codec: Any
    staging: NDArray[np.uint8]


@dataclass(frozen=True)
class Moment:
    """What a checkpoint says of its moment: step, simulated time, step size, and what else a run needs to go on."""

    step: int
    time: float
    dt: float
    state: Mapping[str, Any]


class Attempt:
    """One checkpoint; creation is local.

    Parameters
    ----------
    job : Job
        The run.
    fields : sequence of SnapshotField
        Registers; their values must stay until `fill` is done.
    moment : Moment
        What the values belong to.
    base : Base or None
        The checkpoint to which unchanged pieces refer.
    """

    def __init__(self, job: Job, fields: Sequence[SnapshotField], moment: Moment, base: Base | None) -> None:
        self.job = job
        self.base = base
        self.timers = Timers()
        self.draft = _draft(job, fields, moment)
        self.refused = ""
        self.accepted: Base | None = None
        self._problem = self._note = ""
        self._nbytes = 0
        self._files: tuple[FileEntry, ...] = ()
        self._made: Made | None = None
        self._target: Target | None = None
        self._packing: Packing | None = None
        self._temporary = job.store.temporary(moment.step, job.facts.run)
        with self._caught(), self.timers.region("prepare"):
            if job.context.rank == 0:
                _check_draft(self.draft)
            self._packing = job.cutter.collect(fields, self.timers)

    @property
    def needs_survey(self) -> bool:
        """Whether the values must be looked at before the files can be made."""
        return self.base is not None or self.job.codec is not None

    def survey(self) -> None:
        """Take digests and find unchanged pieces; encode. Local."""
        packing = self._packing
        if packing is None:
            return
        with self._caught():
            if self.base is not None:
                packing.digest_all(self.job.staging)
                self.base.match(packing, self.draft.fields)
            if self.job.codec is not None:
                packing.encode(self.job.codec)

    def place(self) -> bool:
        """Make the directory and the files with their space; whether all ranks could. Collective."""
        job, packing = self.job, self._packing
        with self.timers.region("prepare"):
            if not self._vote() or packing is None:
                return False
            totals = all_rows(job.context, packing.totals)
            self._nbytes = int(totals.sum())
            with self._caught():
                if job.context.rank == 0:
                    make_directory(job.store, self._temporary, self.draft.name, self._nbytes)
            if not self._vote():
                return False
            with self._caught():
                dtypes = packing.dtypes if job.codec is None else [np.dtype("u1")] * len(packing.dtypes)
                self._made = make_file(self._temporary, job.groups, job.context.rank, dtypes, totals)
            places = share_places(job.context, job.groups, totals, packing, self._made)
            self._files = places.files
            path = self._temporary / places.name if places.name else None
            self._target = Target(job.context, path, packing, job.staging, places.starts, self._made is not None)
            with self._caught():
                if path is not None and not (places.reserved or job.mode.trusted):
                    fill_with_zeros(path, packing, job.staging)
            return self._vote()

    def fill(self) -> None:
        """Write the values and read them back."""
        if self._target is None or self.refused:
            return
        with self._caught():
            self.job.mode.fill(self._target)
        if (self.job.options.read_back or not self.job.mode.trusted) and not self._problem:
            with self._caught(), self.timers.region("verify"):
                faults = read_back(self._target, self.draft, self._made.file if self._made else None)
                if faults:
                    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
                    where = self.job.store.root / self.draft.name
                    raise DiskError(f"the checkpoint {where} does not read back as it was written: {faults[0]}{more}")

    def settle(self) -> None:
        """Accept the checkpoint or remove what there is of it. Collective."""
        context = self.job.context
        with self.timers.region("accept"):
            if not self.refused and self._vote():
                self._seal()
            if self.refused:
                if context.rank == 0:
                    seal.clear(self._temporary)
                context.barrier()

    def prune(self) -> None:
        """On rank 0, after the acceptance: remove what is older than has to be kept. Local."""
        job = self.job
        if self.refused or job.context.rank != 0:
            return
        name = self.draft.name
        with self.timers.region("prune"):
            try:
                job.store.prune(job.options.keep, {*job.options.protect, name})
            except Exception as error:
                self._note = f"{name} was accepted, but not everything older could be removed: {error}"

    def report(self, stall: float, total: float) -> Report:
        """What became of it, after `settle` and `prune`. Collective.

        Parameters
        ----------
        stall, total : float
            Seconds on this rank for which the caller was held, and since the beginning.
        """
        seconds = slowest(self.job.context, self.timers, stall, total)
        problem = self.refused or self.job.context.bcast_text(self._note)
        return Report(self.draft.name, self.draft.step, not self.refused, problem, self._nbytes, seconds)

    @contextmanager
    def _caught(self) -> Iterator[None]:
        """Keep the first failure of this rank as a text."""
        path = self.job.store.root / self.draft.name
        try:
            yield
        except OutOfStep:
            raise
        except HpcsimError as error:
            self._problem = self._problem or str(error)
        except OSError as error:
            self._problem = self._problem or describe(error, "write the checkpoint", path)
        except Exception as error:
            self._problem = self._problem or f"cannot write the checkpoint {path}: {type(error).__name__}: {error}"

    def _vote(self) -> bool:
        """Whether no rank has a problem; otherwise the checkpoint is refused on all."""
        self.refused = self.refused or vote(self.job.context, self._problem)
        return not self.refused

    def _seal(self) -> None:
        """Write manifest and table, and give the checkpoint its name. Collective."""
        context, packing = self.job.context, self._packing
        assert packing is not None
        rows = gather_table(context, packing.rows)
        manifest, renumbered = self.draft, np.zeros(0, np.int64)
        with self._caught():
            if rows is not None:
                older = self.base.manifest if self.base else None
                manifest, table, renumbered = seal.complete(self.draft, self._files, rows, older)
                seal.write_documents(self._temporary, manifest, table)
                seal.publish(self.job.store, self._temporary, manifest.name)
        self._problem = context.bcast_text(self._problem)
        if self._problem:
            self.refused = self._problem
            return
        if self.job.options.incremental:
            self.accepted = self._as_base(packing, manifest, renumbered)

    def _as_base(self, packing: Packing, manifest: Manifest, renumbered: NDArray[np.int64]) -> Base:
        """What the next checkpoint needs to refer to this one. Collective."""
        context = self.job.context
        text = context.bcast_text(manifest.to_text() if context.rank == 0 else "")
        manifest = Manifest.parse(text, manifest.name)
        rows = packing.rows.copy()
        if self.base is not None:
            numbers = renumbered if context.rank == 0 else np.zeros(len(self.base.manifest.files), np.int64)
            context.comm.Bcast(numbers)
            old = rows["file"] >= OLDER
            rows["file"][old] = numbers[rows["file"][old].astype(np.int64) - OLDER]
        return Base(manifest, rows)


def _draft(job: Job, fields: Sequence[SnapshotField], moment: Moment) -> Manifest:
    """The manifest as far as it is known before anything is written."""
    ndim = job.layout.domain.ndim
    return Manifest(
        hpcsim=hpcsim.__version__,
        run=job.facts.run,
        name=checkpoint_name(moment.step),
        step=moment.step,
        time=moment.time,
        dt=moment.dt,
        mode=job.mode.name,
        codec=job.options.codec,
        grid=job.layout.domain,
        fields=tuple(FieldEntry.of(field.name, field.spec, ndim) for field in fields),
        files=(),
        table=TableEntry.of(np.empty(0)),
        needs=(),
        config=job.facts.config,
        config_digest=job.facts.config_digest,
        versions=job.facts.versions,
        ranks=job.context.size,
        state=moment.state,
    )


def _check_draft(draft: Manifest) -> None:
    """Refuse what no manifest can say before the disk is touched; raises ``DiskError``."""
    replace(draft, files=(FileEntry("data.h5", "", 0, "0" * 32),)).to_text()
