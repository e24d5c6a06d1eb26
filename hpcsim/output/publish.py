"""The end of a file that all ranks write: they agree that it is whole, and it gets its name, or it goes."""

from __future__ import annotations

import os
from pathlib import Path

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.output.files import describe, discard, sync_directory


def settle(context: Context, problem: str, temporary: Path) -> None:
    """Go on if no rank has a problem; else remove the temporary file and raise the same error everywhere.

    Parameters
    ----------
    context : Context
        The ranks; collective.
    problem : str
        What went wrong on this rank; empty if nothing did.
    temporary : Path
        The unfinished file.

    Raises
    ------
    DiskError
        On all ranks, with the message of the first that failed.
    """
    if context.agree(not problem):
        return
    texts = context.gather_text(problem)
    report = ""
    if context.rank == 0:
        discard(temporary)
        failed = [(rank, text) for rank, text in enumerate(texts or []) if text]
        ranks = ", ".join(str(rank) for rank, _ in failed[:8]) + (", ..." if len(failed) > 8 else "")
        report = f"{failed[0][1]} (on rank{'s' if len(failed) > 1 else ''} {ranks})"
    raise DiskError(context.bcast_text(report))


def publish(temporary: Path, final: Path) -> str:
    """Give the finished file its name; what went wrong, or an empty text."""
    try:
        os.replace(temporary, final)
        sync_directory(final.parent)
    except OSError as error:
        return failure(error, final)
    return ""


def temporary_of(final: Path) -> Path:
    """Name of a file while it is written."""
    return final.with_name(f".{final.name}.tmp")


def failure(error: Exception, path: Path) -> str:
    """Text of a failure for the person who runs the job."""
    if isinstance(error, OSError):
        return describe(error, "write the snapshot", path.with_name(path.name.removeprefix(".").removesuffix(".tmp")))
    if isinstance(error, MemoryError):
        return f"not enough memory to write {path}"
    return str(error)
