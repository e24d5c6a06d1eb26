"""KG-23: the step size limit of leapfrog, from both sides."""

from __future__ import annotations

import math

import pytest

from hpcsim.api import Lattice, Model
from hpcsim.errors import ConfigError
from tests.convergence.support import klein_gordon, noise, put_at_rest, total

LIMITS = [
    *((0.0, ndim, value) for ndim, value in enumerate((1.0, 0.70711, 0.57735, 0.5), 1)),
    *((0.5, ndim, value) for ndim, value in enumerate((0.970143, 0.696311, 0.571429, 0.496139), 1)),
]


@pytest.mark.parametrize(("chi", "ndim", "printed"), LIMITS)
def test_kg_23_edge_of_stability(start, chi, ndim, printed):
    shape, limit = [8, 6, 4, 4][:ndim], 2 / math.sqrt(4 * ndim + chi**2)
    assert abs(limit - printed) <= 5e-6

    def waves(factor, **run):
        made = klein_gordon(start, shape, 1.0, parameters={"chi": chi}, dt=factor * limit, **run)
        assert math.isclose(made.limit, limit, rel_tol=1e-10)
        put_at_rest(made, noise(ndim))
        return made, total(made, "E", power=2)

    # From rest every mode is a cosine as long as it is stable, so the norm never exceeds its first value.
    stable, norm = waves(0.999)
    for _ in range(20):
        stable.run(steps=100)
        assert total(stable, "E", power=2) <= norm * (1 + 1e-10)
    with pytest.raises(ConfigError, match="above the linear stability limit") as refused:
        waves(1.001)
    assert "run.allow_unstable" in str(refused.value)
    unstable, norm = waves(1.001, allow_unstable=True)
    unstable.run(steps=300)
    # The roughest mode has sin(omega dt/2) = 1.001, so it grows by exp(2 acosh(1.001)) per step.
    growth = 2 * 300 * math.acosh(1.001)
    assert math.log(total(unstable, "E", power=2) / norm) / 2 >= growth - 6


def test_kg_23_the_limit_follows_the_largest_mass(start):
    """A mass of space counts with its maximum over all sites, wherever it is."""
    waves = klein_gordon(start, [40], 0.5, parameters={"chi": "0.3 + 2*exp(-((x - 13.25)/0.7)**2)"})
    assert math.isclose(waves.limit, 2 / math.sqrt(4 / 0.25 + 2.3**2), rel_tol=1e-10)
    assert math.isclose(waves.dt, 0.9 * waves.limit, rel_tol=1e-15)


@pytest.mark.parametrize("integrator", ["euler", "exponential_euler"])
def test_schemes_that_blow_up_at_every_step_are_refused(start, integrator):
    """Centred advection has imaginary eigenvalues, outside of the stability region of forward Euler."""
    with pytest.raises(ConfigError, match="unstable for these equations at every step size"):
        start(Lattice([16]), Model(name="advection", parameters={"velocity": [1.0]}), integrator=integrator)
