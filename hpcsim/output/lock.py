"""One writer per run directory: a lock file that names its process, so that a dead one can be told from a live one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.output.files import disk_errors
from hpcsim.output.queue import job_runs

ATTEMPTS = 5


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes
    ----------
    host, boot : str
        Node name and the kernel's identifier of its current boot.
    pid : int
        Process.
    started : int
        Start of the process in kernel ticks: a later process with the same number has another one.
    job, restart : str
        SLURM job and how often it was requeued; empty outside of SLURM.
    """

    host: str
    boot: str
    pid: int
    started: int
    job: str
    restart: str

    @classmethod
    def current(cls) -> Holder:
        """The calling process as a holder."""
        job, restart = (os.environ.get(key, "") for key in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"))
        return cls(socket.gethostname(), boot_id(), os.getpid(), process_start(os.getpid()) or 0, job, restart)

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Holder from the content of a lock file, None if it cannot be understood."""
        try:
            value = json.loads(text)
            return cls(
                str(value["host"]),
                str(value["boot"]),
                int(value["pid"]),
                int(value["started"]),
                str(value["job"]),
                str(value["restart"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


def boot_id() -> str:
    """Identifier of the current boot of this node, empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def process_start(pid: int) -> int | None:
    """Kernel ticks at which a process of this node began; 0 if unknown, None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    if text:
        # The name may hold blanks and brackets: count from the last bracket. State Z is a process that has ended.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return 0


class RunLock:
    """The lock file of a run directory.

    Parameters
    ----------
    path : Path
        The file.
    say : callable
        Gets a line when a stale lock is taken over.
    asks : callable
        ``asks(job)`` tells whether a SLURM job still runs: True, False, or None if that cannot be found out.

    Examples
    --------
    >>> import tempfile
    >>> with RunLock(Path(tempfile.mkdtemp()) / "lock") as lock:
    ...     lock.path.exists()
    True
    """

    def __init__(
        self,
        path: Path,
        say: Callable[[str], None] = print,
        asks: Callable[[str], bool | None] = job_runs,
    ) -> None:
        self.path = Path(path)
        self._say = say
        self._asks = asks
        self._held: str | None = None

    def acquire(self) -> None:
        """Take the lock or refuse, at once.

        Raises
        ------
        DiskError
            If a live run holds it, if that cannot be found out, or if the file cannot be written.
        """
        content = json.dumps(asdict(Holder.current()))
        with disk_errors("write the lock", self.path):
            for _ in range(ATTEMPTS):
                if self._create(content):
                    self._held = content
                    return
                self._take_over()
        raise DiskError(f"{self.path} is taken again and again by other runs; use another directory")

    def release(self) -> None:
        """Remove the lock if this object holds it; a lock that someone took over is left alone."""
        if self._held is not None:
            with contextlib.suppress(OSError):
                if self.path.read_text(encoding="utf-8") == self._held:
                    self.path.unlink()
            self._held = None

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _create(self, content: str) -> bool:
        """Make the lock with its content in one step; False if there is one already."""
        draft = self.path.with_name(f".{self.path.name}.{socket.gethostname()}.{os.getpid()}")
        try:
            draft.write_text(content, encoding="utf-8")
            # A link appears complete or not at all, also on network disks, where O_EXCL leaves an empty file first.
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError:
            return self._create_exclusively(content)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _create_exclusively(self, content: str) -> bool:
        """The same on a disk without hard links."""
        try:
            with open(self.path, "x", encoding="utf-8") as stream:
                stream.write(content)
        except FileExistsError:
            return False
        return True

    def _take_over(self) -> None:
        """Remove the lock that is there if its holder is gone."""
        try:
            found = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        reason = self._stale(Holder.parse(found))
        aside = self.path.with_name(f".{self.path.name}.stale.{socket.gethostname()}.{os.getpid()}")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        if aside.read_text(encoding="utf-8", errors="replace") != found:
            # Between reading and renaming another run took it: give it back, the next attempt judges anew.
            with contextlib.suppress(OSError):
                os.link(aside, self.path)
        else:
            self._say(f"took over the lock {self.path}: {reason}")
        aside.unlink(missing_ok=True)

    def _stale(self, holder: Holder | None) -> str:
        """Why the holder cannot be alive; raises ``DiskError`` if it may be."""
        me = Holder.current()
        if holder is None:
            raise DiskError(f"the lock {self.path} cannot be understood. {self._advice()}")
        if holder.host != me.host:
            return self._stale_elsewhere(holder, me)
        if holder.boot and me.boot and holder.boot != me.boot:
            return f"{holder} ended when the node was started again"
        started = process_start(holder.pid)
        if started is None:
            return f"{holder} does not exist any more"
        if started and holder.started and started != holder.started:
            return f"the number of {holder} belongs to a later process"
        raise DiskError(f"{self.path.parent} is in use by {holder}; wait for it or choose another directory")

    def _stale_elsewhere(self, holder: Holder, me: Holder) -> str:
        """The same for a holder on another node, of which only the queue can tell."""
        same_job = bool(holder.job) and holder.job == me.job
        if same_job and holder.restart != me.restart:
            return f"{holder} is an earlier start of this job"
        running = True if same_job else self._asks(holder.job) if holder.job else None
        if running is False:
            return f"job {holder.job} of {holder} has ended"
        state = "is in use by" if running else "may be in use by"
        raise DiskError(f"{self.path.parent} {state} {holder}. {self._advice()}")

    def _advice(self) -> str:
        """What a person can do about a lock that cannot be judged."""
        return f"If you are sure that no run writes to {self.path.parent}, remove {self.path}"


def lock_directory(context: Context, path: Path, say: Callable[[str], None]) -> RunLock:
    """Take the lock on rank 0; collective.

    Parameters
    ----------
    context : Context
        The ranks of the run.
    path : Path
        The lock file.
    say : callable
        Gets a line when a stale lock is taken over.

    Returns
    -------
    RunLock
        Held by rank 0; its ``release`` does nothing on the others.

    Raises
    ------
    DiskError
        On every rank, if the lock is refused.
    """
    lock = RunLock(path, say)
    problem = ""
    if context.rank == 0:
        try:
            lock.acquire()
        except DiskError as error:
            problem = str(error)
    problem = context.bcast_text(problem)
    if problem:
        raise DiskError(problem)
    return lock
