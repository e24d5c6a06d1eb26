"""Random numbers keyed by (seed, stream, site, step) and the normal quantile (rungs PEM, HASH)."""

from __future__ import annotations

import hashlib
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import special, stats

from hpcsim.fields.quantile import logarithm, normal_quantile
from hpcsim.fields.random import normal, philox, stream_id, uniform

# Random123, kat_vectors, philox4x32 with 10 rounds: counter, key, result
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
COUNT = 200_000
SITES = np.arange(COUNT, dtype=np.uint64)

# from a scalar Philox on Python integers
PINNED_UNIFORM = [0.14267145269633408, 0.773565476605322]
PINNED_NORMAL = "c6cf025f972511e4"


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    """The published vectors of Random123."""
    words = tuple(np.array([int(word, 16)], np.uint64) for word in counter.split())
    found = philox(words, tuple(int(word, 16) for word in key.split()))
    assert " ".join(f"{int(word[0]):08x}" for word in found) == expected


@pytest.mark.parametrize("draw", [uniform, normal])
def test_same_numbers_for_every_split_of_sites(draw) -> None:
    """PEM: the number of a site does not depend on which sites are drawn with it, their order or shape."""
    whole = draw(7, 3, SITES, 11)
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = rng.integers(0, COUNT, rng.integers(1, 30_000)).astype(np.uint64)
        np.testing.assert_array_equal(draw(7, 3, chosen, 11), whole[chosen])
    cube = SITES[:24000].reshape(20, 30, 40)[1:-1, 2:-2, 3:-3]
    np.testing.assert_array_equal(draw(7, 3, cube, 11), whole[cube])
    assert draw(7, 3, SITES[:0], 11).shape == (0,)


def test_bits_are_pinned() -> None:
    """HASH: the numbers are a fixed function, so a run of today is a run of any later version."""
    assert uniform(1, 2, SITES[:2], 3).tolist() == PINNED_UNIFORM
    digest = hashlib.sha256(normal(2**64 - 1, 2**32 - 1, SITES[:5000] << np.uint64(40), 2**32 - 1).tobytes())
    assert digest.hexdigest()[:16] == PINNED_NORMAL


def test_every_part_of_the_key_matters() -> None:
    """Seed, stream, step and all 64 bits of site and seed enter: no two settings share a number."""
    base = {"seed": 5, "stream": 6, "step": 8}
    sites = np.concatenate([[0], 1 << np.arange(64, dtype=np.uint64)]).astype(np.uint64)
    drawn = [uniform(sites=sites, **base)]
    for name, bits in (("seed", 64), ("stream", 32), ("step", 32)):
        drawn += [uniform(sites=sites, **{**base, name: base[name] ^ (1 << bit)}) for bit in range(bits)]
    values = np.concatenate(drawn)
    assert np.unique(values).size == values.size


def test_out_of_range_is_refused() -> None:
    """Values that would alias another key are errors with the allowed range."""
    for name, bits in (("seed", 64), ("stream", 32), ("step", 32)):
        for value in (-1, 1 << bits):
            arguments = {"seed": 0, "stream": 0, "step": 0, name: value}
            with pytest.raises(ValueError, match=rf"{name} = {value} is outside .* 2\*\*{bits}"):
                uniform(sites=SITES[:1], **arguments)
    with pytest.raises(TypeError, match="int64"):
        uniform(0, 0, np.arange(3), 0)


def test_stream_id_does_not_depend_on_the_process() -> None:
    """HASH: the stream of a name is the same under any PYTHONHASHSEED, and differs over names and components."""
    code = "from hpcsim.fields.random import stream_id; print(stream_id('u', 1))"
    for seed in ("0", "23"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        assert int(shown.stdout) == stream_id("u", 1)
    streams = {stream_id(name, c) for name, c in itertools.product(["u", "v", "u[0]", "noise"], range(4))}
    assert len(streams) == 16 and max(streams) < 2**32


def z_scores(values: np.ndarray, moments: dict[int, tuple[float, float]]) -> list[float]:
    """Deviation of sample moments in standard errors; moments: power -> (mean, variance) of that power."""
    root = math.sqrt(values.size)
    return [(np.mean(values**k) - mean) / math.sqrt(variance) * root for k, (mean, variance) in moments.items()]


@pytest.mark.parametrize("seed", [0, 1, 123456789012345])
def test_statistics(seed: int) -> None:
    """Moments, distribution, neighbours in site, step, stream and seed: all within z = 5."""
    u, x = uniform(seed, 1, SITES, 0), normal(seed, 1, SITES, 0)
    assert max(map(abs, z_scores(u - 0.5, {1: (0, 1 / 12), 2: (1 / 12, 1 / 180), 3: (0, 1 / 448)}))) < 5
    assert max(map(abs, z_scores(x, {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}))) < 5
    assert stats.kstest(u, "uniform").pvalue > 1e-6 and stats.kstest(x, "norm").pvalue > 1e-6
    others = [x[1:], x[64:], normal(seed, 1, SITES, 1), normal(seed, 2, SITES, 0), normal(seed + 1, 1, SITES, 0)]
    for other in others:
        products = x[: other.size] * other
        assert abs(products.mean()) * math.sqrt(products.size) < 5
    bits = (u * 2.0**32).astype(np.uint64)[:, None] >> np.arange(32, dtype=np.uint64) & np.uint64(1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() * 2 * math.sqrt(COUNT) < 5


def test_uniform_stays_inside() -> None:
    """The ends 0 and 1 cannot come out: all 52 random bits 0 or 1 give 2**-53 and 1 - 2**-53."""
    u = uniform(0, 0, SITES, 0)
    assert 0 < u.min() < 1e-4 and 1 - 1e-4 < u.max() < 1
    scaled = u * 2.0**53
    assert np.all(scaled % 2 == 1)


def test_quantile_reference_values() -> None:
    """Values to 20 digits from tables; 1e-20 is the check value published with the algorithm."""
    p = np.array([0.975, 0.001, 0.25, 1e-20, 0.5, 0.999])
    expected = [
        1.95996398454005423552, -3.09023230616781354154, -0.67448975019608174320, -9.26234008979840757957, 0.0,
        3.09023230616781354154,
    ]  # fmt: skip
    np.testing.assert_allclose(normal_quantile(p), expected, rtol=1e-15, atol=0)


def test_quantile_and_logarithm_accuracy() -> None:
    """Relative error about 1e-15 against scipy over all probabilities that can be drawn, and odd symmetry."""
    rng = np.random.default_rng(4)
    p = np.concatenate([rng.random(100_000), 2.0 ** -rng.uniform(1, 53, 100_000), [2.0**-53, 0.075, 0.925]])
    x = normal_quantile(p)
    np.testing.assert_allclose(x, special.ndtri(p), rtol=3e-15, atol=2e-16)
    exact_complement = p[p >= 2.0**-1]
    np.testing.assert_array_equal(normal_quantile(1 - exact_complement), -normal_quantile(exact_complement))
    np.testing.assert_allclose(logarithm(p), np.log(p), rtol=3e-16, atol=0)


def test_no_platform_logarithm() -> None:
    """The generator calls no elementary function of NumPy but sqrt: only that and arithmetic are fixed by IEEE 754."""
    import inspect
    import re

    from hpcsim.fields import quantile, random

    used = set(re.findall(r"np\.(\w+)\(", inspect.getsource(quantile) + inspect.getsource(random)))
    assert used & {"log", "exp", "cos", "sin", "power", "log1p"} == set() and "sqrt" in used
