"""Domains, locations and boxes; refusals of F-31."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpcsim.errors import ConfigError, LayoutError
from hpcsim.lattice.box import grow, intersect, shift, volume
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import component_locations, owned_extent


def test_spacing_and_coordinates():
    domain = Domain([65, 10], [0, -1], [1, 1], [False, True])
    assert domain.shape == (65, 10)
    assert domain.ndim == 2
    assert domain.spacing == (1 / 65, 2 / 10)
    assert domain.cell_volume == (1 / 65) * (2 / 10)
    index = np.arange(-2, 68)
    for staggered in (False, True):
        positions = domain.coordinate(0, index, staggered)
        assert positions.tolist() == [domain.coordinate(0, int(i), staggered) for i in index]
        assert positions.tolist() == [0.0 + (int(i) + (0 if staggered else 0.5)) * (1 / 65) for i in index]
    assert domain.coordinate(1, 0, True) == -1.0


@pytest.mark.parametrize(
    ("arguments", "where", "words"),
    [
        (((0,), (0,), (1,), (True,)), "lattice.shape[0]", "0 is outside"),
        (((-4,), (0,), (1,), (True,)), "lattice.shape[0]", "-4 is outside"),
        (((2**63,), (0,), (1,), (True,)), "lattice.shape[0]", "9223372036854775808 is outside"),
        (((10**400,), (0,), (1,), (True,)), "lattice.shape[0]", "bits"),
        (((2**40, 2**40), (0, 0), (1, 1), (True, True)), "lattice.shape", "at most 2**62"),
        (((float("nan"),), (0,), (1,), (True,)), "lattice.shape[0]", "nan is not a whole number"),
        (((1e400,), (0,), (1,), (True,)), "lattice.shape[0]", "inf is not a whole number"),
        (((8.0,), (0,), (1,), (True,)), "lattice.shape[0]", "8.0 is not a whole number"),
        ((("8",), (0,), (1,), (True,)), "lattice.shape[0]", "'8' is not a whole number"),
        (((True,), (0,), (1,), (True,)), "lattice.shape[0]", "True is not a whole number"),
        ((8, (0,), (1,), (True,)), "lattice.shape", "8 is not a list"),
        (((), (), (), ()), "lattice.shape", "0 axes given; allowed: 1 to 4"),
        (((2,) * 5, (0,) * 5, (1,) * 5, (True,) * 5), "lattice.shape", "5 axes given"),
        (((8, 8), (0,), (1, 1), (True, True)), "lattice.lower", "1 entries for 2 axes"),
        (((8,), (0,), (1,), (True, False)), "lattice.periodic", "2 entries for 1 axes"),
        (((8,), (1,), (1,), (True,)), "lattice.upper", "axis x runs from 1.0 to 1.0"),
        (((8,), (0,), (float("inf"),), (True,)), "lattice.upper", "finite"),
        (((8,), (float("nan"),), (1,), (True,)), "lattice.upper", "finite"),
        (((8,), (-1.7e308,), (1.7e308,), (True,)), "lattice.upper", "finite"),
        (((8,), ("a",), (1,), (True,)), "lattice.lower", "one number per axis"),
        (((8,), (10**400,), (1,), (True,)), "lattice.lower", "one number per axis"),
        (((8,), 0.0, (1,), (True,)), "lattice.lower", "0.0 is not a list"),
    ],
)
def test_f31_domains_that_cannot_be(arguments, where, words):
    with pytest.raises(LayoutError) as caught:
        Domain(*arguments)
    assert [problem.where for problem in caught.value.problems] == [where]
    assert words in str(caught.value)


def test_all_faults_at_once():
    with pytest.raises(LayoutError) as caught:
        Domain((0, -1), (0, 0), (1, 1), (True, True))
    assert [problem.where for problem in caught.value.problems] == ["lattice.shape[0]", "lattice.shape[1]"]


def test_component_locations():
    assert component_locations("cell", 3, 2) == ((0, 0, 0), (0, 0, 0))
    assert component_locations("vertex", 2, 1) == ((1, 1),)
    assert component_locations("face", 3, 3) == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert component_locations("edge", 2, 2) == ((0, 1), (1, 0))
    with pytest.raises(ConfigError, match="did you mean 'vertex'"):
        component_locations("vertx", 2, 1)
    with pytest.raises(ConfigError, match="one component per axis: 3, not 1"):
        component_locations("face", 3, 1)
    with pytest.raises(ConfigError, match="at least 1 component, not 0"):
        component_locations("cell", 3, 0)


def test_owned_extent_counts_the_last_plane_of_a_bounded_axis():
    for periodic, location in itertools.product(itertools.product([False, True], repeat=2), [(0, 0), (1, 0), (1, 1)]):
        domain = Domain((4, 6), (0, 0), (1, 1), periodic)
        assert owned_extent(domain, location) == tuple(
            n + int(s == 1 and not p) for n, s, p in zip((4, 6), location, periodic, strict=True)
        )


def test_boxes():
    rng = np.random.default_rng(3)
    for _ in range(50):
        boxes = []
        for _ in range(2):
            lo = rng.integers(-3, 6, 3)
            boxes.append((tuple(lo.tolist()), tuple((lo + rng.integers(0, 6, 3)).tolist())))
        sites = [set(itertools.product(*map(range, *box))) for box in boxes]
        assert volume(boxes[0]) == len(sites[0])
        assert volume(intersect(*boxes)) == len(sites[0] & sites[1])
        assert volume(shift(boxes[0], (1, -2, 3))) == len(sites[0])
    assert grow(((0,), (4,)), 2) == ((-2,), (6,))
