"""Files a configuration comes from or names: read with limits, kept inside one directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hpcsim.config.values import printable
from hpcsim.errors import ConfigError, nearest

LARGEST_FILE = 1_000_000
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def read_text(path: str | os.PathLike[str]) -> str:
    """Text of a configuration file.

    Parameters
    ----------
    path : path
        A regular file of at most 1 MB in UTF-8; a byte-order mark is ignored.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        If there is no such file, it cannot be read, is a directory, device or pipe, too large, or not UTF-8.
    """
    name = os.fspath(path)
    data = _read_bytes(name)
    if data.startswith(_WIDE_MARKS) or b"\x00" in data[:4]:
        raise ConfigError(f"{_quoted(name)} is in UTF-16 or UTF-32 or is no text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise ConfigError(
            f"{_quoted(name)}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def _read_bytes(name: str) -> bytes:
    try:
        # Without O_NONBLOCK the open of a pipe would wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {_quoted(name)}{_similar(name)}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {_quoted(name)}: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
            raise ConfigError(f"{_quoted(name)} is {kind}, not a configuration file")
        if status.st_size > LARGEST_FILE:
            raise ConfigError(f"{_quoted(name)} has {status.st_size} bytes; a configuration has at most {LARGEST_FILE}")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {_quoted(name)}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > LARGEST_FILE:
        raise ConfigError(f"{_quoted(name)} has more than {LARGEST_FILE} bytes, the most for a configuration")
    return data


def inside(directory: Path, name: str, *, must_exist: bool = True) -> Path:
    """Absolute path of a file named in a configuration.

    Parameters
    ----------
    directory : Path
        Directory of the configuration file; the file must lie in it or below.
    name : str
        Relative path.
    must_exist : bool
        Also follow links and demand a regular file.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        If the name is absolute, has ``..`` or a control character, leads out of the directory through a link, or is
        not a regular file.
    """
    given = _quoted(name)
    if any(c < " " or c == "\x7f" for c in name):
        raise ConfigError(f"the file name {given} has a control character")
    if name.startswith(("/", "~")) or "\\" in name or ".." in name.split("/"):
        raise ConfigError(f"{given} may lead out of the configuration's directory; give a path below it")
    if not must_exist:
        return directory / name
    try:
        base = directory.resolve(strict=True)
        path = (base / name).resolve(strict=True)
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ConfigError(f"there is no file {given} in {_quoted(str(directory))}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"cannot use {given}: {getattr(error, 'strerror', None) or error}") from None
    if not path.is_relative_to(base):
        raise ConfigError(f"{given} is a link that leads out of the configuration's directory")
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{given} is not a regular file")
    return path


def _quoted(name: str | bytes) -> str:
    return f"'{printable(os.fsdecode(name), 300)}'"


def _similar(name: str | bytes) -> str:
    """A hint if a file of nearly that name lies beside the missing one."""
    directory, wanted = os.path.split(os.fsdecode(name))
    try:
        near = nearest(wanted[:100], os.listdir(directory or ".")[:1000])
    except (OSError, ValueError):
        return ""
    return f"; did you mean '{os.path.join(directory, near[0])}'?" if near else ""
