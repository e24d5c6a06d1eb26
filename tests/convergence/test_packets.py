"""Wave packets: adiabatic amplitudes, delay in a slab, bending, tunnelling, and the light-cone solution of a pulse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from tests.convergence.support import (
    assert_order,
    klein_gordon,
    leapfrog_frequency,
    put_levels,
    second_symbol,
    stiffness,
    total,
    value_at,
)


def peak_amplitude(simulation, omega):
    """Largest local amplitude of a wave of one frequency, from two time levels."""
    theta = omega * simulation.dt
    found = 0.0
    state = simulation.state
    for block in simulation.setting.storage.blocks:
        a, b = state.interior("E", block), state.interior("E@prev", block)
        square = (a * a + b * b - 2 * math.cos(theta) * a * b) / math.sin(theta) ** 2
        found = max(found, float(square.max()))
    return math.sqrt(float(simulation.context.max(found)))


def right_moving(x, t, k, omega, centre, width):
    """Packet that moves with the group velocity k/omega of the free wave."""
    y = x - centre - k / omega * t
    return np.exp(-((y / width) ** 2) / 2) * np.cos(k * (x - centre) - omega * t)


def rays(order, dx, dt, k, x, chi, begin, time):
    """Where waves of the lattice are that leave a place with wave number k in a slowly varying mass.

    The frequency of a ray stays, its local wave number follows from the dispersion relation of the step, and the group
    velocity is the derivative of the frequency by the wave number.
    """
    theta = np.linspace(0.0, 2.0, 8001)
    symbol = np.array([second_symbol(order, float(t)) for t in theta]) / dx**2
    first = float(np.interp(begin, x, chi))
    omega = leapfrog_frequency(stiffness(order, [k], dx, first), dt)
    local = np.interp(4 / dt**2 * math.sin(omega * dt / 2) ** 2 - chi**2, symbol, theta)
    speed = np.interp(local, theta, np.gradient(symbol, theta)) * dx * dt / (2 * math.sin(omega * dt))
    passed = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(x) * (1 / speed[1:] + 1 / speed[:-1]))])
    return float(np.interp(time + np.interp(begin, x, passed), passed, x))


def test_kg_08_adiabatic_amplitude(start):
    """Amplitude**2 times group velocity stays while the mass rises slowly and the frequency is kept.

    The centre is also where the rays of the lattice lead, averaged over the spectrum of the packet.
    """
    omega, low, high, dx = 1.2, 0.4, 0.9, 0.25
    rise = f"0.5*{high - low!r}*(1 + tanh((x - 1700)/160))"
    chi = f"{low!r} + {rise}"
    x = np.linspace(0, 3600, 36_001)
    profile = low + 0.5 * (high - low) * (1 + np.tanh((x - 1700) / 160))
    wave = np.sqrt(omega**2 - profile**2)
    assert np.max(np.gradient(profile, x) / (wave * profile)) < 0.01
    k = math.sqrt(omega**2 - low**2)
    packet = klein_gordon(start, [14_400], dx, order=4, parameters={"chi": chi}, dt=0.2)
    put_levels(packet, lambda x, t: right_moving(x, t, k, omega, 700.0, 160.0))
    before, norm = peak_amplitude(packet, omega) ** 2 * k / omega, total(packet, "E", power=2)
    packet.run(until=quad(lambda s: omega / float(np.interp(s, x, wave)), 700, 2700, limit=400)[0])
    end = math.sqrt(omega**2 - high**2)
    assert end < 0.72 * k
    centre = total(packet, "E", lambda x: x, 2) / total(packet, "E", power=2)
    assert abs(centre / 2700 - 1) <= 0.01
    nodes, weights = np.polynomial.hermite.hermgauss(9)
    ends = [rays(4, dx, packet.dt, k + node / 160, x, profile, 700.0, packet.time) for node in nodes]
    assert abs(centre - np.dot(weights, ends) / np.sum(weights)) <= 0.2
    # The current k*E**2*length stays, and the length goes as the group velocity.
    assert abs(total(packet, "E", power=2) / norm - 1) <= 0.01
    assert abs(peak_amplitude(packet, omega) ** 2 * end / omega / before - 1) <= 0.01


def slab_on_lattice(mass, dx, dt, time):
    """How much later the packet of `delay_in_slab` is on the lattice, and which part of its square comes through.

    The exact waves of the step at every frequency: from an outgoing wave behind the slab back to the incoming one.
    """
    k = np.linspace(0.92, 1.08, 2001)
    omega = 2 / dt * np.arcsin(dt / dx * np.sin(k * dx / 2))
    x = 420 + dx * (np.arange(round(160 / dx)) + 0.5)
    square = 4 * np.sin(k * dx / 2) ** 2
    behind, here = np.exp(1j * k * (x[-1] + dx)), np.exp(1j * k * x[-1])
    for local in mass(x[::-1]):
        behind, here = here, (2 + (local * dx) ** 2 - square) * here - behind
    # Now `behind` is at x[0] and `here` one site before it; a wave and its echo fit both.
    come = (behind * np.exp(-1j * k * (x[0] - dx)) - here * np.exp(-1j * k * x[0])) / (2j * np.sin(k * dx))
    passed = 1 / come
    free = np.exp(-((60 * (k - 1)) ** 2))
    power = free * np.abs(passed) ** 2
    centre = np.gradient(omega, k) * time
    late = np.average(centre, weights=free) - np.average(
        centre - np.gradient(np.unwrap(np.angle(passed)), k), weights=power
    )
    return float(late), float(np.sum(power) / np.sum(free))


def delay_in_slab(start, slab, mass):
    """How much later a packet of frequency 1 and width 60 is behind a slab around x = 500 than without it.

    The slab is given as a formula for the run and as a function for the theory of the lattice, which is met closely.
    """
    found, squares = [], []
    for chi in ("0", slab):
        packet = klein_gordon(start, [10_000], 0.1, parameters={"chi": chi}, dt=0.09)
        put_levels(packet, lambda x, t: right_moving(x, t, 1.0, 1.0, 250.0, 60.0))
        packet.run(until=550.0)
        moments = [total(packet, "E", lambda x, p=p: np.where(x > 540, x**p, 0.0), 2) for p in (0, 1)]
        found.append(moments[1] / moments[0])
        squares.append(moments[0])
    late, passed = slab_on_lattice(mass, 0.1, packet.dt, packet.time)
    assert abs((found[0] - found[1]) / late - 1) <= 5e-4
    assert abs(squares[1] / squares[0] / passed - 1) <= 1e-4
    return found[0] - found[1]


def test_kg_12_delay_in_a_slab(start):
    """The packet comes out late by length*(omega/k_slab - omega/k_outside); tapered ends throw nothing back."""
    chi, length, taper = 0.6, 40.0, 4.0
    assert math.isclose(length * (1 / math.sqrt(1 - chi**2) - 1), 10.0, rel_tol=1e-12)

    def bulk(half):
        def late(x):
            local = 0.5 * chi * (math.tanh((x + half) / taper) - math.tanh((x - half) / taper))
            return 1 / math.sqrt(1 - local**2) - 1

        return 2 * quad(late, 0, 80, limit=200)[0]

    half = brentq(lambda h: bulk(h) - 10.0, 15, 30)
    ends = [f"tanh((x - 500 + {sign * half!r})/{taper})" for sign in (1, -1)]

    def mass(x):
        return 0.5 * chi * (np.tanh((x - 500 + half) / taper) - np.tanh((x - 500 - half) / taper))

    assert abs(delay_in_slab(start, f"0.5*{chi}*({ends[0]} - {ends[1]})", mass) - 10.0) <= 0.1


def test_kg_12_slab_with_sharp_ends(start):
    """Echoes between the ends change the delay: derivative of the phase of the transmission, over the spectrum."""
    chi, length = 0.6, 40.0
    omega = np.linspace(0.9, 1.1, 20_001)
    inside = np.sqrt(omega**2 - chi**2)
    passed = 1 / (np.cos(inside * length) - 0.5j * (inside / omega + omega / inside) * np.sin(inside * length))
    late = np.gradient(np.unwrap(np.angle(passed)), omega) - length
    power = np.exp(-((60 * (omega - 1)) ** 2)) * np.abs(passed) ** 2
    expected = float(np.sum(power * late) / np.sum(power))
    assert 10.1 < expected < 10.5
    slab = f"where(abs(x - 500) < {length / 2}, {chi}, 0)"
    found = delay_in_slab(start, slab, lambda x: np.where(np.abs(x - 500) < length / 2, chi, 0.0))
    assert abs(found / expected - 1) <= 0.01


def test_kg_13_bending(start):
    """In chi**2 = a + g*y the centre of a packet is accelerated by -g/(2 omega**2), and goes on along x as before."""
    a, g, k, dx, width = 0.36, 0.002, 0.8, 0.8, 24.0
    omega = math.sqrt(k**2 + a)
    chi = f"sqrt({a} + {g}*y)"
    packet = klein_gordon(
        start,
        [340, 270],
        dx,
        lower=[-76.0, -120.4],
        order=4,
        boundary={"x": "periodic", "y": "neumann"},
        parameters={"chi": chi},
        dt=0.1,
    )

    def level(x, y, t):
        local = np.sqrt(k**2 + a + g * y)
        envelope = np.exp(-(((x - k / omega * t) / width) ** 2 + (y / width) ** 2) / 2)
        return envelope * np.cos(k * x - local * t)

    put_levels(packet, level)
    times, heights, ways = [], [], []
    for _ in range(8):
        packet.run(steps=180)
        norm = total(packet, "E", power=2)
        heights.append(total(packet, "E", lambda x, y: y, 2) / norm)
        ways.append(total(packet, "E", lambda x, y: x, 2) / norm)
        times.append(packet.time)
    fitted = np.polynomial.Polynomial.fit(times, heights, 2).convert().coef
    assert abs(2 * fitted[2] / (-g / (2 * omega**2)) - 1) <= 0.01
    around = [leapfrog_frequency(stiffness(4, [k + q], dx, math.sqrt(a)), packet.dt) for q in (-1e-4, 1e-4)]
    speed = float(np.polynomial.Polynomial.fit(times, ways, 1).convert().coef[1])
    assert abs(speed / ((around[1] - around[0]) / 2e-4) - 1) <= 1e-3


def tunnelling(omega, length, chi=3.5):
    """Power that a wave takes through a wall of mass chi > omega between massless halves."""
    kappa = np.sqrt(chi**2 - omega**2)
    return 1 / (1 + (chi**2 * np.sinh(kappa * length) / (2 * omega * kappa)) ** 2)


def transmitted(start, length, dx):
    """Fraction of the power of a packet of frequency 2.5 that is behind a wall of mass 3.5, and the expected one."""
    width, cells = 16.0, round(340 / dx)
    chi = f"where(abs(x) < {length / 2!r}, 3.5, 0)"
    packet = klein_gordon(
        start, [cells], dx, lower=[-190.0], boundary="dirichlet", parameters={"chi": chi}, dt=0.8 * dx
    )
    put_levels(packet, lambda x, t: right_moving(x, t, 2.5, 2.5, -95.0, width))
    sent = total(packet, "E", power=2)
    packet.run(until=185.0)
    omega = np.linspace(2.1, 2.9, 2001)
    power = np.exp(-((width * (omega - 2.5)) ** 2))
    expected = float(np.sum(power * tunnelling(omega, length)) / np.sum(power))
    return total(packet, "E", lambda x: x > 0.5 * length + 1.0, 2) / sent, expected


@pytest.mark.parametrize(("length", "printed"), [(0.25, 0.702020724), (1.0, 0.029365271)])
def test_kg_20_barrier(start, length, printed):
    assert math.isclose(tunnelling(2.5, length), printed, rel_tol=1e-7)
    found, expected = transmitted(start, length, 0.025)
    assert abs(found / printed - 1) <= 0.02
    assert abs(found / expected - 1) <= 2e-3


def test_kg_20_thick_barrier_lets_nothing_through(start):
    """Far below anything that passes elsewhere, and still the theory's value: there is no floor above 1e-11."""
    assert math.isclose(tunnelling(2.5, 5.12), 5.11e-11, rel_tol=1e-3)
    found, expected = transmitted(start, 5.12, 0.02)
    assert found <= 1e-10
    assert abs(found / expected - 1) <= 0.05


@pytest.mark.parametrize("order", [2, 4])
def test_kg_06_spherical_pulse(start, order):
    """Value at the origin (1 - t**2/s**2)*exp(-t**2/(2 s**2)) of a Gaussian that starts at rest."""
    s = 4.0
    errors: dict[float, list[float]] = {2.0: [], 4.0: []}
    spacings = [2.0, 1.0, 0.5]
    for dx in spacings:
        n = round(32 / dx)
        pulse = klein_gordon(
            start,
            [n] * 3,
            dx,
            order=order,
            lower=[-16 - dx / 2] * 3,
            initial={"E": "exp(-(x**2 + y**2 + z**2)/32)"},
            integrator="leapfrog" if order == 2 else "rk4",
            dt=0.5 * dx,
        )
        for t, printed in ((2.0, 0.661872677), (4.0, 0.0)):
            exact = (1 - t**2 / s**2) * math.exp(-(t**2) / (2 * s**2))
            assert abs(exact - printed) <= 1e-9
            pulse.run(until=t)
            errors[t].append(abs(value_at(pulse, "E", 0.0, 0.0, 0.0) - exact))
    for found in errors.values():
        assert_order(spacings, found, order)
