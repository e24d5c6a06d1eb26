"""One rank fails, all ranks end: with one traceback, its exit code, and within seconds.

MPI itself leaves the others waiting for ever. ``guard`` ends the job when anything but a normal return leaves its block
(an exception, ``sys.exit``, an interrupt), and hooks catch what is raised in threads. A process that vanishes by
``os._exit`` or a signal is noticed by the launcher. An error raised on purpose by all ranks together, such as a refused
configuration, needs no force: the first rank prints it and all leave in order.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hpcsim.errors import HpcsimError

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

_MEET_S = 1.5
_CLAIM_S = 0.1
_LAST_RESORT_S = 2.0
_INTERRUPTED = 130
_MOST_TOLD = 8
_INTERNAL = 70


class Ender:
    """Ends all ranks of a context; holds what that needs, made before anything can go wrong.

    Parameters
    ----------
    context : Context
        All ranks of the job; creation and :meth:`free` are collective.
    """

    def __init__(self, context: Context) -> None:
        from hpcsim.comm.window import SharedWindow

        self._context = context
        # A communicator of its own: the meeting of leaving ranks must not match the run's collectives.
        self._comm = context.comm.Dup() if context.size > 1 else None
        self._board = SharedWindow(context, 8)
        self._claim: Any = self._board.local.view("float64")
        self._hooks: tuple[Any, Any] | None = None

    def install(self) -> None:
        """Take over what nothing catches, in the main thread and in others."""

        def main_hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            self.end(error.with_traceback(trace))

        def thread_hook(arguments: Any) -> None:
            if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
                self.end(arguments.exc_value)

        self._hooks = (sys.excepthook, threading.excepthook)
        sys.excepthook, threading.excepthook = main_hook, thread_hook

    def leave(self, error: BaseException) -> None:
        """End all ranks for an error; returns only for a ``sys.exit`` in which all ranks take part.

        Raises
        ------
        SystemExit
            With the code of an error raised on purpose by all ranks together, once the first rank has printed it.
        """
        if not isinstance(error, HpcsimError | SystemExit) or not self._all_here():
            self.end(error)
        if isinstance(error, HpcsimError):
            self._tell(str(error))
        self.free()
        if isinstance(error, HpcsimError):
            raise SystemExit(error.exit_code) from None

    def _tell(self, message: str) -> None:
        """Print the message of all ranks on the first one; what others say beyond it is marked with their rank."""
        messages = self._context.texts(message, self._comm)
        if self._context.rank == 0:
            first = {text: messages.index(text) for text in messages}
            for text, rank in list(first.items())[:_MOST_TOLD]:
                _write(f"hpcsim: {f'rank {rank}: ' if rank else ''}{text}\n")

    def free(self) -> None:
        """Give communicator, board and hooks back; collective."""
        if self._hooks is not None:
            sys.excepthook, threading.excepthook = self._hooks
            self._hooks = None
        if self._comm is not None:
            self._comm.Free()
            self._comm = None
        self._claim = None
        self._board.free()

    def _all_here(self) -> bool:
        """Whether all ranks arrive here within a short time, as they do when leaving is meant."""
        if self._comm is None:
            return True
        request = self._comm.Ibarrier()
        limit = time.monotonic() + _MEET_S
        while not request.Test():
            if time.monotonic() > limit:
                return False
            time.sleep(0.002)
        return True

    def end(self, error: BaseException) -> None:
        """Print the error if this rank was the first of its node to fail, and end every rank. Does not return."""
        code = exit_code(error)
        # Should MPI be too broken to abort, the process leaves all the same and the launcher ends the others.
        timer = threading.Timer(_LAST_RESORT_S, os._exit, (code,))
        timer.daemon = True
        timer.start()
        if self._is_first():
            context = self._context
            where = f"rank {context.rank} of {context.size} on {context.hosts[context.rank]}"
            _write(f"hpcsim: {where} ended the run (exit code {code})\n{describe(error)}\n")
        else:
            time.sleep(_LAST_RESORT_S / 2)
        self._abort(code)

    def _is_first(self) -> bool:
        """Claim the right to print: the earliest time on the node's common clock wins, whoever looks."""
        self._claim[0] = mine = time.monotonic()
        self._board.sync()
        time.sleep(_CLAIM_S)
        self._board.sync()
        for rank in self._context.node_ranks:
            theirs = float(self._board.peer(rank).view("float64")[0])
            if theirs and (theirs, rank) < (mine, self._context.rank):
                return False
        return True

    def _abort(self, code: int) -> None:
        if self._comm is not None:
            self._comm.Abort(code)
        os._exit(code)


def exit_code(error: BaseException) -> int:
    """Process exit code for an error.

    Examples
    --------
    >>> from hpcsim.errors import LaunchError
    >>> exit_code(LaunchError("x")), exit_code(SystemExit(7)), exit_code(SystemExit(None)), exit_code(ValueError())
    (3, 7, 70, 70)
    """
    if isinstance(error, HpcsimError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        # Leaving with 0 while others still work is no success.
        return error.code & 0xFF or _INTERNAL
    return _INTERNAL


def describe(error: BaseException) -> str:
    """What to print for an error: the message for those raised on purpose, else the traceback."""
    if isinstance(error, HpcsimError):
        return f"{type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, SystemExit):
        return f"{text}\nsys.exit on one rank while others were running"
    if isinstance(error, MemoryError):
        return f"{text}\nout of memory on this rank; use more nodes, fewer ranks on each, or a smaller lattice"
    return text


@contextmanager
def guard(context: Context) -> Iterator[None]:
    """End all ranks when an error leaves the block on this one; with a single rank errors pass through unchanged.

    A context from ``Context.launch`` does this by itself when used in a ``with`` statement; this is for others.
    ``sys.exit`` passes through when all ranks leave together. Collective on entry and on normal exit.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> with guard(Context.serial()):
    ...     pass
    """
    if context.size == 1:
        yield
        return
    ender = Ender(context)
    ender.install()
    try:
        yield
    except BaseException as error:
        ender.leave(error)
        raise
    ender.free()


def _write(text: str) -> None:
    """Straight to the descriptor in one piece: buffered streams may be lost or interleaved at an abort."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
    try:
        os.write(2, text.encode(errors="replace"))
    except OSError:
        pass
