"""The ranks of a run: an owned communicator with the few collective verbs the package uses.

Nothing here pickles: every message is a NumPy buffer. MPI is imported only when a launcher started the process or a
communicator is handed in, so a serial run pays nothing for it.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hpcsim.comm import launch_check
from hpcsim.comm.abort import Ender
from hpcsim.comm.serial import SerialComm
from hpcsim.errors import LaunchError, RankDisagreement

_HOST_BYTES = 64
_TAG_LIMIT = 32000
# Texts may hold file names, which need not be text.
_ANY_NAME = "surrogateescape"


class Context:
    """A duplicated communicator, its place on the node, and collective calls on buffers.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or SerialComm
        Communicator to work on; an MPI one is duplicated, the caller keeps his.

    Attributes
    ----------
    rank, size : int
        Place in the communicator and its size.
    node_rank, node_size : int
        The same among the ranks that share memory with this one.
    node_ranks : tuple of int
        The ranks of this node, as ranks of the communicator.
    hosts : tuple of str
        Host name of every rank.
    crowded : bool
        Whether the node has more threads of this run than CPUs (then waiting loops give way at once).
    warnings : tuple of str
        What the launch checks found odd but not wrong; equal on all ranks of a node.

    Examples
    --------
    >>> with Context.serial() as context:
    ...     context.rank, context.size, context.max(2.5), context.agree(True)
    (0, 1, 2.5, True)
    """

    def __init__(self, comm: Any) -> None:
        self._mpi: Any = None
        self.crowded = False
        self.warnings: tuple[str, ...] = ()
        if isinstance(comm, SerialComm):
            self.comm: Any = comm
            self.node_comm: Any = SerialComm()
        else:
            from mpi4py import MPI

            self._mpi = MPI
            self.comm = comm.Dup()
            self.node_comm = self.comm.Split_type(MPI.COMM_TYPE_SHARED, key=self.comm.rank)
        self.rank: int = self.comm.rank
        self.size: int = self.comm.size
        self.node_rank: int = self.node_comm.rank
        self.node_size: int = self.node_comm.size
        self._send = np.zeros(1)
        self._receive = np.zeros(1)
        self._next_tag = 0
        self._ender: Ender | None = None
        self._place()

    def _place(self) -> None:
        ranks = np.zeros(self.node_size, np.int64)
        self.node_comm.Allgather(np.array([self.rank], np.int64), ranks)
        self.node_ranks = tuple(ranks.tolist())
        name = np.zeros(_HOST_BYTES, np.uint8)
        raw = np.frombuffer(socket.gethostname().encode()[:_HOST_BYTES], np.uint8)
        name[: len(raw)] = raw
        names = np.zeros((self.size, _HOST_BYTES), np.uint8)
        self.comm.Allgather(name, names)
        self.hosts = tuple(row.tobytes().rstrip(b"\0").decode(errors="replace") for row in names)

    @classmethod
    def serial(cls) -> Context:
        """The context of one process, without MPI."""
        return cls(SerialComm())

    @classmethod
    def launch(cls, threads: int = 1) -> Context:
        """The process-wide context: of all ranks under a launcher, else serial.

        An error that leaves its ``with`` block on one rank, or that nothing catches, ends all ranks (see comm.abort).

        Parameters
        ----------
        threads : int
            Threads each rank will use.

        Raises
        ------
        LaunchError
            If several tasks came up as separate single runs, or the CPU set is smaller than the threads.
        """
        environment = os.environ
        if launch_check.launched(environment):
            launch_check.check_unwired_step(environment, _library)
            context = cls(_world())
        else:
            context = cls.serial()
        launch_check.check_singleton(environment, context.size, _library)
        if context.size > 1:
            context._ender = Ender(context)
            context._ender.install()
        try:
            context._check_cpus(threads)
        except LaunchError as error:
            # All ranks know the fault; the ender shows it once instead of once a rank.
            if context._ender is not None:
                context._ender.leave(error)
            raise
        return context

    def _check_cpus(self, threads: int) -> None:
        """Refuse or note a CPU set that does not fit, on all ranks alike."""
        cpus = os.sched_getaffinity(0)
        fault = ""
        try:
            launch_check.check_affinity(len(cpus), threads)
        except LaunchError as error:
            fault = str(error)
        faults = self.gather_node_text(fault)
        if self.any(bool(fault)):
            worst = next((text for text in faults if text), "launch: another node has too few CPUs for run.threads")
            raise LaunchError(worst)
        masks = [frozenset(int(c) for c in text.split(",")) for text in self.gather_node_text(",".join(map(str, cpus)))]
        crowd = launch_check.crowding(masks, threads)
        self.crowded = bool(crowd)
        notes = launch_check.thread_warnings(os.environ, threads) if self.size > 1 else []
        self.warnings = tuple(([crowd] if crowd and self.size > 1 else []) + notes)

    def _op(self, name: str) -> Any:
        return getattr(self._mpi, name) if self._mpi is not None else None

    def _reduce(self, value: Any, op: str) -> Any:
        if isinstance(value, np.ndarray):
            send = np.ascontiguousarray(value)
            receive = np.empty_like(send)
            self.comm.Allreduce(send, receive, op=self._op(op))
            return receive
        self._send[0] = value
        self.comm.Allreduce(self._send, self._receive, op=self._op(op))
        return float(self._receive[0])

    def max(self, value: Any) -> Any:
        """Largest value over the ranks: a float for a float, element by element for an array."""
        return self._reduce(value, "MAX")

    def min(self, value: Any) -> Any:
        """Smallest value over the ranks: a float for a float, element by element for an array."""
        return self._reduce(value, "MIN")

    def sum_int(self, values: np.ndarray) -> np.ndarray:
        """Exact sum over the ranks of an int64 or uint64 array, element by element."""
        if values.dtype.kind not in "iu":
            raise TypeError(f"sum_int takes integers, got {values.dtype}; sum floats with fields.reduce")
        return np.asarray(self._reduce(values, "SUM"))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return bool(self.max(1.0 if flag else 0.0))

    def agree(self, ok: bool) -> bool:
        """Whether all ranks say yes."""
        return bool(self.min(1.0 if ok else 0.0))

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.comm.Barrier()

    def bcast_text(self, text: str) -> str:
        """The text of rank 0, on all ranks."""
        raw = np.frombuffer(text.encode(errors=_ANY_NAME), np.uint8).copy()
        length = np.array([len(raw)], np.int64)
        self.comm.Bcast(length)
        buffer = raw if self.rank == 0 else np.empty(int(length[0]), np.uint8)
        self.comm.Bcast(buffer)
        return buffer.tobytes().decode(errors=_ANY_NAME)

    def gather_text(self, text: str) -> list[str] | None:
        """The texts of all ranks in rank order on rank 0, None elsewhere."""
        texts = self.texts(text)
        return texts if self.rank == 0 else None

    def gather_node_text(self, text: str) -> list[str]:
        """The texts of the ranks of this node, on each of them."""
        return self.texts(text, self.node_comm)

    def texts(self, text: str, comm: Any = None) -> list[str]:
        """The texts of all ranks in rank order, on each of them; of another communicator's ranks if one is given."""
        comm = comm if comm is not None else self.comm
        raw = np.frombuffer(text.encode(errors=_ANY_NAME), np.uint8)
        longest = np.zeros(1, np.int64)
        comm.Allreduce(np.array([len(raw)], np.int64), longest, op=self._op("MAX"))
        # One row a rank: the length first, so that a text may hold any character.
        row = np.zeros(8 + int(longest[0]), np.uint8)
        row[:8] = np.array([len(raw)], np.int64).view(np.uint8)
        row[8 : 8 + len(raw)] = raw
        rows = np.zeros((comm.size, row.size), np.uint8)
        comm.Allgather(row, rows)
        return [r[8 : 8 + int(r[:8].view(np.int64)[0])].tobytes().decode(errors=_ANY_NAME) for r in rows]

    def same(self, digest: bytes, what: str) -> None:
        """Check that all ranks hold the same bytes.

        Parameters
        ----------
        digest : bytes
            Digest (of any length) of the thing compared.
        what : str
            Its name for the message, e.g. ``"configuration"``.

        Raises
        ------
        RankDisagreement
            On all ranks alike; names the ranks that differ from the majority (ties: from rank 0's side).
        """
        mine = np.frombuffer(hashlib.sha256(digest).digest(), np.uint8)
        if self.agree(bool(np.array_equal(self.max(mine), mine))):
            return
        rows = np.zeros((self.size, mine.size), np.uint8)
        self.comm.Allgather(mine, rows)
        groups: dict[bytes, list[int]] = {}
        for rank, row in enumerate(rows):
            groups.setdefault(row.tobytes(), []).append(rank)
        majority = max(groups.values(), key=lambda ranks: (len(ranks), -ranks[0]))
        odd = sorted(set(range(self.size)) - set(majority))
        named = ", ".join(f"{rank} (on {self.hosts[rank]})" for rank in odd[:8]) + (", ..." if len(odd) > 8 else "")
        ranks, verb = ("ranks", "differ") if len(odd) > 1 else ("rank", "differs")
        raise RankDisagreement(
            f"{what}: {ranks} {named} of {self.size} {verb} from the other{'s' if len(majority) > 1 else ''}; "
            "every rank must read the same files, versions and environment"
        )

    def take_tags(self, count: int) -> int:
        """First of ``count`` message tags (below 32767) for one exchange; called in the same order on all ranks."""
        if self._next_tag + count > _TAG_LIMIT:
            self._next_tag = 0
        first = self._next_tag
        self._next_tag += count
        return first

    @contextmanager
    def one_per_node(self) -> Iterator[None]:
        """Let the first rank of each node through the block before the others (to fill a cache they share)."""
        if self.node_rank > 0:
            self.node_comm.Barrier()
        try:
            yield
        finally:
            if self.node_rank == 0 and self.node_size > 1:
                self.node_comm.Barrier()

    def split_node(self) -> Context:
        """A new context of the ranks that share memory with this one; free it after use."""
        return Context(self.node_comm)

    def free(self) -> None:
        """Give the communicators back; collective, harmless the second time."""
        if self._ender is not None:
            self._ender.free()
            self._ender = None
        if self.comm is not None:
            self.node_comm.Free()
            self.comm.Free()
            self.comm = self.node_comm = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # Freeing is collective: with an exception under way the other ranks are not here to take part.
        if error is None:
            self.free()
        elif self._ender is not None:
            self._ender.leave(error)


def _world() -> Any:
    """MPI.COMM_WORLD, starting MPI if this is the first use; only the main thread of a rank calls MPI."""
    import mpi4py

    mpi4py.rc.thread_level = "serialized"
    from mpi4py import MPI

    return MPI.COMM_WORLD


def _library() -> str:
    """Version text of the MPI library without starting it, empty if there is none; for a launch about to be refused."""
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError):
        return ""
    return str(MPI.Get_library_version())
