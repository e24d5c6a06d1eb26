"""Asking SLURM whether a job still runs, with a time limit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time

GONE = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PENDING",
    "PREEMPTED",
    "TIMEOUT",
}


def job_runs(job: str, limit_s: float = 1.5) -> bool | None:
    """Whether a SLURM job is running.

    Parameters
    ----------
    job : str
        Job id.
    limit_s : float
        Seconds to wait for the answer.

    Returns
    -------
    bool or None
        True if it runs, False if it has ended, waits in the queue or is unknown; None if SLURM gives no answer.
    """
    program = shutil.which("squeue")
    if program is None or not job.replace("_", "").isdecimal():
        return None
    answer = _answer(program, ["squeue", "-h", "-j", job, "-o", "%T"], limit_s)
    if answer is None:
        return None
    code, text = answer
    states = set(text.split()) if code == 0 else set()
    if code != 0:
        return False if "Invalid job id" in text else None
    return bool(states - GONE)


def job_seconds_left(job: str, limit_s: float = 3.0) -> float | None:
    """Seconds until the time limit of a SLURM job; None if it has none or SLURM gives no answer.

    Parameters
    ----------
    job : str
        Job id.
    limit_s : float
        Seconds to wait for the answer.
    """
    program = shutil.which("squeue")
    if program is None or not job.replace("_", "").isdecimal():
        return None
    answer = _answer(program, ["squeue", "-h", "-j", job, "-o", "%L"], limit_s)
    return left_seconds(answer[1]) if answer is not None and answer[0] == 0 else None


def left_seconds(text: str) -> float | None:
    """Seconds of SLURM's ``days-hours:minutes:seconds``, in which leading parts may be missing.

    Examples
    --------
    >>> left_seconds("1-02:00:05"), left_seconds("59:30"), left_seconds("UNLIMITED")
    (93605.0, 3570.0, None)
    """
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _answer(program: str, command: list[str], limit_s: float) -> tuple[int, str] | None:
    """Exit code and output of a program, None if it takes too long.

    The program is spawned, not forked: a fork copies the pages that MPI has pinned.
    """
    with tempfile.TemporaryFile() as output:
        actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)]
        pid = os.posix_spawn(program, command, os.environ, file_actions=actions)
        end = time.monotonic() + limit_s
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return None
            time.sleep(0.01)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read(65536).decode(errors="replace")
