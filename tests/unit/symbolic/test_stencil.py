"""A stencil knows its reads, width, cost and stiffness."""

from __future__ import annotations

import pytest

from hpcsim.symbolic.discretize import Discretizer
from hpcsim.symbolic.evaluate import scalar_value
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse_scalar
from hpcsim.symbolic.stencil import Stencil

VALUES = {"c": 3.0, "h": 0.5}


def _stencil(text: str, ndim: int, order: int) -> Stencil:
    names = Names(ndim, fields={"u": 1, "v": 1}, symbols=frozenset("c"))
    discretizer = Discretizer(ndim, order, {"u": ((0,) * ndim,), "v": ((0,) * ndim,)}, ("h",) * ndim)
    return Stencil("u", 0, discretizer(parse_scalar(text, names), (0,) * ndim))


def _ranges(exprs):
    return [(value, value) for value in (scalar_value(expr, VALUES) for expr in exprs)]


@pytest.mark.parametrize(("order", "largest"), [(2, 4.0), (4, 16 / 3), (6, 272 / 45), (8, 2048 / 315)])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_laplacian(ndim: int, order: int, largest: float) -> None:
    """Width, reads and the symbol at the shortest wave, d times that of one axis."""
    stencil = _stencil("c**2*laplacian(u)", ndim, order)
    assert stencil.ghost_width == order // 2
    assert len(stencil.reads["u", 0]) == ndim * order + 1
    assert stencil.spectral_radius(ndim, _ranges) == pytest.approx(ndim * 9.0 * largest / 0.25, rel=1e-12)


def test_cost_counts_what_is_done_at_every_site() -> None:
    stencil = _stencil("c**2*laplacian(u) - v**2*u", 3, 2)
    # Six neighbours summed (5), one factor each for them and the centre (2), v*v (1), and three sums of terms.
    assert stencil.flops_per_site == 10
    assert (stencil.bytes_per_site(8), stencil.bytes_per_site(4)) == (24, 12)
    assert stencil.reads["v", 0] == {(0, 0, 0)}
