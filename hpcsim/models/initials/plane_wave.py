"""A plane wave."""

from __future__ import annotations

from hpcsim.models.initial import InitialCondition
from hpcsim.models.initials.expression import Sampled
from hpcsim.models.initials.table import TableReader, initial_kind
from hpcsim.models.initials.wave import phase_expression, read_frequency, read_wave_vector
from hpcsim.symbolic.expr import Num, call, mul


@initial_kind("mode", "wave_vector", "amplitude", "phase", "frequency")
def plane_wave(reader: TableReader) -> InitialCondition:
    """Plane wave: amplitude*cos(sum(k*(x - lower)) + phase), k from mode (waves in the domain) or wave_vector.

    In a second-order equation the wave travels along k: its rate is amplitude*frequency*sin(...), with the frequency
    sqrt(c**2 k**2 + chi**2) of the continuous equation unless one is given.
    """
    wave_vector = read_wave_vector(reader)
    phase = phase_expression(reader, wave_vector)
    amplitude = Num(reader.number("amplitude", 1.0))
    frequency = read_frequency(reader, wave_vector)
    rates = () if frequency is None else (mul(amplitude, Num(frequency), call("sin", phase)),)
    return Sampled(reader.where, (mul(amplitude, call("cos", phase)),), rates)
