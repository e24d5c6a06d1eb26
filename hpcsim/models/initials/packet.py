"""A wave packet: a plane wave under a Gaussian envelope."""

from __future__ import annotations

import numpy as np

from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.models.initial import InitialCondition
from hpcsim.models.initials.gaussian import Envelope, read_envelope
from hpcsim.models.initials.table import TableReader, initial_kind
from hpcsim.models.initials.wave import phase_expression, read_frequency, read_group_velocity, read_wave_vector
from hpcsim.models.sampling import Values, sample, slabs
from hpcsim.symbolic.expr import Expr, call


class Packet(InitialCondition):
    """Envelope times carrier, moving with the group velocity where the equation is of second order.

    Parameters
    ----------
    where : str
        Path of the key.
    envelope : Envelope
        Shape.
    amplitude : float
        Height of the envelope.
    phase : Expr
        Phase of the carrier.
    frequency : float or None
        Frequency of the carrier; None for a field without a rate.
    velocity : list of float
        Velocity of the envelope.
    """

    def __init__(
        self,
        where: str,
        envelope: Envelope,
        amplitude: float,
        phase: Expr,
        frequency: float | None,
        velocity: list[float],
    ) -> None:
        super().__init__(where)
        self._envelope, self._amplitude = envelope, amplitude
        self._cosine, self._sine = call("cos", phase), call("sin", phase)
        self._frequency, self._velocity = frequency, velocity
        self.has_rate = frequency is not None

    def _values(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        out = sample(self._cosine, domain, box, location)
        lo, hi = box
        for first, last in slabs(lo, hi):
            part = out[first - lo[0] : last - lo[0]]
            part *= self._amplitude * self._envelope.slab(domain, ((first, *lo[1:]), (last, *hi[1:])), location)
        return out

    def _rate(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        lo, hi = box
        out = np.zeros(tuple(b - a for a, b in zip(lo, hi, strict=True)))
        if self._frequency is None:
            return out
        for first, last in slabs(lo, hi):
            part = ((first, *lo[1:]), (last, *hi[1:]))
            turning = self._frequency * sample(self._sine, domain, part, location)
            rate = turning * self._envelope.slab(domain, part, location)
            cosine = sample(self._cosine, domain, part, location)
            for axis, speed in enumerate(self._velocity):
                if speed != 0.0:
                    rate = rate + speed * cosine * self._envelope.slab(domain, part, location, slope=axis)
            out[first - lo[0] : last - lo[0]] = self._amplitude * rate
        return out


@initial_kind("center", "width", "mode", "wave_vector", "amplitude", "phase", "images", "frequency", "group_velocity")
def packet(reader: TableReader) -> InitialCondition:
    """Wave packet: plane_wave times gaussian, amplitude*cos(sum(k*(x - lower)) + phase)*exp(-sum(...)/2).

    In a second-order equation the carrier turns with the frequency and the envelope moves with the group velocity
    c**2 k/frequency, both of the continuous equation unless given.
    """
    envelope = read_envelope(reader)
    wave_vector = read_wave_vector(reader)
    phase = phase_expression(reader, wave_vector)
    frequency = read_frequency(reader, wave_vector)
    velocity = read_group_velocity(reader, wave_vector, frequency)
    return Packet(reader.where, envelope, reader.number("amplitude", 1.0), phase, frequency, velocity)
