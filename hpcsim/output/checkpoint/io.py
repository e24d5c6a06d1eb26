"""Every call by which checkpoints touch the disk, in one place: a test replaces one of these to make it fail.

Call them as attributes of this module (``io.fsync(handle)``), so that a replacement is seen by all users.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

from hpcsim.output import files

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_START_WRITING = 2  # SYNC_FILE_RANGE_WRITE of Linux


def mkdir(path: Path) -> None:
    """Make a directory; it must not exist."""
    os.mkdir(path)


def create(path: Path) -> int:
    """Descriptor of a new file, open for writing; it must not exist."""
    return os.open(path, _WRITE | os.O_CREAT | os.O_EXCL, 0o644)


def open_write(path: Path) -> int:
    """Descriptor of an existing file, open for writing; links are not followed."""
    return os.open(path, _WRITE)


def open_read(path: Path) -> int:
    """Descriptor of an existing file, open for reading from its begin to its end; links are not followed."""
    handle = os.open(path, _READ)
    if hasattr(os, "posix_fadvise"):
        # The system then reads further ahead, which nearly doubles the speed on a fast disk.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return handle


def close(handle: int) -> None:
    """Close a descriptor."""
    os.close(handle)


def preallocate(handle: int, nbytes: int) -> bool:
    """Set the size of a file and reserve its space; whether that could be done, ``OSError`` if there is too little."""
    return files.preallocate(handle, nbytes)


def pwrite(handle: int, data: Any, offset: int) -> None:
    """Write the whole of a contiguous buffer at an offset."""
    files.write_all(handle, data, offset)


def pread(handle: int, buffer: Any, offset: int) -> int:
    """Read into a contiguous buffer from an offset until it is full or the file ends; the bytes that came."""
    view = memoryview(buffer).cast("B")
    done = 0
    while done < len(view):
        count = os.preadv(handle, [view[done : done + (1 << 30)]], offset + done)
        if count == 0:
            break
        done += count
    return done


def fsync(handle: int) -> None:
    """Make what was written to a descriptor durable."""
    os.fsync(handle)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    files.sync_directory(path)


def rename(source: Path, target: Path) -> None:
    """Give a file or directory another name; a file of that name is replaced in one step."""
    os.replace(source, target)


def truncate(path: Path) -> None:
    """Give the space of a file back at once, even while a descriptor of it is open somewhere; no link is followed."""
    handle = os.open(path, _WRITE)
    try:
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def unlink(path: Path) -> None:
    """Remove a file."""
    os.unlink(path)


def rmdir(path: Path) -> None:
    """Remove an empty directory."""
    os.rmdir(path)


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write on the file system of a path."""
    facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize


def drop_cache(handle: int, offset: int, nbytes: int) -> None:
    """Ask the system to forget its copy of a part of a file, so that a read comes from the disk; only a hint."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, offset, nbytes, os.POSIX_FADV_DONTNEED)


def start_writeback(handle: int, offset: int, nbytes: int) -> None:
    """Let the system begin to write a part of a file to the disk without waiting for it; only a hint."""
    function = _sync_file_range()
    if function is not None:
        function(handle, offset, nbytes, _START_WRITING)


@cache
def _sync_file_range() -> Any:
    """The call of that name in the C library, or None."""
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function
