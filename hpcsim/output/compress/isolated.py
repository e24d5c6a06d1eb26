"""Decoding in another process, for libraries that a damaged stream can bring down."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import hpcsim
from hpcsim.output.compress.worker import ANSWER, LENGTHS

# A child under these would take itself for a rank of the parent's job.
_LAUNCHERS = ("OMPI_", "PMIX_", "PMI_", "MPI_", "SLURM_", "H5PY_ALWAYS_USE_MPI")
_PATIENCE_S = 60.0
_SLOWEST_BYTES_PER_S = 1e6


class Isolated:
    """A worker process, started at the first request and again after one that ended it.

    It ends with this object or with the interpreter. Requests of several threads wait for each other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def decode(self, name: str, bound: float, chunk: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """The array of a chunk of an HDF5 filter.

        Raises
        ------
        ValueError
            If the decoder refused the chunk, crashed on it, took too long or took too much memory.
        """
        request = {"filter": name, "bound": bound, "dtype": dtype.str, "shape": shape}
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        with self._lock:
            process = self._running()
            timer = threading.Timer(_PATIENCE_S + nbytes / _SLOWEST_BYTES_PER_S, process.kill)
            timer.daemon = True
            timer.start()
            try:
                status, answer = _ask(process, request, chunk, nbytes)
            except (OSError, EOFError) as error:
                self._process = None
                _end(process)
                raise ValueError(f"the decoder of {name} crashed on it") from error
            finally:
                timer.cancel()
        if status:
            raise ValueError(bytes(answer).decode(errors="replace"))
        if len(answer) != nbytes:
            raise ValueError(f"it has {len(answer)} bytes, expected {nbytes}")
        return np.frombuffer(answer, dtype).reshape(shape)

    def _running(self) -> subprocess.Popen[bytes]:
        """The worker of this process; a forked child gets its own."""
        process = self._process
        if process is None or self._owner != os.getpid() or process.poll() is not None:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hpcsim.output.compress.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(),
            )  # fmt: skip
            self._process, self._owner = process, os.getpid()
            weakref.finalize(self, _leave, process, self._owner)
        return process


def _ask(
    process: subprocess.Popen[bytes], request: Mapping[str, object], chunk: memoryview, most: int
) -> tuple[int, bytearray]:
    """Send a request and wait for the answer, which has no more bytes than the values or a message."""
    assert process.stdin is not None and process.stdout is not None
    text = json.dumps(request).encode()
    process.stdin.write(LENGTHS.pack(len(text), len(chunk)) + text)
    process.stdin.write(chunk)
    process.stdin.flush()
    status, length = ANSWER.unpack(_read(process, ANSWER.size))
    if length > max(most, 1 << 16):
        raise EOFError
    return status, _read(process, length)


def _read(process: subprocess.Popen[bytes], count: int) -> bytearray:
    """Exactly so many bytes of the worker's answer."""
    assert process.stdout is not None
    data = bytearray(process.stdout.read(count))
    if len(data) != count:
        raise EOFError
    return data


def _leave(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the worker of this process; one that a fork has inherited belongs to the parent."""
    if os.getpid() == owner:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a worker and take its exit status, so that none is left behind."""
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()


def _environment() -> dict[str, str]:
    """Environment of the worker: this package can be imported, and no launcher can be seen."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_LAUNCHERS)}
    paths = [str(Path(hpcsim.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
