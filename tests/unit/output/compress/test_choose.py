"""Which codec a field gets, what may be asked for, and what is missing without the libraries (ENG-15)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpcsim.output.compress import CODECS
from hpcsim.output.compress.choose import choose
from hpcsim.output.compress.options import Compression, compression_faults, field_compression
from hpcsim.output.compress.tally import Tally
from tests.unit.output.compress import arrays

SHAPE = (48, 40, 20)


@pytest.mark.parametrize(
    ("values", "bound", "name", "reason"),
    [
        (arrays.constant(SHAPE), None, "dictionary", "constant"),
        (arrays.labels(SHAPE), 1e-3, "dictionary", "few values"),
        (arrays.sparse(SHAPE), 1e-3, "sparse", "mostly one value"),
        (arrays.smooth(SHAPE), 1e-6, "wavelet", "smooth"),
        (arrays.smooth(SHAPE), None, "zstd", "no error allowed"),
        (arrays.noise(SHAPE), 1e-3, "zstd", "noise"),
        (arrays.broken(SHAPE), 1e-3, "zstd", "not finite"),
        (arrays.smooth(SHAPE), 1e-18, "zstd", "the bound leaves nothing to gain"),
        (
            (arrays.smooth(SHAPE) + 0.01 * arrays.noise(SHAPE)).astype("f4"),
            1e-9,
            "zstd",
            "the bound leaves nothing to gain",
        ),
        (arrays.noise((5, 4, 3)), 1e-3, "zstd", "short axes"),
        (np.arange(4000), 1.0, "zstd", "integers"),
        (np.zeros((0, 3)), None, "zstd", "empty"),
        (1e200 * arrays.noise(SHAPE), 1e-3, "zstd", "noise"),
    ],
)
def test_detection(values, bound, name, reason):
    """ENG-15: constants, labels, sparse, smooth and noisy fields are told apart."""
    assert choose(values, bound) == (name, reason)


def test_a_box_out_of_a_larger_field_is_as_smooth_as_the_field():
    """Pieces of a run are not periodic: the jump from one end to the other must not count."""
    whole = arrays.smooth((64, 64, 64))
    for box in (whole[:21], whole[21:43], whole[32:, 32:, 32:], whole[:, :17, :9]):
        assert choose(box, 1e-6).name == "wavelet"


def test_roughness_below_the_bound_does_not_count():
    rough = 1e-5 * arrays.noise(SHAPE)
    assert choose(rough, 1e-3).name == "wavelet"
    packed = Compression("auto", 1e-3).encode(rough)
    assert len(packed.data) < 0.001 * rough.nbytes


def test_options():
    """Each combination that cannot work is refused with one that can."""
    faults = [
        (("vtkhdf", "zstd", None, None), "compression"),
        (("vtkhdf", "auto", 1e-3, None), "error"),
        (("npy", "zstd", None, None), "compression"),
        (("packed", "wavelets", 1e-3, None), "compression"),
        (("packed", "wavelet", None, None), "error"),
        (("packed", "zstd", 1e-3, None), "error"),
        (("packed", "zstd", None, 0.1), "ratio"),
        (("packed", "auto", None, 0.1), "ratio"),
        (("packed", "wavelet", 1e-3, 0.1), "ratio"),
        (("packed", "wavelet", {"w": 1e-3}, None), "error.w"),
        (("packed", "wavelet", -1.0, None), "error"),
    ]
    for arguments, key in faults:
        found = list(compression_faults(*arguments, fields=("u", "v")))
        assert [k for k, _ in found] == [key], (arguments, found)
    for arguments in (
        ("vtkhdf", "none", None, None),
        ("vtkhdf", "deflate", None, None),
        ("vtkhdf", "auto", None, None),
        ("npy", "none", None, None),
        ("packed", "auto", None, None),
        ("packed", "auto", {"u": 1e-3}, None),
        ("packed", "sz3", 1e-3, None),
        ("packed", "wavelet", None, 0.1),
    ):
        assert not list(compression_faults(*arguments, fields=("u", "v"))), arguments


def test_compression_of_a_field():
    assert field_compression("vtkhdf", "auto", None, None, "u") == Compression("deflate")
    assert field_compression("packed", "wavelet", {"u": 1e-3}, None, "u") == Compression("wavelet", 1e-3)
    assert field_compression("packed", "wavelet", {"u": 1e-3}, None, "v") == Compression("auto")
    assert field_compression("packed", "zfp", None, 0.1, "v") == Compression("zfp", None, 0.1)


def test_every_stream_says_why_it_is_what_it_is():
    """The reasons go into the file and the record of the run."""
    cases = [
        (Compression("zstd"), arrays.smooth(SHAPE), "zstd", "asked for"),
        (Compression("wavelet", 1e-3), arrays.broken(SHAPE), "zstd", "values that are not finite"),
        (Compression("wavelet", 1e-3), arrays.smooth((3, 3)), "zstd", "no axis has 8 values"),
        (
            Compression("wavelet", 1e-14),
            1 + arrays.noise(SHAPE),
            "zstd",
            "the bound is near the rounding of the values",
        ),
        (Compression("dictionary"), arrays.noise((300, 300)), "zstd", "more than 65536 different values"),
        (Compression("auto", 1e-3), arrays.smooth(SHAPE), "wavelet", "smooth"),
    ]
    tally = Tally()
    for compression, values, codec, reason in cases:
        packed = compression.encode(values)
        # Where nothing can be gained, the plain bytes are kept.
        assert packed.codec in (codec, "none") and packed.reason == reason
        tally.add(values.nbytes, packed)
    record = tally.record()
    assert sum(record["codecs"].values()) == sum(record["reasons"].values()) == len(cases)
    assert 0.0 < record["max_error"] <= 1e-3 and Tally.of(record) == tally


def test_every_codec_is_in_the_documentation():
    page = (Path(__file__).parents[4] / "docs" / "compression.md").read_text().split("## Codecs")[1].split("\n## ")[0]
    rows = {word for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)}
    assert set(CODECS) <= rows


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numcodecs", "pywt", "hdf5plugin"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Absent())
import numpy as np
from hpcsim.cli.list import describe
from hpcsim.errors import ConfigError, DiskError
from hpcsim.output.compress import CODECS
from hpcsim.output.compress.codec import decode, default_lossless, get_codec
from hpcsim.output.compress.options import Compression, compression_faults
assert default_lossless().name == "deflate"
x = np.linspace(0.0, 1.0, 4000)
for name in ("none", "deflate", "sparse", "dictionary"):
    assert np.array_equal(decode(get_codec(name).encode(x), x.dtype, x.shape), x)
packed = Compression("auto", 1e-3).encode(x)
assert (packed.codec, packed.reason) == ("deflate", "PyWavelets is not installed")
wanted = {"zstd": "numcodecs", "blosc": "numcodecs", "wavelet": "PyWavelets", "zfp": "hdf5plugin", "sz3": "hdf5plugin"}
for name, package in wanted.items():
    try:
        get_codec(name)
    except ConfigError as error:
        assert f"pip install {package}" in str(error), error
    else:
        raise AssertionError(name)
    assert "not installed" in describe(CODECS)[name]
    assert [f"pip install {package}" in text for _, text in compression_faults("packed", name, 1e-3)] == [True]
try:
    decode(bytes.fromhex(sys.argv[1]), "f8", (500,))
except DiskError as error:
    assert "pip install numcodecs" in str(error)
else:
    raise AssertionError
try:
    decode(bytes.fromhex(sys.argv[2]), "f8", (500,))
except DiskError as error:
    assert "numcodecs" in str(error)
else:
    raise AssertionError
"""


def test_without_the_libraries():
    """The package works without them; a codec that needs one says what to install."""
    values = arrays.labels((500,))
    streams = [Compression(name).encode(values).data.hex() for name in ("zstd", "dictionary")]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *streams], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
