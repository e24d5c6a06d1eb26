"""Fields of every kind that compression tells apart."""

from __future__ import annotations

import numpy as np

SHAPES = {1: (5000,), 2: (70, 81), 3: (33, 20, 17), 4: (9, 12, 11, 10)}


def grid(shape) -> list[np.ndarray]:
    """Coordinates from -1 to 1 on each axis."""
    return np.meshgrid(*[np.linspace(-1.0, 1.0, n) for n in shape], indexing="ij")


def smooth(shape, width: float = 0.3) -> np.ndarray:
    """A Gaussian in the middle."""
    return np.exp(-sum(x**2 for x in grid(shape)) / (2 * width**2))


def noise(shape) -> np.ndarray:
    """White noise."""
    return np.random.default_rng(1).standard_normal(shape)


def sparse(shape, share: float = 0.01) -> np.ndarray:
    """Zero but for a share of the sites."""
    rng = np.random.default_rng(2)
    return np.where(rng.random(shape) < share, rng.standard_normal(shape), 0.0)


def labels(shape, count: int = 16) -> np.ndarray:
    """Boxes of equal labels."""
    coarse = tuple(-(-n // 4) for n in shape)
    values = np.random.default_rng(3).integers(0, count, coarse).astype(np.float64)
    for axis in range(len(shape)):
        values = np.repeat(values, 4, axis)
    return values[tuple(slice(n) for n in shape)]


def broken(shape) -> np.ndarray:
    """A smooth field with NaN of several payloads and both infinities."""
    values = smooth(shape)
    flat = values.reshape(-1)
    places = np.random.default_rng(4).permutation(flat.size)[:12]
    flat[places[:4]], flat[places[4:8]] = np.inf, -np.inf
    flat[places[8:]] = np.array(
        [0x7FF8000000000001, 0xFFF8000000000002, 0x7FF0000000000003, 0x7FFFFFFFFFFFFFFF], "u8"
    ).view("f8")
    return values


def constant(shape) -> np.ndarray:
    """One value."""
    return np.full(shape, -np.pi)


def tricky(dtype, count: int = 5000) -> np.ndarray:
    """Every bit pattern that a codec could lose: both zeros, NaN payloads, subnormal and extreme numbers."""
    rng = np.random.default_rng(5)
    kind = np.dtype(dtype)
    bits = rng.integers(0, 2 ** (8 * kind.itemsize - 1), count, dtype=np.uint64, endpoint=True).astype(
        f"u{kind.itemsize}"
    )
    bits[: count // 2] = 0
    if kind.kind == "f":
        bits[count // 4 : count // 2] = np.array(-0.0, kind).view(f"u{kind.itemsize}")
    return bits.view(kind) if kind.kind != "b" else (bits & 1).astype(bool)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of one type have the same bits."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
