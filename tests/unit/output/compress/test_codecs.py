"""Codecs: error bounds, exact bits, damage (ENG-15, F-05)."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hpcsim.errors import ConfigError, DiskError
from hpcsim.output.compress import CODECS
from hpcsim.output.compress.codec import decode, default_lossless, get_codec, max_error
from hpcsim.output.compress.options import Compression
from hpcsim.output.compress.stream import read_frame, wrap
from tests.unit.output.compress import arrays

LOSSLESS = [name for name in CODECS if get_codec(name).lossless]
LOSSY = [name for name in CODECS if not get_codec(name).lossless]
HERE = Path(__file__).parent
BOUNDS = (1e-3, 1e-6)


def test_every_codec_is_here():
    assert {"zstd", "blosc", "blosc2", "sparse", "dictionary", "none", "deflate"} <= set(LOSSLESS)
    assert set(LOSSY) == {"wavelet", "zfp", "sz3"}


@pytest.mark.parametrize("eps", BOUNDS)
@pytest.mark.parametrize("codec", [*LOSSY, "auto"])
def test_error_mode(codec, eps):
    """ENG-15: the bound holds, labels and sparse are bit exact, NaN and Inf stay, smooth fields get small."""
    shape = (64, 56, 60)
    compression = Compression(codec, error=eps)
    fields = {
        f.__name__: f(shape) for f in (arrays.smooth, arrays.noise, arrays.sparse, arrays.labels, arrays.constant)
    }
    for name, values in fields.items():
        packed = compression.encode(values)
        back = decode(packed.data, values.dtype, shape)
        assert max_error(values, back) <= eps, name
        assert packed.error == max_error(values, back)
        assert not (codec == "auto" and name in ("sparse", "labels", "constant")) or arrays.same_bits(values, back), (
            name
        )
        if name == "smooth":
            assert len(packed.data) <= 0.1 * values.nbytes
        if name == "noise" and codec == "auto":
            assert (packed.codec, packed.reason) == (default_lossless().name, "noise")
            assert arrays.same_bits(values, back)
    values = arrays.broken(shape)
    packed = compression.encode(values)
    assert arrays.same_bits(values, decode(packed.data, values.dtype, shape)) and packed.codec in LOSSLESS


@pytest.mark.parametrize("name", ["sparse", "dictionary"])
def test_labels_and_sparse_fields_get_small_and_stay_exact(name):
    """ENG-15: the codecs made for them keep every bit of 16 labels and of a field filled to 1 %."""
    values = {"sparse": arrays.sparse((64, 64, 20)), "dictionary": arrays.labels((64, 64, 20))}[name]
    encoded = CODECS.get(name).encode_fully(values)
    assert encoded.codec == name and len(encoded.data) < 0.02 * values.nbytes
    assert arrays.same_bits(values, decode(encoded.data, values.dtype, values.shape))


@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u4", "u8", "b1"])
def test_lossless_codecs_keep_every_bit(codec, dtype):
    """ENG-15: both zeros and all NaN patterns come back."""
    for values in (arrays.tricky(dtype), arrays.tricky(dtype)[::-1], arrays.labels((40, 30)).astype(dtype)):
        data = CODECS.get(codec).encode(values)
        assert len(data) <= values.nbytes + 200
        assert arrays.same_bits(
            np.ascontiguousarray(values), CODECS.get(codec).decode(data, values.dtype, values.shape)
        )


@pytest.mark.parametrize("codec", [*CODECS])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_shapes(codec, ndim, dtype):
    """ENG-15: odd extents, axes of one site, strides of either sign, empty arrays."""
    full = arrays.smooth(arrays.SHAPES[ndim]).astype(dtype)
    bound = None if codec in LOSSLESS else 1e-4
    cuts = [full, full[..., ::2], full[::-1], full[:1], full[..., :3], full[:0], full[:, np.newaxis], full.T]
    for values in cuts:
        data = CODECS.get(codec).encode(values, bound)
        back = CODECS.get(codec).decode(data, dtype, values.shape)
        assert back.dtype == values.dtype and back.shape == values.shape and back.flags.c_contiguous
        assert max_error(values, back) <= (bound or 0.0)


@pytest.mark.parametrize("codec", [*CODECS])
def test_single_values_and_big_endian(codec):
    for values in (np.array(3.5), np.array([2.5]), np.arange(300.0).astype(">f8")):
        data = CODECS.get(codec).encode(values, 1e-2)
        back = decode(data, values.dtype, values.shape)
        assert back.dtype == values.dtype and max_error(values, back) <= 1e-2


@pytest.mark.parametrize("codec", LOSSY)
def test_a_bound_is_kept_whatever_the_values(codec):
    """ENG-15: scales, offsets and bounds that push the arithmetic to its ends; a fall-back keeps every bit."""
    rng = np.random.default_rng(6)
    shape = (21, 30)
    bases = [
        arrays.smooth(shape),
        arrays.noise(shape),
        arrays.sparse(shape, 0.3),
        rng.integers(0, 9, shape).astype(float),
    ]
    for base in bases:
        for scale in (1e-300, 1e-30, 1.0, 1e8, 1e300):
            for offset in (0.0, 1e6 * scale):
                for dtype in ("f4", "f8"):
                    with np.errstate(over="ignore"):
                        values = (base * scale + offset).astype(dtype)
                    for bound in (1e-12 * scale, 1e-6 * scale, 0.1 * scale, 10.0 * scale):
                        if not bound > 0.0:
                            continue
                        encoded = CODECS.get(codec).encode_fully(values, bound)
                        back = decode(encoded.data, dtype, shape)
                        exact = arrays.same_bits(values, back)
                        assert exact or max_error(values, back) <= bound, (scale, offset, dtype, bound, encoded.note)


@pytest.mark.parametrize("codec", LOSSY)
@pytest.mark.parametrize("ratio", [0.3, 0.1, 0.02])
def test_ratio(codec, ratio):
    """ENG-15: a size is reached and used, and the error that it costs is told."""
    values = arrays.smooth((64, 48, 30)) + 1e-3 * arrays.noise((64, 48, 30))
    encoded = CODECS.get(codec).encode_fully(values, ratio=ratio)
    back = decode(encoded.data, "f8", values.shape)
    assert len(encoded.data) <= ratio * values.nbytes + 100
    assert encoded.error == max_error(values, back) > 0.0
    assert len(encoded.data) >= 0.4 * ratio * values.nbytes
    small = CODECS.get(codec).encode_fully(values, ratio=ratio / 2)
    assert small.error > encoded.error


@pytest.mark.parametrize("codec", LOSSY)
def test_ratio_of_fields_that_have_no_use_for_it(codec):
    exact = CODECS.get(codec).encode_fully(arrays.labels((64, 64)), ratio=0.3)
    assert exact.error == 0.0 and exact.note == "lossless reaches the ratio"
    assert CODECS.get(codec).encode_fully(arrays.broken((64, 64)), ratio=0.3).note == "values that are not finite"
    unreachable = CODECS.get(codec).encode_fully(arrays.noise((64, 64)), ratio=1e-6)
    assert unreachable.codec in LOSSLESS and unreachable.error == 0.0 and unreachable.note


def test_smaller_bounds_cost_more():
    """ENG-15: the bound is used and not only kept."""
    values = arrays.smooth((64, 64, 32))
    sizes = [len(CODECS.get("wavelet").encode(values, 10.0**-n)) for n in (2, 4, 6, 8)]
    assert sizes == sorted(sizes) and sizes[-1] > 5 * sizes[0]
    encoded = CODECS.get("wavelet").encode_fully(values, 1e-4)
    assert 0.5e-4 < encoded.error <= 1e-4


@pytest.mark.parametrize("codec", LOSSY)
def test_a_lossy_codec_has_to_be_told_how_much(codec):
    values = arrays.smooth((64,))
    for arguments in ({}, {"bound": 1e-3, "ratio": 0.1}, {"bound": 0.0}, {"bound": np.inf}, {"ratio": -1.0}):
        with pytest.raises(ConfigError):
            CODECS.get(codec).encode_fully(values, **arguments)
    whole = np.arange(1000)
    assert arrays.same_bits(decode(CODECS.get(codec).encode(whole, 10.0), whole.dtype, whole.shape), whole)


def test_what_cannot_be_compressed_is_refused():
    for values in (np.zeros(4, complex), np.array(["a"]), np.zeros(4, np.longdouble), np.zeros((1,) * 9)):
        with pytest.raises(ConfigError):
            CODECS.get("zstd").encode(values)
    with pytest.raises(ConfigError, match="too large"):
        CODECS.get("zstd").encode(np.broadcast_to(np.float64(0), (1 << 28,)))
    with pytest.raises(ConfigError, match="did you mean 'zstd'"):
        get_codec("zsdt")


def test_a_stream_is_checked_before_it_is_decoded():
    """A wrong type, shape, length, name or checksum is refused, and nothing is allocated for it."""
    values = arrays.smooth((20, 30))
    data = CODECS.get("zstd").encode(values)
    for dtype, shape in (("f4", (20, 30)), ("f8", (30, 20)), ("f8", (600,)), ("i8", (20, 30))):
        with pytest.raises(DiskError, match="expected"):
            decode(data, dtype, shape)
    frame = read_frame(data)
    assert (frame.codec, frame.shape, frame.dtype.str, frame.error) == ("zstd", (20, 30), "<f8", 0.0)
    for damage in (b"", data[:10], data[:-1], data + b"x", b"XXXX" + data[4:]):
        with pytest.raises(DiskError):
            decode(damage, "f8", (20, 30))
    for place in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[place] ^= 16
        with pytest.raises(DiskError):
            decode(bytes(flipped), "f8", (20, 30))
    with pytest.raises(DiskError, match="not known"):
        decode(wrap("nothing", values, b"abc"), "f8", (20, 30))
    huge = np.broadcast_to(np.float64(0), (1 << 40,))
    with pytest.raises(DiskError, match="impossible"):
        decode(wrap("zstd", huge, b"abc"), "f8", (1 << 40,))


@pytest.mark.parametrize("codec", [*CODECS])
def test_hostile_streams_are_refused_and_crash_nothing(codec):
    """Damage under a right checksum and a memory limit gives an error or an array, never the end of the process."""
    rounds = {"sz3": 60, "zfp": 200, "blosc2": 200}.get(codec, 1500)
    command = [sys.executable, HERE / "hostile.py", codec, str(rounds), "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    refused, read, kibibytes = map(int, done.stdout.split())
    assert refused + read == rounds and refused > rounds // 4
    assert kibibytes < 400_000


@pytest.mark.parametrize("place", [4, 8, 12])
def test_lengths_in_the_head_of_blosc_are_checked(place):
    """The library would believe them."""
    values = arrays.smooth((40, 30))
    frame = read_frame(CODECS.get("blosc").encode(values))
    payload = bytearray(frame.payload)
    payload[place + 2] ^= 0x7F
    with pytest.raises(DiskError, match="lengths in its head"):
        decode(wrap("blosc", values, bytes(payload)), "f8", values.shape)


@pytest.mark.parametrize("codec", [name for name in LOSSLESS if get_codec(name).threads])
def test_lossless_codecs_work_in_threads(codec):
    """Checkpoints are written by a thread: same streams from several threads at once as from the main one."""
    fields = [arrays.smooth((40, 30)), arrays.labels((40, 30)), arrays.sparse((40, 30)), arrays.noise((40, 30))]
    expected = [CODECS.get(codec).encode(values) for values in fields]
    found: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        for _ in range(20):
            found[number] = [CODECS.get(codec).encode(values) for values in fields]
            for values, data in zip(fields, found[number], strict=True):
                assert arrays.same_bits(values, decode(data, values.dtype, values.shape))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), expected)


def test_codecs_through_hdf5_are_kept_from_threads():
    assert {name for name in CODECS if not get_codec(name).threads} == {"blosc2", "zfp", "sz3"}


def test_the_decoder_of_a_filter_outlives_a_crash():
    """A stream on which SZ3 crashes is an error, and the next good one is read."""
    values = arrays.smooth((33, 20, 17))
    data = CODECS.get("sz3").encode(values, 1e-6)
    frame = read_frame(data)
    assert frame.codec == "sz3"
    rng = np.random.default_rng(8)
    refused = 0
    for _ in range(20):
        payload = bytearray(frame.payload)
        payload[8:200] = rng.bytes(192)
        try:
            decode(wrap("sz3", values, bytes(payload), frame.bound), "f8", values.shape)
        except DiskError:
            refused += 1
        assert max_error(values, decode(data, "f8", values.shape)) <= 1e-6
    assert refused > 10
