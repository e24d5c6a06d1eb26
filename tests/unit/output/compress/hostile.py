"""Decodes damaged streams of one codec; a process of its own, since a decoder that fails may end it.

``python hostile.py CODEC ROUNDS SEED`` prints how many streams were refused and how many gave an array. Half of the
streams keep a wrong checksum, the other half get a right one, so that the decoder itself sees the damage.
"""

from __future__ import annotations

import resource
import sys

import numpy as np

from hpcsim.errors import DiskError
from hpcsim.output.compress import stream
from hpcsim.output.compress.codec import decode, get_codec
from hpcsim.sizes import peak_bytes

SPARE_BYTES = 512 << 20


def samples() -> list[np.ndarray]:
    """Arrays that reach every branch of the codecs."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (33, 20, 17)], indexing="ij")
    smooth = np.exp(-4 * (x**2 + y**2 + z**2))
    few = rng.integers(0, 16, 500).astype(np.float32)
    sparse = np.where(rng.random((40, 50)) < 0.05, rng.standard_normal((40, 50)), -0.0)
    return [smooth, few, sparse, smooth[:, 3, 4].astype(np.float32), np.arange(1000), np.full((9, 70), 2.5)]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A stream with some bytes changed, cut or added; half of them with a checksum that fits."""
    frame = stream.read_frame(data)
    start = len(data) - len(frame.payload)
    honest = rng.random() < 0.5
    lowest = 0 if honest else start
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        span = int(rng.choice([16, 64, len(changed)]))
        place = lowest + int(rng.integers(0, max(1, min(span, len(changed) - lowest))))
        if place < len(changed):
            changed[place] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))
    kind = rng.random()
    if kind < 0.2:
        del changed[lowest + int(rng.integers(0, len(changed) - lowest)) :]
    elif kind < 0.3:
        changed += rng.bytes(int(rng.integers(1, 40)))
    if honest:
        return bytes(changed)
    template = np.empty(frame.shape, frame.dtype)
    return stream.wrap(frame.codec, template, bytes(changed[start:]), frame.bound, frame.error)


def main(name: str, rounds: int, seed: int) -> None:
    """Damage and decode."""
    codec = get_codec(name)
    rng = np.random.default_rng(seed)
    arrays = samples()
    streams = [codec.encode(array, None if codec.lossless else 1e-4) for array in arrays]
    with open("/proc/self/statm", encoding="ascii") as memory:
        used = int(memory.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, resource.RLIM_INFINITY))
    refused = read = 0
    for number in range(rounds):
        array, data = arrays[number % len(arrays)], streams[number % len(arrays)]
        try:
            values = decode(damaged(data, rng), array.dtype, array.shape)
        except DiskError as error:
            refused += "Unable to allocate" not in str(error)
        else:
            read += values.shape == array.shape and values.dtype == array.dtype
    print(refused, read, peak_bytes() // 1024)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
