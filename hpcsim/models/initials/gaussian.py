"""A Gaussian bump."""

from __future__ import annotations

import math

import numpy as np

from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.models.initial import InitialCondition
from hpcsim.models.initials.table import TableReader, initial_kind
from hpcsim.models.sampling import Values, axis_points, slabs

MAX_IMAGES = 2000
# Widths beyond which the tail of a Gaussian is below the rounding of its peak.
REACH = 9.0


class Envelope:
    """``exp(-sum(((x - center)/width)**2)/2)``, summed over the periodic images.

    The sum over images is the smooth periodic Gaussian; the distance to the nearest image alone would have a kink.

    Parameters
    ----------
    center, width : sequence of float
        One entry per axis; an infinite width makes the axis flat.
    images : tuple of int
        Per axis, how many images on each side are added.
    """

    def __init__(self, center: list[float], width: list[float], images: tuple[int, ...]) -> None:
        self._center, self._width, self._images = center, width, images

    def slab(self, domain: Domain, box: Box, location: Location, slope: int | None = None) -> Values:
        """Values in a box; with `slope`, minus their derivative along that axis.

        Returns
        -------
        ndarray of float64
            Shape of the box.
        """
        product: Values | None = None
        for axis in range(domain.ndim):
            profile = self._profile(domain, axis, box, bool(location[axis]), axis == slope)
            product = profile if product is None else product[..., np.newaxis] * profile
        assert product is not None
        return product

    def _profile(self, domain: Domain, axis: int, box: Box, staggered: bool, slope: bool) -> Values:
        points, asked = axis_points(domain, axis, box[0][axis], box[1][axis], staggered)
        length = domain.upper[axis] - domain.lower[axis]
        width, total = self._width[axis], np.zeros_like(points)
        if math.isinf(width):
            return (total if slope else total + 1.0)[asked]
        for image in range(-self._images[axis], self._images[axis] + 1):
            distance = (points - self._center[axis] - image * length) / width
            term = np.exp(-0.5 * (distance * distance))
            total = total + (term * (distance / width) if slope else term)
        return total[asked]


def read_envelope(reader: TableReader) -> Envelope:
    """The envelope of the keys ``center``, ``width`` and ``images``."""
    domain = reader.setting.domain
    center = reader.vector("center")
    width = reader.vector("width", repeat=True, lower=0.0, wide=True)
    periodic = reader.flag("images", True)
    images = []
    for axis in range(domain.ndim):
        length = domain.upper[axis] - domain.lower[axis]
        off = abs(center[axis] - 0.5 * (domain.lower[axis] + domain.upper[axis])) / length
        reach = 0.0 if math.isinf(width[axis]) else REACH * width[axis] / length + off + 0.5
        images.append(math.ceil(reach) if periodic and domain.periodic[axis] and reach < math.inf else 0)
        if images[axis] > MAX_IMAGES:
            reader.fault("width", f"{width[axis]:g} spans {images[axis]} periodic images; use inf for a flat axis")
            images[axis] = 0
    return Envelope(center, width, tuple(images))


class Gaussian(InitialCondition):
    """A bump over a background.

    Parameters
    ----------
    where : str
        Path of the key.
    envelope : Envelope
        Shape.
    amplitude, background : float
        Height above the background, and the background.
    """

    def __init__(self, where: str, envelope: Envelope, amplitude: float, background: float) -> None:
        super().__init__(where)
        self._envelope, self._amplitude, self._background = envelope, amplitude, background

    def _values(self, domain: Domain, box: Box, location: Location, component: int) -> Values:
        lo, hi = box
        out = np.empty(tuple(b - a for a, b in zip(lo, hi, strict=True)))
        for first, last in slabs(lo, hi):
            slab = self._envelope.slab(domain, ((first, *lo[1:]), (last, *hi[1:])), location)
            out[first - lo[0] : last - lo[0]] = self._background + self._amplitude * slab
        return out


@initial_kind("center", "width", "amplitude", "background", "images")
def gaussian(reader: TableReader) -> InitialCondition:
    """Gaussian bump: background + amplitude*exp(-sum(((x - center)/width)**2)/2).

    On periodic axes it is summed over the periodic images unless ``images = false``; a width of inf makes an axis flat.
    """
    envelope = read_envelope(reader)
    return Gaussian(reader.where, envelope, reader.number("amplitude", 1.0), reader.number("background", 0.0))
