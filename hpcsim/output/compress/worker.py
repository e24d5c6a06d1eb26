"""A process that decodes streams of HDF5 filters for another one, which then lives on if the decoder does not.

A request on standard input is the length of a JSON text, the length of the chunk, and both; the answer on standard
output is a status byte, a length, and that many bytes: the values, or the text of an error. The process ends with its
input.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

import numpy as np

LENGTHS = struct.Struct("<QQ")
ANSWER = struct.Struct("<BQ")
_SPARE_BYTES = 256 << 20


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer requests until there are no more."""
    from hpcsim.output.compress.hdf5_filter import read_chunk

    while len(head := source.read(LENGTHS.size)) == LENGTHS.size:
        text, length = LENGTHS.unpack(head)
        request: dict[str, Any] = json.loads(source.read(text))
        chunk = source.read(length)
        dtype, shape = np.dtype(request["dtype"]), tuple(request["shape"])
        try:
            with _limited(8 * int(np.prod(shape)) * dtype.itemsize + 4 * length):
                values = read_chunk(request["filter"], request["bound"], chunk, dtype, shape)
            status, answer = 0, values.tobytes()
        except Exception as error:
            status, answer = 1, f"{type(error).__name__}: {error}".encode()
        target.write(ANSWER.pack(status, len(answer)) + answer)
        target.flush()


@contextlib.contextmanager
def _limited(nbytes: int) -> Any:
    """Let the block take no more than so much memory beyond what the process has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm", encoding="ascii") as stream:
            used = int(stream.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + nbytes + _SPARE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def main() -> None:
    """Serve on the standard streams; what a library prints must not get among the answers."""
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, target)


if __name__ == "__main__":
    main()
