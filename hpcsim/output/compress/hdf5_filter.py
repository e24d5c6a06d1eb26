"""Compression by the filters of hdf5plugin, through a file in memory that is never written."""

from __future__ import annotations

from typing import Any

import h5py
import hdf5plugin
import numpy as np


def settings(name: str, bound: float) -> Any:
    """The filter of a name with its bound, as keyword arguments of ``create_dataset``."""
    if name == "zfp":
        return hdf5plugin.Zfp(accuracy=bound)
    if name == "sz3":
        return hdf5plugin.SZ3(absolute=bound)
    return hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.BITSHUFFLE)


def write_chunk(name: str, bound: float, values: np.ndarray) -> bytes:
    """The bytes of an array as one chunk.

    Raises
    ------
    ValueError
        If the filter leaves the chunk as it is.
    """
    with h5py.File("chunk.h5", "w", driver="core", backing_store=False) as handle:
        made = handle.create_dataset("values", data=values, chunks=values.shape, **settings(name, bound))
        skipped, data = made.id.read_direct_chunk((0,) * values.ndim)
    if skipped:
        raise ValueError(f"the filter {name} refuses the array")
    return bytes(data)


def read_chunk(name: str, bound: float, data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a chunk; data that the filter cannot read raise ``OSError`` or end the process."""
    with h5py.File("chunk.h5", "w", driver="core", backing_store=False) as handle:
        made = handle.create_dataset("values", shape, dtype, chunks=shape, **settings(name, bound))
        made.id.write_direct_chunk((0,) * len(shape), data)
        values: np.ndarray = made[...]
    return values
