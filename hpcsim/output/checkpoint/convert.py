"""Another form of a checkpoint: other mode, number of files or codec, and whole instead of incremental.

The pieces stay as they are, and with them their digests: what was taken from the memory of the run still tells whether
a value is right. Each piece is read, checked, packed and written alone, so the memory needed is that of a few pieces.
The source is only read; the result gets its name when all of it was read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError, unknown_name
from hpcsim.output.checkpoint import io, seal
from hpcsim.output.checkpoint.check import check_listing, check_table, frame_gaps, stored_dtypes
from hpcsim.output.checkpoint.collective import FILE_NAME
from hpcsim.output.checkpoint.datafile import DataFile, lay_out
from hpcsim.output.checkpoint.manifest import FileEntry, Manifest, TableEntry, checkpoint_name
from hpcsim.output.checkpoint.options import NO_CODEC, load_codec
from hpcsim.output.checkpoint.pieces import sites
from hpcsim.output.checkpoint.scan import by_place, scan_file, scan_frames, scan_pieces
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.verify import structure_faults, verify
from hpcsim.output.checkpoint.votes import vote
from hpcsim.output.files import describe

MAX_FILES = 100_000
# Modes that a conversion can write, in one process or several.
CONVERTED_MODES = ("shards", "collective")
MAX_VARIANT = 20


@dataclass(frozen=True)
class Form:
    """What a checkpoint is turned into.

    Parameters
    ----------
    mode : {"shards", "collective"}
        Several files, or one.
    files : int
        Number of files; 1 in mode ``collective``. A file that would have nothing in it is left out.
    codec : str
        ``none``, or a lossless codec by its name in `CODECS`.

    Raises
    ------
    ConfigError
        If that cannot be.
    """

    mode: str = "shards"
    files: int = 1
    codec: str = NO_CODEC

    def __post_init__(self) -> None:
        if self.mode not in CONVERTED_MODES:
            raise ConfigError(f"--mode: {unknown_name('mode to convert to', self.mode, CONVERTED_MODES)}")
        if not 1 <= self.files <= MAX_FILES:
            raise ConfigError(f"{self.files} files asked for; allowed: 1 to {MAX_FILES}")
        if self.mode == "collective" and self.files != 1:
            raise ConfigError(f"{self.files} files asked for; mode 'collective' has one, use mode 'shards'")
        load_codec(self.codec)

    @property
    def variant(self) -> str:
        """Ending of the name of a result that lies beside its source."""
        text = self.mode + ("" if self.codec == NO_CODEC else self.codec)
        return "".join(c for c in text if c.isalnum())[:MAX_VARIANT]

    def file_name(self, number: int) -> str:
        """Name of a data file."""
        return FILE_NAME if self.mode == "collective" else f"shard-{number:05d}.h5"


def convert(
    context: Context,
    source: CheckpointStore,
    name: str,
    target: CheckpointStore,
    form: Form,
    say: Callable[[str], None],
) -> str:
    """Write a checkpoint in another form; collective.

    Parameters
    ----------
    context : Context
        The ranks that share the work.
    source : CheckpointStore
        Where the checkpoint lies; nothing in it is changed.
    name : str
        The checkpoint. If it is incremental, the result holds everything itself.
    target : CheckpointStore
        Where the result goes. If that is the same directory, its name gets an ending.
    form : Form
        What it becomes.
    say : callable
        Gets a line if the result is there already, on rank 0.

    Returns
    -------
    str
        Name of the result. A conversion that was killed leaves nothing of that name; the next one begins anew.

    Raises
    ------
    DiskError
        On every rank, if a byte of the source is wrong, if the result cannot be written or is not read back as it
        should be, or if another checkpoint has its name.
    ConfigError
        If the source has that form and that name itself.
    """
    work = _Conversion(context, source, name, target, form)
    with work.step("read the checkpoint", source.root / name):
        work.open()
    if work.final == name and work.beside:
        raise ConfigError(f"{name} has this form already")
    if work.is_there():
        if context.rank == 0:
            say(f"{target.root / work.final} is there already and good")
        with work.step("write", target.root):
            work.name_current()
        return work.final
    with work.step("check the checkpoint", source.root / name):
        work.check_frames()
    with work.step("pack the checkpoint", source.root / name):
        work.measure()
    work.share_lengths()
    try:
        with work.step("write the checkpoint", target.root / work.final):
            work.make_files()
        work.share_places()
        with work.step("write the checkpoint", target.root / work.final):
            work.copy()
        with work.step("read back the checkpoint", target.root / work.final):
            work.read_back()
        with work.step("accept the checkpoint", target.root / work.final):
            work.accept()
    except DiskError:
        work.clear()
        raise
    return work.final


class _Conversion:
    """One conversion on one rank; the verbs are called in the order of `convert`."""

    manifest: Manifest
    table: NDArray[np.void]
    made: NDArray[np.void]
    final: str

    def __init__(
        self, context: Context, source: CheckpointStore, name: str, target: CheckpointStore, form: Form
    ) -> None:
        self._context = context
        self._source = source
        self._name = name
        self._target = target
        self._form = form
        self._codec = load_codec(form.codec)
        self._layouts: list[DataFile] = []

    @property
    def beside(self) -> bool:
        """Whether the result lies in the directory of the source."""
        return self._target.root.resolve() == self._source.root.resolve()

    @contextmanager
    def step(self, what: str, path: Path) -> Iterator[None]:
        """A part that is local to the rank; if it fails on any rank, all raise the same ``DiskError`` after it."""
        problem = ""
        try:
            yield
        except DiskError as error:
            problem = str(error)
        except OSError as error:
            problem = describe(error, what, path)
        problem = vote(self._context, problem)
        if problem:
            raise DiskError(problem)

    def open(self) -> None:
        """Read what describes the source, and deal the pieces to files and ranks."""
        self.manifest = self._source.read_manifest(self._name)
        check_listing(self._source, self.manifest)
        self.table = self._source.read_table(self._name, self.manifest)
        check_table(self.table, self.manifest)
        self._ranges = frame_gaps(self._source, self.manifest, self.table)
        self.final = checkpoint_name(self.manifest.step, self._form.variant if self.beside else "")
        self._temporary = self._target.temporary(self.manifest.step, f"convert-{self._form.variant}")
        itemsizes = np.array([dtype.itemsize for dtype in stored_dtypes(self.manifest)], np.int64)
        self._raw = sites(self.table) * itemsizes[self.table["field"]]
        self.made = self.table.copy()
        self.made["file"] = deal(self.table, self._raw, self._form.files)
        order = np.lexsort((np.arange(len(self.made)), self.made["file"]))
        before = np.empty(len(order), np.int64)
        before[order] = np.cumsum(self._raw[order]) - self._raw[order]
        share = before * self._context.size // max(1, int(self._raw.sum()))
        self._mine = np.flatnonzero(share == self._context.rank)
        # Pieces are read in the order in which they lie in the old files.
        self._mine = self._mine[by_place(self.table[self._mine])]
        self.made["offset"] = self.made["stored"] = 0

    def is_there(self) -> bool:
        """Whether the result exists and is good; collective. A checkpoint of that name that is another one raises."""
        problem, there = "", False
        if self._context.rank == 0 and self.final in self._target.names():
            problem, there = self._compare()
        problem = self._context.bcast_text(problem)
        if problem:
            raise DiskError(problem)
        return self._context.any(there)

    def _compare(self) -> tuple[str, bool]:
        """What keeps the name from being used, and whether the result is there."""
        path = self._target.path(self.final)
        try:
            found = self._target.read_manifest(self.final)
            rows = self._target.read_table(self.final, found)
        except DiskError as error:
            return f"{path} is in the way and is damaged ({error}); remove it first", False
        keys = ["field", "component", "level", "lo", "shape", "digest"]
        same = found.fields == self.manifest.fields and np.array_equal(rows[keys], self.table[keys])
        if not same or (found.mode, found.codec) != (self._form.mode, self._form.codec):
            return f"{path} is in the way and is another checkpoint; remove it first or choose another directory", False
        faults = verify(self._target, self.final)
        return (f"{path} is in the way and is damaged ({faults[0]}); remove it first", False) if faults else ("", True)

    def check_frames(self) -> None:
        """Check the frames of some files of the source, and on rank 0 the structure of its files."""
        files = range(self._context.rank, len(self.manifest.files), self._context.size)
        for fault in scan_frames(self._source, self.manifest, self._ranges, files):
            raise DiskError(fault)
        if self._context.rank == 0:
            for fault in structure_faults(self._source.path(self._name), self.manifest, self.table):
                raise DiskError(fault)

    def measure(self) -> None:
        """Find out how many bytes each piece of this rank will take."""
        if self._codec is None:
            self.made["stored"][self._mine] = self._raw[self._mine]
        else:
            self._read(lambda row, data: self.made["stored"].__setitem__(row, len(data)))

    def share_lengths(self) -> None:
        """Tell all ranks what `measure` found; collective."""
        self.made["stored"] = self._context.sum_int(self.made["stored"].astype(np.int64))

    def _read(self, use: Callable[[int, Any], None]) -> None:
        """Hand the bytes of every piece of this rank, as they will be stored, to ``use(row, bytes)``."""

        def take(place: int, values: NDArray, lo: tuple[int, ...]) -> None:
            data = values.reshape(-1).view(np.uint8) if self._codec is None else self._codec.encode(values, None)
            use(int(self._mine[place]), data)

        for fault in scan_pieces(self._source, self.manifest, self.table[self._mine], take, whole=True):
            raise DiskError(fault)

    def make_files(self) -> None:
        """On rank 0: the directory with files that have headers and space, and no values."""
        if self._context.rank:
            return
        kinds = [np.dtype("u1") if self._codec is not None else dtype for dtype in stored_dtypes(self.manifest)]
        totals = np.zeros((self._form.files, len(kinds)), np.int64)
        np.add.at(totals, (self.made["file"], self.made["field"]), self.made["stored"].astype(np.int64))
        used = np.flatnonzero(totals.any(axis=1))
        self._layouts = [lay_out(kinds, nbytes) for nbytes in totals[used].tolist()]
        self._target.create()
        seal.clear(self._temporary)
        io.mkdir(self._temporary)
        for number, layout in enumerate(self._layouts):
            handle = io.create(self._temporary / self._form.file_name(number))
            try:
                io.preallocate(handle, layout.size)
                layout.write_frame(handle)
                # The other ranks sync what they write; this is for the headers.
                io.fsync(handle)
            finally:
                io.close(handle)
        # Files without a piece were left out: number those that are there.
        self.made["file"] = np.searchsorted(used, self.made["file"])

    def share_places(self) -> None:
        """Tell all ranks where each piece goes; collective."""
        if self._context.rank == 0:
            starts = np.array([layout.offsets for layout in self._layouts], np.int64)
            file, field = self.made["file"].astype(np.int64), self.made["field"].astype(np.int64)
            # Within a register of a file the pieces follow each other in the order of the table.
            order = np.lexsort((np.arange(len(file)), field, file))
            stored = self.made["stored"][order].astype(np.int64)
            before = np.cumsum(stored) - stored
            part = file[order] * len(self.manifest.fields) + field[order]
            heads = np.searchsorted(part, part)
            self.made["offset"][order] = starts[file[order], field[order]] + before - before[heads]
        places = np.stack([self.made["file"].astype(np.int64), self.made["offset"].astype(np.int64)])
        self._context.comm.Bcast(places)
        self.made["file"], self.made["offset"] = places

    def copy(self) -> None:
        """Write the pieces of this rank and make them durable."""
        handles: dict[int, int] = {}

        def write(row: int, data: Any) -> None:
            number, stored = int(self.made["file"][row]), int(self.made["stored"][row])
            if len(data) != stored:
                raise DiskError(f"the codec {self._form.codec} gave {len(data)} bytes where it had given {stored}")
            if number not in handles:
                handles[number] = io.open_write(self._temporary / self._form.file_name(number))
            offset = int(self.made["offset"][row])
            io.pwrite(handles[number], data, offset)
            io.start_writeback(handles[number], offset, stored)

        try:
            self._read(write)
            for handle in handles.values():
                io.fsync(handle)
        finally:
            for handle in handles.values():
                io.close(handle)

    def read_back(self) -> None:
        """Compare what this rank wrote with the digests, from the disk and not from the memory of the system."""
        rows = self.made[self._mine]
        rows = rows[by_place(rows)]
        for number in np.unique(rows["file"]).tolist():
            name = self._form.file_name(number)
            handle = io.open_read(self._temporary / name)
            try:
                io.drop_cache(handle, 0, 0)
                part = rows[rows["file"] == number]
                for fault in scan_file(handle, replace(self.manifest, codec=self._form.codec), part, name):
                    raise DiskError(f"it does not read back as it was written: {fault}")
            finally:
                io.close(handle)

    def accept(self) -> None:
        """On rank 0: manifest and table, a look at the structure of the files, and then the name."""
        if self._context.rank:
            return
        manifest = replace(
            self.manifest,
            name=self.final,
            mode=self._form.mode,
            codec=self._form.codec,
            files=tuple(
                FileEntry(self._form.file_name(number), "", layout.size, layout.digest)
                for number, layout in enumerate(self._layouts)
            ),
            table=TableEntry.of(self.made),
            needs=(),
        )
        seal.write_documents(self._temporary, manifest, self.made)
        for fault in structure_faults(self._temporary, manifest, self.made):
            raise DiskError(fault)
        self._target.accept(self._temporary, self.final)
        self.name_current()

    def name_current(self) -> None:
        """On rank 0: let `CURRENT` name the result where it names nothing yet."""
        if self._context.rank == 0 and self._target.current() is None:
            self._target.set_current(self.final)

    def clear(self) -> None:
        """Remove what was written of a result that is not to be."""
        if self._context.rank == 0:
            seal.clear(self._temporary)


def deal(table: NDArray[np.void], nbytes: NDArray[np.int64], files: int) -> NDArray[np.int64]:
    """Number of the file for each piece: every register is cut into runs of about as many bytes.

    Examples
    --------
    >>> from hpcsim.output.checkpoint.pieces import Slab, table_of
    >>> table = table_of(0, [Slab(0, (n,), (1,)) for n in range(4)])
    >>> deal(table, np.array([8, 8, 8, 8]), 2).tolist()
    [0, 0, 1, 1]
    """
    before = np.cumsum(nbytes) - nbytes
    fields, first, number = np.unique(table["field"], return_index=True, return_inverse=True)
    whole = np.bincount(number, nbytes, minlength=len(fields)).astype(np.int64)
    return np.asarray((before - before[first][number]) * files // np.maximum(whole, 1)[number])
