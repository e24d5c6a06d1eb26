"""One checkpoint on its way: local parts, which a thread may do, between the collective ones.

The order is `survey` (local, only if lengths are not known from the shapes), `place` (collective: directory, space,
files), `fill` (local in a mode for the background: values, sync, read-back) and `settle` (collective: manifest, name).
Whatever fails is kept as a text and voted on; no rank leaves this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hpcsim
from hpcsim.comm.context import Context
from hpcsim.errors import DiskError, HpcsimError
from hpcsim.lattice.layout import Layout
from hpcsim.output.checkpoint import io, seal
from hpcsim.output.checkpoint.datafile import DataFile, lay_out
from hpcsim.output.checkpoint.incremental import OLDER, Base
from hpcsim.output.checkpoint.manifest import FieldEntry, FileEntry, Manifest, TableEntry, checkpoint_name
from hpcsim.output.checkpoint.modes import DataMode, Groups, OutOfStep, Target
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions
from hpcsim.output.checkpoint.packing import Packing, collect
from hpcsim.output.checkpoint.report import Report, slowest
from hpcsim.output.checkpoint.scan import frame_digest, scan_file
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.votes import all_rows, gather_table, vote
from hpcsim.output.files import describe
from hpcsim.output.snapshot import SnapshotField
from hpcsim.timing import Timers

# A file system needs some room of its own beside the values.
SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class Job:
    """What is the same for all checkpoints of a run."""

    context: Context
    layout: Layout
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
        self._files: list[FileEntry] = []
        self._own: DataFile | None = None
        self._reserved = True
        self._target: Target | None = None
        self._packing: Packing | None = None
        with self._caught(), self.timers.region("prepare"):
            self._temporary = job.store.temporary(moment.step, job.facts.run)
            if job.context.rank == 0:
                _check_draft(self.draft)
            self._packing = collect(job.layout, job.context.rank, fields, self.timers)

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
        context, packing = self.job.context, self._packing
        with self.timers.region("prepare"):
            if not self._vote() or packing is None:
                return False
            totals = all_rows(context, packing.totals)
            self._nbytes = int(totals.sum())
            with self._caught():
                if context.rank == 0:
                    self._make_directory(self._nbytes)
            if not self._vote():
                return False
            with self._caught():
                self._make_file(totals)
            if not self._share_places(totals, packing):
                with self._caught():
                    self._fill_with_zeros(packing)
            return self._vote()

    def fill(self) -> None:
        """Write the values and read them back."""
        if self._target is None or self.refused:
            return
        with self._caught():
            self.job.mode.fill(self._target)
        if (self.job.options.read_back or not self.job.mode.trusted) and not self._problem:
            with self._caught(), self.timers.region("verify"):
                self._read_back(self._target)

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

    def report(self, stall: float, total: float) -> Report:
        """What became of it, after `settle`. Collective.

        Parameters
        ----------
        stall, total : float
            Seconds on this rank for which the caller was held, and since the beginning.
        """
        seconds = slowest(self.job.context, self.timers, stall, total)
        problem = self.refused or self._note
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

    def _make_directory(self, nbytes: int) -> None:
        """On rank 0: an empty directory on a disk that has enough room."""
        store = self.job.store
        store.create()
        # Of an earlier attempt at this step that could not be cleared.
        seal.clear(self._temporary)
        io.mkdir(self._temporary)
        free = io.free_bytes(self._temporary)
        if free < nbytes + SPARE_BYTES:
            where = store.root / self.draft.name
            raise DiskError(
                f"cannot write the checkpoint {where}: it needs {_amount(nbytes)}, and {_amount(free)} are free; free "
                "some space, keep fewer checkpoints or write elsewhere"
            )

    def _make_file(self, totals: NDArray[np.int64]) -> None:
        """On the leader of a group: its file with headers and space, if the group has anything to write."""
        groups, rank = self.job.groups, self.job.context.rank
        group = int(groups.number[rank])
        nbytes = totals[groups.number == group].sum(axis=0)
        if groups.leaders[group] != rank or not nbytes.any():
            return
        kinds = [np.dtype("u1") if self.job.codec is not None else entry.spec.dtype for entry in self.draft.fields]
        self._own = lay_out(kinds, nbytes.tolist())
        handle = io.create(self._temporary / groups.names[group])
        try:
            self._reserved = io.preallocate(handle, self._own.size)
            self._own.write_frame(handle)
        finally:
            io.close(handle)

    def _share_places(self, totals: NDArray[np.int64], packing: Packing) -> bool:
        """Tell all ranks what the leaders made, and give the pieces their places; whether all space is reserved."""
        groups, rank = self.job.groups, self.job.context.rank
        count = len(self.draft.fields)
        mine = np.zeros(count + 4, np.int64)
        if self._own is not None:
            digest = np.frombuffer(bytes.fromhex(self._own.digest), np.int64)
            mine[:] = [*self._own.offsets, self._own.size, *digest, not self._reserved]
        made = all_rows(self.job.context, mine)[groups.leaders]
        written = np.zeros(len(groups.leaders), np.int64)
        np.add.at(written, groups.number, totals.sum(axis=1))
        used = np.flatnonzero(written)
        for group in used.tolist():
            frame = made[group, count + 1 : count + 3].tobytes().hex()
            self._files.append(FileEntry(groups.names[group], "", int(made[group, count]), frame))
        group = int(groups.number[rank])
        before = totals[:rank][groups.number[:rank] == group].sum(axis=0)
        path: Path | None = None
        if written[group]:
            path = self._temporary / groups.names[group]
            packing.place(int(np.searchsorted(used, group)), made[group, :count] + before)
        starts = made[group, :count]
        self._target = Target(self.job.context, path, packing, self.job.staging, starts, self._own is not None)
        return not made[:, -1].any()

    def _fill_with_zeros(self, packing: Packing) -> None:
        """Take the space of this rank's pieces where it could not be reserved and a full disk would not be reported."""
        path = self._target.path if self._target is not None else None
        if self.job.mode.trusted or path is None:
            return
        self.job.staging.fill(0)
        handle = io.open_write(path)
        try:
            for batch in packing.batches(len(self.job.staging)):
                rows = packing.rows[batch]
                io.pwrite(handle, self.job.staging[: int(rows["stored"].sum())], int(rows["offset"][0]))
            io.fsync(handle)
        finally:
            io.close(handle)

    def _read_back(self, target: Target) -> None:
        """Compare what this rank wrote, and the frame of its file, with what it had in memory."""
        rows = target.packing.rows[target.packing.fresh]
        if target.path is None or not (len(rows) or self._own is not None):
            return
        handle = io.open_read(target.path)
        try:
            for field in np.unique(rows["field"]):
                part = rows[rows["field"] == field]
                first, last = int(part["offset"][0]), int(part["offset"][-1] + part["stored"][-1])
                io.drop_cache(handle, first, last - first)
            faults = list(scan_file(handle, self.draft, rows, target.path.name))
            if self._own is not None:
                io.drop_cache(handle, 0, int(self._own.ranges["stop"][0]))
                if frame_digest(handle, self._own.ranges) != self._own.digest:
                    faults.append(f"{target.path.name}: it is damaged outside the pieces")
        finally:
            io.close(handle)
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            where = self.job.store.root / self.draft.name
            raise DiskError(f"the checkpoint {where} does not read back as it was written: {faults[0]}{more}")

    def _seal(self) -> None:
        """Write manifest and table, rename, prune. Collective."""
        context, options, packing = self.job.context, self.job.options, self._packing
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
        if context.rank == 0:
            try:
                self.job.store.prune(options.keep, {*options.protect, manifest.name})
            except (DiskError, OSError) as error:
                self._note = f"{manifest.name} was accepted, but not everything older could be removed: {error}"
        if options.incremental:
            self.accepted = self._as_base(packing, manifest, renumbered)
        self._note = context.bcast_text(self._note)

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


def _amount(nbytes: int) -> str:
    """Bytes for a person.

    Examples
    --------
    >>> _amount(1_234_567)
    '1.2 MB'
    """
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"
