"""Green's functions by name: values at a distance, at the origin, and transforms of functions cut off at a radius.

The transforms of functions that are zero beyond a radius are those of Vico, Greengard and Ferrando, "Fast convolution
with free-space Green's functions", J. Comput. Phys. 323, 2016. They have no singularity, so a trapezoidal sum over
wavenumbers converges as fast as the transform of the source decays.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.registry import Registry
from hpcsim.solvers.fft.cell_average import cell_average

Real = NDArray[np.float64]

GREENS = Registry(
    "Green's function",
    {
        "coulomb": "hpcsim.solvers.fft.greens:Coulomb",
        "logarithm": "hpcsim.solvers.fft.greens:Logarithm",
        "yukawa": "hpcsim.solvers.fft.greens:Yukawa",
        "gaussian": "hpcsim.solvers.fft.greens:Gaussian",
        "formula": "hpcsim.solvers.fft.formula:Formula",
    },
)


def make_green(name: str, ndim: int, **parameters: Any) -> Green:
    """The Green's function of that name.

    Parameters
    ----------
    name : str
        Name in `GREENS`.
    ndim : int
        Number of axes.
    parameters
        Those of the class.

    Raises
    ------
    ConfigError
        If the name or a parameter is unknown, or the function is not made for so many axes.

    Examples
    --------
    >>> float(make_green("yukawa", 3, length=2.0)(np.array([1.0]))[0]) * 4 * math.pi == math.exp(-0.5)
    True
    """
    kind = GREENS.get(name)
    known = [key for key in inspect.signature(kind).parameters if key != "ndim"]
    for key in parameters:
        if key not in known:
            raise ConfigError(f"{name}: {unknown_name('parameter', key, known)}")
    if "length" in known and "length" not in parameters:
        raise ConfigError(f"{name}: the parameter 'length' is needed")
    green: Green = kind(ndim, **parameters)
    return green


class Green(ABC):
    """A function of the distance from the source.

    Parameters
    ----------
    ndim : int
        Number of axes.

    Attributes
    ----------
    dimensions : tuple of int
        Numbers of axes it is made for.
    truncates : bool
        Whether `truncated` is there.
    even : bool
        Whether it is the same at opposite offsets along every axis.
    """

    dimensions: tuple[int, ...] = (1, 2, 3, 4)
    truncates = False
    even = True

    def __init__(self, ndim: int) -> None:
        if ndim not in self.dimensions:
            allowed = " or ".join(map(str, self.dimensions))
            raise ConfigError(f"{type(self).__name__.lower()}: {ndim} axes were given; it is made for {allowed}")
        self.ndim = ndim

    @abstractmethod
    def __call__(self, r: Real) -> Real:
        """Values at distances above zero."""

    def at_origin(self, spacing: Sequence[float]) -> float:
        """Value that stands for the origin in a sum over cells: the mean over the cell."""
        return cell_average(self, spacing)

    def truncated(self, k: Real, radius: float) -> Real:
        """Fourier transform of the function that is zero beyond a radius, at wavenumbers k >= 0.

        Raises
        ------
        ConfigError
            If there is no closed form.
        """
        name = type(self).__name__.lower()
        raise ConfigError(f"{name}: no closed form of its truncated transform is known; use mode 'padded'")

    def sample(self, offsets: Sequence[Real], spacing: Sequence[float]) -> Real:
        """Values at offsets from the source, the value at the origin for a cell of edges `spacing`.

        Parameters
        ----------
        offsets : sequence of ndarray
            One per axis; they broadcast against each other.
        spacing : sequence of float
            Edges of a cell.
        """
        r = np.sqrt(sum(offset**2 for offset in offsets))
        origin = r == 0.0
        values = self(np.where(origin, 1.0, r))
        if origin.any():
            values = np.where(origin, self.at_origin(spacing), values)
        return np.asarray(values, np.float64)


class Coulomb(Green):
    """``1/(4 pi r)``: minus its Laplacian is a point source in three dimensions."""

    dimensions = (3,)
    truncates = True

    def __call__(self, r: Real) -> Real:
        return 1.0 / (4.0 * math.pi * r)

    def truncated(self, k: Real, radius: float) -> Real:
        return 0.5 * (radius * np.sinc(k * radius / (2.0 * math.pi))) ** 2


class Logarithm(Green):
    """``-log(r)/(2 pi)``: minus its Laplacian is a point source in two dimensions."""

    dimensions = (2,)
    truncates = True

    def __call__(self, r: Real) -> Real:
        return np.log(r) / (-2.0 * math.pi)

    def truncated(self, k: Real, radius: float) -> Real:
        from scipy.special import j0, j1

        zero = k * radius < _SMALL
        safe = np.where(zero, 1.0, k)
        found = (1.0 - j0(safe * radius)) / safe**2 - radius * math.log(radius) * j1(safe * radius) / safe
        return np.where(zero, 0.25 * radius**2 - 0.5 * radius**2 * math.log(radius), found)


class Yukawa(Green):
    """``exp(-r/length)/(4 pi r)``: ``-laplacian(u) + u/length**2`` is a point source in three dimensions.

    Parameters
    ----------
    ndim : int
        Number of axes: 3.
    length : float
        Range of the function.
    """

    dimensions = (3,)
    truncates = True

    def __init__(self, ndim: int, length: float) -> None:
        super().__init__(ndim)
        self.length = positive(length, "yukawa: length")

    def __call__(self, r: Real) -> Real:
        return np.exp(-r / self.length) / (4.0 * math.pi * r)

    def truncated(self, k: Real, radius: float) -> Real:
        rate = 1.0 / self.length
        wave = np.cos(k * radius) + rate * radius * np.sinc(k * radius / math.pi)
        return (1.0 - math.exp(-rate * radius) * wave) / (k**2 + rate**2)


class Gaussian(Green):
    """``exp(-r**2/(2 length**2))`` with unit integral; sampled values converge as fast as any truncated transform.

    Parameters
    ----------
    ndim : int
        Number of axes.
    length : float
        Standard deviation.
    """

    def __init__(self, ndim: int, length: float) -> None:
        super().__init__(ndim)
        self.length = positive(length, "gaussian: length")

    def __call__(self, r: Real) -> Real:
        peak = (2.0 * math.pi * self.length**2) ** (-0.5 * self.ndim)
        return peak * np.exp(-0.5 * (r / self.length) ** 2)

    def at_origin(self, spacing: Sequence[float]) -> float:
        return float(self(np.zeros(1))[0])


_SMALL = 1e-8


def positive(value: float, what: str) -> float:
    """The value, if it is finite and above zero.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if not (math.isfinite(value) and value > 0.0):
        raise ConfigError(f"{what} must be above zero; given {value:g}")
    return float(value)
