"""Small file operations that either happen whole or not at all, with errors a person can act on."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hpcsim.errors import DiskError

HINTS = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "the quota is used up; remove files or write elsewhere",
    errno.EFBIG: "the file size limit of this shell is too small (see `ulimit -f`)",
    errno.EACCES: "no permission; choose a directory that you may write",
    errno.EPERM: "no permission; choose a directory that you may write",
    errno.EROFS: "the file system is read-only; choose another directory",
    errno.EEXIST: "a file of this name is in the way",
    errno.ENOTDIR: "a part of this path is a file, not a directory",
}


def describe(error: OSError, what: str, path: str | os.PathLike[str]) -> str:
    """Sentence for a failed file operation: what was tried, where, why, and what to do.

    Examples
    --------
    >>> describe(OSError(28, "No space left on device"), "write the snapshot", "a.vtkhdf")
    'cannot write the snapshot a.vtkhdf: No space left on device; free some space or write elsewhere'
    """
    hint = HINTS.get(error.errno or 0)
    reason = error.strerror or str(error)
    return f"cannot {what} {os.fspath(path)}: {reason}" + (f"; {hint}" if hint else "")


@contextlib.contextmanager
def disk_errors(what: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an ``OSError`` of the ``with`` block into a ``DiskError`` that says what was being done.

    Raises
    ------
    DiskError
        In place of any ``OSError`` raised inside.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(describe(error, what, path)) from error


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the entries of a directory durable; a file system that cannot is left alone."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part.

    Raises
    ------
    DiskError
        If the file cannot be written; the old content is then still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors("write", path):
        try:
            with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
            sync_directory(path.parent)
        except OSError:
            discard(temporary)
            raise


def discard(path: Path) -> None:
    """Remove a file if it is there and give its space back even while a handle on it lives."""
    with contextlib.suppress(OSError):
        os.truncate(path, 0)
    with contextlib.suppress(OSError):
        path.unlink()


def write_all(handle: int, data: Any, offset: int) -> None:
    """``os.pwrite`` of the whole of a contiguous buffer; a short write is continued, not lost.

    Raises
    ------
    OSError
        As ``os.pwrite`` does.
    """
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(handle, view[: 1 << 30], offset)
        view = view[written:]
        offset += written


@cache
def _native_fallocate() -> Any:
    """The fallocate of the C library, or None; ``os.posix_fallocate`` would emulate it by writing every block."""
    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return function


def preallocate(handle: int, nbytes: int) -> bool:
    """Reserve the space of a file of ``nbytes`` bytes now, so that a full disk shows before any data are written.

    On file systems without the call the size is set and the free space is compared instead.

    Returns
    -------
    bool
        Whether the space is reserved; if not, there was enough a moment ago.

    Raises
    ------
    OSError
        If there is not enough space, or the size limit of the process is smaller.
    """
    reserve = _native_fallocate()
    if reserve is not None and nbytes > 0:
        if reserve(handle, 0, 0, nbytes) == 0:
            return True
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code))
    facts = os.fstatvfs(handle)
    if facts.f_bavail * facts.f_frsize < nbytes - os.fstat(handle).st_blocks * 512:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(handle, nbytes)
    return False


_KEEP_SIZE = 1


def reserve_ahead(path: str | os.PathLike[str], nbytes: int) -> None:
    """Reserve space behind the end of a file that grows, without changing its size.

    It is for files that a library writes which cannot be left cleanly after a full disk.

    Raises
    ------
    OSError
        If there is not enough space, or the size limit of the process is smaller.
    """
    handle = os.open(path, os.O_WRONLY)
    try:
        facts = os.fstat(handle)
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if most != resource.RLIM_INFINITY and facts.st_size + nbytes > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        reserve = _native_fallocate()
        if reserve is not None and reserve(handle, _KEEP_SIZE, facts.st_size, nbytes) == 0:
            return
        code = ctypes.get_errno() if reserve is not None else errno.ENOSYS
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code))
        disk = os.fstatvfs(handle)
        if disk.f_bavail * disk.f_frsize < nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(handle)


def open_hdf5(path: str | os.PathLike[str], mode: str = "r") -> Any:
    """Open an HDF5 file with the serial driver and without HDF5's own file locks, which some file systems refuse.

    Raises
    ------
    DiskError
        If the file is missing, cannot be opened or is no HDF5 file.
    """
    import h5py

    if mode == "r" and not os.path.isfile(path):
        raise DiskError(f"there is no file {os.fspath(path)}")
    try:
        return h5py.File(os.fspath(path), mode, locking=False)
    except OSError as error:
        reason = str(error).split("(", 1)[-1].rstrip(")") if "(" in str(error) else str(error)
        action = "open" if mode == "r" else "create"
        raise DiskError(f"cannot {action} the HDF5 file {os.fspath(path)}: {reason}") from error
