"""Random values keyed by seed, field and site."""

from __future__ import annotations

from hpcsim.fields.random import normal, stream_id, uniform
from hpcsim.fields.sites import site_numbers
from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.models.initial import InitialCondition
from hpcsim.models.initials.table import TableReader, initial_kind
from hpcsim.models.sampling import Values

DISTRIBUTIONS = ("uniform", "normal")


class Random(InitialCondition):
    """Independent numbers at every site and component.

    Parameters
    ----------
    where : str
        Path of the key.
    field : str
        Name that keys the sequence.
    seed : int
        Seed of the run.
    distribution : {"uniform", "normal"}
        Law of the numbers.
    mean, amplitude : float
        Mean; half width of the uniform law, standard deviation of the normal one.
    """

    def __init__(self, where: str, field: str, seed: int, distribution: str, mean: float, amplitude: float) -> None:
        super().__init__(where)
        self._field, self._seed = field, seed
        self._distribution, self._mean, self._amplitude = distribution, mean, amplitude

    def _values(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        sites = site_numbers(domain, location, box)
        stream = stream_id(f"initial {self._field}", component)
        if self._distribution == "uniform":
            drawn = 2.0 * uniform(self._seed, stream, sites, 0) - 1.0
        else:
            drawn = normal(self._seed, stream, sites, 0)
        return self._mean + self._amplitude * drawn


@initial_kind("distribution", "amplitude", "mean", "seed")
def random(reader: TableReader) -> InitialCondition:
    """Random numbers keyed by seed, field and site: the same for every number of ranks and blocks."""
    law = reader.text("distribution", "uniform", DISTRIBUTIONS)
    mean, amplitude = reader.number("mean", 0.0), reader.number("amplitude", 1.0)
    if amplitude < 0.0:
        reader.fault("amplitude", f"{amplitude:g} given; a number >= 0 is needed")
    seed = reader.get("seed") if "seed" in reader else reader.setting.seed
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        reader.fault("seed", f"{seed!r} given; a whole number from 0 to 2**64 - 1 is needed")
        seed = 0
    return Random(reader.where, reader.setting.field, seed, law, mean, amplitude)
