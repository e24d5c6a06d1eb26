"""The carrier of plane waves and packets: wave vector, phase and frequency."""

from __future__ import annotations

import math

from hpcsim.models.initials.table import TableReader
from hpcsim.models.parameters import finite_number
from hpcsim.symbolic.expr import Coordinate, Expr, Num, add, mul

_NO_RATE = "the equation of this field is of first order in time; it has no rate to set"


def read_wave_vector(reader: TableReader) -> list[float]:
    """Wave vector from ``mode`` (waves that fit into the domain) or ``wave_vector`` (radians per length)."""
    domain = reader.setting.domain
    if "wave_vector" in reader and "mode" in reader:
        reader.fault("wave_vector", "mode is given as well; keep one of the two")
    if "wave_vector" in reader:
        return reader.vector("wave_vector")
    lengths = [b - a for a, b in zip(domain.lower, domain.upper, strict=True)]
    return [2.0 * math.pi * m / length for m, length in zip(reader.vector("mode"), lengths, strict=True)]


def phase_expression(reader: TableReader, wave_vector: list[float]) -> Expr:
    """``sum(k*(x - lower)) + phase``."""
    lower = reader.setting.domain.lower
    terms = [
        mul(Num(k), add(Coordinate(axis, 0, 0), Num(-low)))
        for axis, (k, low) in enumerate(zip(wave_vector, lower, strict=True))
        if k != 0.0
    ]
    return add(*terms, Num(reader.number("phase", 0.0)))


def read_frequency(reader: TableReader, wave_vector: list[float]) -> float | None:
    """Frequency of the wave: as given, else sqrt(c**2 k**2 + chi**2); None for a field without a rate.

    On a lattice in time the frequency that starts leapfrog on one discrete wave is sin(omega*dt)/dt.
    """
    if not reader.setting.second_order:
        if "frequency" in reader:
            reader.fault("frequency", _NO_RATE)
        return None
    if "frequency" in reader:
        return reader.number("frequency")
    c, chi = (finite_number(reader.setting.parameters.get(name)) for name in ("c", "chi"))
    if c is None or chi is None:
        text = "this key is needed because c and chi are not both numbers; 0 starts the wave at rest"
        reader.fault("frequency", text)
        return None
    return math.sqrt(c * c * sum(k * k for k in wave_vector) + chi * chi)


def read_group_velocity(reader: TableReader, wave_vector: list[float], frequency: float | None) -> list[float]:
    """Velocity of the envelope: as given, else c**2 k/omega; zero for a field without a rate or at rest."""
    if frequency is None:
        if "group_velocity" in reader and not reader.setting.second_order:
            reader.fault("group_velocity", _NO_RATE)
        return [0.0] * len(wave_vector)
    if "group_velocity" in reader:
        return reader.vector("group_velocity")
    if frequency == 0.0:
        return [0.0] * len(wave_vector)
    c = finite_number(reader.setting.parameters.get("c"))
    if c is None:
        reader.fault("group_velocity", "this key is needed because the wave speed c is not a number")
        return [0.0] * len(wave_vector)
    return [c * c * k / frequency for k in wave_vector]
