"""The directory that holds the checkpoints of a run: names, acceptance by rename, pruning, and bounded reads."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import DiskError
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.manifest import MANIFEST_NAME, NAME, TABLE_NAME, FileEntry, Manifest, step_of
from hpcsim.output.checkpoint.parsing import MAX_BYTES
from hpcsim.output.checkpoint.pieces import PIECE
from hpcsim.output.files import disk_errors

CURRENT_NAME = "CURRENT"
TEMPORARY = ".tmp-"
OLD = ".old-"
FEWEST_KEPT = 2
MAX_CURRENT_BYTES = 200
READ_BYTES = 4 << 20


class CheckpointStore:
    """The checkpoints below one directory.

    Parameters
    ----------
    root : Path
        The directory, ``ckpt`` of a run directory. It need not exist for the reading verbs.

    Examples
    --------
    >>> store = CheckpointStore(Path("ckpt"))
    >>> store.path("step-00000300").name, store.temporary(300, "a1").name
    ('step-00000300', '.tmp-300-a1')
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def create(self) -> None:
        """Make the directory if it is missing.

        Raises
        ------
        DiskError
            If it cannot be made.
        """
        with disk_errors("make the directory of checkpoints", self.root):
            self.root.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Names of the checkpoints that are there, good or bad, the newest step first.

        Raises
        ------
        DiskError
            If the directory cannot be listed.
        """
        with disk_errors("list the checkpoints in", self.root):
            found = [entry.name for entry in self._entries() if entry.is_dir(follow_symlinks=False)]
        steps = {name: step for name in found if (step := step_of(name)) is not None}
        return sorted(steps, key=lambda name: (-steps[name], name))

    def path(self, name: str) -> Path:
        """Directory of a checkpoint; it need not exist.

        Raises
        ------
        DiskError
            If that is no name of a checkpoint.
        """
        if step_of(name) is None:
            raise DiskError(f"{name!r} is no name of a checkpoint; names look like step-00000300")
        return self.root / name

    def file(self, name: str, entry: FileEntry) -> Path:
        """Path of a data file of a checkpoint; it lies in an older one if the entry says so."""
        return self.path(entry.checkpoint or name) / entry.name

    def temporary(self, step: int, run: str) -> Path:
        """Where the checkpoint of a step is written before it is accepted; not made here.

        Raises
        ------
        DiskError
            If the run id is no plain name.
        """
        if not NAME.fullmatch(run):
            raise DiskError(f"the run id {run!r} is no plain name; use letters, digits, '.', '_' and '-'")
        return self.root / f"{TEMPORARY}{step}-{run}"

    def current(self) -> str | None:
        """The newest accepted checkpoint as `CURRENT` names it, None if that file is missing or damaged."""
        try:
            with open_regular(self.root / CURRENT_NAME) as (handle, size):
                raw = read_whole(handle, min(size, MAX_CURRENT_BYTES + 1))
        except (DiskError, OSError):
            return None
        text = raw.decode("ascii", errors="replace")
        name = text.removesuffix("\n")
        return name if text == name + "\n" and step_of(name) is not None else None

    def candidates(self) -> tuple[list[str], str]:
        """Names in the order in which a restart tries them, and what is odd about `CURRENT` ("" if nothing).

        First the one that `CURRENT` names, then the older ones, the newest first. Those newer than it come last: they
        were never accepted, or belong to a run that was gone back from. Without a usable `CURRENT`: newest first.
        """
        names, current = self.names(), self.current()
        if current not in names:
            if not names and not os.path.lexists(self.root / CURRENT_NAME):
                return names, ""
            state = f"names {current}, which is not there" if current else "is missing or damaged"
            return names, f"{self.root / CURRENT_NAME} {state}; taking the newest checkpoint that is good"
        place = names.index(current)
        newer = [name for name in names[:place] if step_of(name) != step_of(current)]
        rest = [name for name in names if name != current and name not in newer]
        note = f"{self.root / CURRENT_NAME} names {current}; newer but not accepted: {', '.join(newer)}"
        return [current, *rest, *newer], note if newer else ""

    def read_manifest(self, name: str) -> Manifest:
        """The manifest of a checkpoint.

        Raises
        ------
        DiskError
            If it is missing, damaged, too large, or that of another checkpoint.
        """
        path = self._directory(name) / MANIFEST_NAME
        with disk_errors("read", path), open_regular(path) as (handle, size):
            if size > MAX_BYTES:
                raise DiskError(f"{path}: it has {size} bytes; a manifest has at most {MAX_BYTES}")
            raw = read_whole(handle, size)
        manifest = Manifest.parse(raw, str(path))
        if manifest.name != name:
            raise DiskError(f"{path}: it belongs to the checkpoint {manifest.name}")
        return manifest

    def read_table(self, name: str, manifest: Manifest | None = None) -> NDArray[np.void]:
        """The table of pieces of a checkpoint, after its size and its sha256 were checked.

        Parameters
        ----------
        name : str
            The checkpoint.
        manifest : Manifest, optional
            Its manifest, if it was read before.

        Raises
        ------
        DiskError
            If it is missing or damaged.
        """
        entry = (manifest or self.read_manifest(name)).table
        path = self._directory(name) / TABLE_NAME
        with disk_errors("read", path), open_regular(path) as (handle, size):
            if size != entry.size:
                raise DiskError(f"{path}: it has {size} bytes instead of {entry.size}")
            table = np.empty(entry.rows, PIECE)
            raw = table.view(np.uint8)
            if io.pread(handle, raw, 0) != size:
                raise DiskError(f"{path}: it ended while it was read")
        if hashlib.sha256(raw.data).hexdigest() != entry.sha256:
            raise DiskError(f"{path}: it is damaged: its sha256 does not fit the manifest")
        return table

    @contextlib.contextmanager
    def open_file(self, name: str, entry: FileEntry) -> Iterator[int]:
        """Open a data file of a checkpoint, after its kind and size were checked; gives the descriptor.

        Raises
        ------
        DiskError
            If it is missing, no regular file, or of another size.
        """
        path = self._directory(entry.checkpoint or name) / entry.name
        with disk_errors("read", path), open_regular(path) as (handle, size):
            if size != entry.size:
                raise DiskError(f"{path}: it has {size} bytes instead of {entry.size}")
            yield handle

    def listing(self, name: str) -> list[str]:
        """Names of everything that lies in the directory of a checkpoint, sorted.

        Raises
        ------
        DiskError
            If it is missing or cannot be listed.
        """
        path = self._directory(name)
        with disk_errors("list", path):
            return sorted(os.listdir(path))

    def accept(self, temporary: Path, name: str) -> None:
        """Give a finished checkpoint its name, durably; one of that name that was there is replaced in one step.

        Raises
        ------
        DiskError
            If it cannot be renamed.
        """
        final = self.path(name)
        with disk_errors("accept the checkpoint", final):
            replaced = self._place(temporary, final)
            io.sync_directory(self.root)
        if replaced is not None:
            # The new one is in place: what is left of the old one can go at the next clean-up too.
            with contextlib.suppress(OSError):
                _delete(replaced)

    def _place(self, temporary: Path, final: Path) -> Path | None:
        """Rename a finished checkpoint; where the one that had its name is now, None if there was none."""
        if not os.path.lexists(final):
            io.rename(temporary, final)
            return None
        if _exchange(temporary, final):
            return temporary
        aside = self._aside(final.name)
        io.rename(final, aside)
        try:
            io.rename(temporary, final)
        except OSError:
            io.rename(aside, final)
            raise
        return aside

    def set_current(self, name: str) -> None:
        """Let `CURRENT` name an accepted checkpoint; a reader sees the old name or the new one.

        Raises
        ------
        DiskError
            If it cannot be written; the old name then stays.
        """
        path = self.root / CURRENT_NAME
        draft = self.root / f"{TEMPORARY}{CURRENT_NAME}"
        with disk_errors("write", path):
            if not self.path(name).is_dir():
                raise DiskError(f"{path} cannot name {name}, which is not there")
            with contextlib.suppress(FileNotFoundError):
                io.unlink(draft)
            try:
                write_file(draft, f"{name}\n".encode("ascii"))
                io.rename(draft, path)
            except OSError:
                with contextlib.suppress(OSError):
                    io.unlink(draft)
                raise
            io.sync_directory(self.root)

    def remove(self, name: str) -> None:
        """Delete a checkpoint; it loses its name first, so that an interruption leaves no half of it under that name.

        Raises
        ------
        DiskError
            If it cannot be renamed or deleted.
        """
        path = self.path(name)
        with disk_errors("remove the checkpoint", path):
            aside = self._aside(name)
            io.rename(path, aside)
            io.sync_directory(self.root)
            _delete(aside)

    def clean(self, run: str = "") -> list[str]:
        """Delete what killed runs left: temporary directories and checkpoints that were being removed.

        Call it with the lock of the run directory held.

        Parameters
        ----------
        run : str
            Run id whose temporary directories stay, since they are being written; by default none stay.

        Returns
        -------
        list of str
            Names of what was deleted.

        Raises
        ------
        DiskError
            If one cannot be deleted.
        """
        with disk_errors("clean up", self.root):
            found = [entry.name for entry in self._entries() if entry.name.startswith((TEMPORARY, OLD))]
            stale = [name for name in found if not (run and _writer_of(name) == run)]
            for name in stale:
                _delete(self.root / name)
        return sorted(stale)

    def keep_set(self, keep: int, protect: Collection[str] = ()) -> set[str]:
        """Checkpoints that pruning must leave.

        Parameters
        ----------
        keep : int
            How many steps to keep, at least 2. A checkpoint whose manifest cannot be read does not count.
        protect : collection of str
            Names that stay in any case.

        Returns
        -------
        set of str
            The newest ones, the one that `CURRENT` names and the newest before it, the protected ones, every one that
            one of these needs, and unreadable ones newer than the oldest of the newest.
        """
        names, current = self.names(), self.current()
        needs = {name: self._needs(name) for name in names}
        steps = sorted({step_of(name) or 0 for name in names if needs[name] is not None}, reverse=True)
        last = step_of(current) if current in needs else None
        # Steps that a run gave up when it went back must not push out those that it has accepted since.
        own = [step for step in steps if last is not None and step <= last]
        count = max(FEWEST_KEPT, keep)
        oldest = steps[:count][-1] if steps else 0
        kept = {name for name in names if (step_of(name) or 0) >= oldest or step_of(name) in own[:count]}
        waiting = kept | {name for name in (*protect, current) if name in needs}
        kept = set()
        while waiting:
            name = waiting.pop()
            kept.add(name)
            waiting |= {other for other in needs[name] or () if other in needs} - kept
        return kept

    def prune(self, keep: int, protect: Collection[str] = ()) -> list[str]:
        """Remove what `keep_set` does not name; call it with the lock of the run directory held.

        Returns
        -------
        list of str
            Names of the removed ones. The newest goes first, for a later one may need an earlier one.

        Raises
        ------
        DiskError
            If one cannot be removed.
        """
        kept = self.keep_set(keep, protect)
        gone = [name for name in self.names() if name not in kept]
        for name in gone:
            self.remove(name)
        return gone

    def _needs(self, name: str) -> list[str] | None:
        """Checkpoints that one needs, None if its manifest is missing or damaged.

        Raises
        ------
        DiskError
            If it could not be read this time: what it needs is then not known, and must not be removed.
        """
        try:
            return [other for other, _ in self.read_manifest(name).needs]
        except DiskError as error:
            if isinstance(error.__cause__, OSError):
                raise
            return None

    def _directory(self, name: str) -> Path:
        """Directory of a checkpoint that is there and no link."""
        path = self.path(name)
        try:
            real = stat.S_ISDIR(os.lstat(path).st_mode)
        except OSError:
            raise DiskError(f"there is no checkpoint {path}") from None
        if not real:
            raise DiskError(f"{path} is no directory")
        return path

    def _entries(self) -> list[os.DirEntry[str]]:
        """What lies in the directory, nothing if it is missing."""
        try:
            with os.scandir(self.root) as entries:
                return list(entries)
        except FileNotFoundError:
            return []

    def _aside(self, name: str) -> Path:
        """A free name for a checkpoint that is being removed."""
        number = 0
        while os.path.lexists(path := self.root / f"{OLD}{name}-{number}"):
            number += 1
        return path


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[tuple[int, int]]:
    """Open a regular file for reading, without following a link.

    Yields
    ------
    (int, int)
        Descriptor and size in bytes.

    Raises
    ------
    DiskError
        If it is missing, a link, a device or anything else that is no file.
    OSError
        As ``os.open`` does.
    """
    try:
        # Looked at before it is opened: opening a pipe would wait for ever.
        plain = stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        raise DiskError(f"there is no file {path}") from None
    if not plain:
        raise DiskError(f"{path} is no regular file")
    try:
        handle = io.open_read(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DiskError(f"{path} is a link") from None
        raise
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise DiskError(f"{path} is no regular file")
        yield handle, facts.st_size
    finally:
        io.close(handle)


def read_whole(handle: int, size: int) -> bytes:
    """The first bytes of a file, fewer if it is shorter."""
    buffer = bytearray(size)
    return bytes(buffer[: io.pread(handle, buffer, 0)])


def write_file(path: Path, data: Any) -> None:
    """Write a new file of the given bytes, durably; its directory is not synced.

    Raises
    ------
    OSError
        As the calls do.
    """
    handle = io.create(path)
    try:
        io.pwrite(handle, data, 0)
        io.fsync(handle)
    finally:
        io.close(handle)


def _writer_of(name: str) -> str:
    """Run id in the name of a temporary directory."""
    return name.removeprefix(TEMPORARY).partition("-")[2] if name.startswith(TEMPORARY) else ""


def _delete(path: Path) -> None:
    """Remove a directory or file, links as such."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        with os.scandir(path) as entries:
            inside = [entry.name for entry in entries]
        for name in inside:
            _delete(path / name)
        io.rmdir(path)
    else:
        io.unlink(path)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step; False if the system or the disk cannot."""
    function = _renameat2()
    if function is None:
        return False
    return bool(function(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)


@cache
def _renameat2() -> Any:
    """The call of that name in the C library, or None."""
    try:
        function = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
