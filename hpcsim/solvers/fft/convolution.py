"""Convolution of a field with a kernel, by transforms that are done once for the kernel and once a call for the field.

``result[i] = sum over j of kernel(x_i - x_j)*source[j]*(volume of a cell)``, in three modes:

- ``"periodic"``: offsets to the nearest periodic image;
- ``"padded"``: open space; zeros behind the field keep images apart (Hockney and Eastwood, "Computer Simulation Using
  Particles", 1988, section 6.5.4). A kernel that is singular at the origin gives second order;
- ``"truncated"``: open space to spectral accuracy for a source that vanishes smoothly inside the box, with the kernel
  cut off beyond the diagonal of the box (Vico, Greengard and Ferrando, J. Comput. Phys. 323, 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.fft.basis import Basis, fast_even_length, fourier
from hpcsim.solvers.fft.greens import Green
from hpcsim.solvers.fft.kernel_modes import KernelModes, folded_modes, moved, sample_box, sampled_modes
from hpcsim.solvers.fft.transform import Transform

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

MODES = ("padded", "periodic", "truncated")


class Kernel(Protocol):
    """What a field is convolved with; every `Green` is one.

    Attributes
    ----------
    even : bool
        Whether it is the same at opposite offsets along every axis.
    """

    even: bool

    def sample(self, offsets: Sequence[NDArray[np.float64]], spacing: Sequence[float]) -> NDArray[np.float64]:
        """Values at offsets x_i - x_j, one array per axis that broadcast against each other."""
        ...


class OffsetKernel:
    """A kernel from a function of the offsets.

    Parameters
    ----------
    function : callable
        Takes one array per axis and returns the values, those at the origin among them.
    even : bool
        Whether it is the same at opposite offsets along every axis, which halves the memory.
    """

    def __init__(self, function: Callable[..., NDArray[np.float64]], even: bool = False) -> None:
        self._function = function
        self.even = even

    def sample(self, offsets: Sequence[NDArray[np.float64]], spacing: Sequence[float]) -> NDArray[np.float64]:
        """See `Kernel`."""
        return self._function(*offsets)


class Convolution:
    """Convolution with one kernel, or with several that share the transform of the field.

    Set-up and calls are collective.

    Parameters
    ----------
    context : Context
        The ranks.
    shape : tuple of int
        Sites per axis.
    spacing : sequence of float
        Distance between them, per axis.
    kernels : Kernel or sequence of Kernel
        What to convolve with.
    mode : str
        ``"periodic"``, ``"padded"`` or ``"truncated"``.
    threads : int
        Threads of this rank.

    Attributes
    ----------
    box : Box
        Sites of this rank; all of them on every rank where there is only one axis.

    Raises
    ------
    ConfigError
        If the mode is unknown, or a kernel has no truncated transform.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> from hpcsim.solvers.fft.greens import make_green
    >>> kernel = make_green("formula", 1, formula="exp(-r)")
    >>> convolution = Convolution(Context.serial(), (3,), (0.5,), kernel, "padded")
    >>> result = np.empty(3)
    >>> convolution.apply(np.array([2.0, 0.0, 0.0]), result)
    >>> bool(np.allclose(result, np.exp([0.0, -0.5, -1.0])))
    True
    """

    def __init__(
        self,
        context: Context,
        shape: Sequence[int],
        spacing: Sequence[float],
        kernels: Kernel | Sequence[Kernel],
        mode: str = "padded",
        threads: int = 1,
    ) -> None:
        if mode not in MODES:
            raise ConfigError(unknown_name("mode of convolution", mode, MODES))
        given = list(kernels) if isinstance(kernels, Sequence) else [kernels]
        lengths = list(shape) if mode == "periodic" else [fast_even_length(2 * n - 1) for n in shape]
        axes = [fourier(n, h, length) for n, h, length in zip(shape, spacing, lengths, strict=True)]
        self._transform = Transform(context, axes, threads)
        self.box = self._transform.box
        self._modes = [self._prepare(context, kernel, mode, threads) for kernel in given]
        # Several kernels start from the same modes of the field.
        self._held = np.empty_like(self._transform.lines) if len(given) > 1 else None

    def _prepare(self, context: Context, kernel: Kernel, mode: str, threads: int) -> KernelModes:
        transform = self._transform
        spacing = [basis.spacing for basis in transform.bases]
        if mode == "truncated":
            if not isinstance(kernel, Green):
                raise ConfigError("only Green's functions have a truncated transform; use mode 'padded'")
            return truncated_modes(context, transform, kernel, threads)

        def sampler(offsets: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
            return kernel.sample(offsets, spacing)

        return sampled_modes(context, transform, sampler, kernel.even, mode == "periodic", threads)

    def apply(self, source: NDArray[np.float64], *results: NDArray[np.float64]) -> None:
        """Convolve.

        Parameters
        ----------
        source : ndarray
            The field on `box`; left as it is.
        *results : ndarray
            One per kernel, in their order: shape of `box`, C order. With one kernel it may be `source`.
        """
        if len(results) != len(self._modes):
            raise ValueError(f"{len(results)} results were given for {len(self._modes)} kernels")
        lines = self._transform.inward(source)
        if self._held is not None:
            np.copyto(self._held, lines)
            lines = self._held
        for modes, result in zip(self._modes, results, strict=True):
            self._transform.across(lines, modes.change)
            self._transform.outward(result)

    def free(self) -> None:
        """Give memory and threads back; local, harmless the second time."""
        self._transform.free()
        self._modes, self._held = [], None


def truncated_modes(context: Context, transform: Transform, green: Green, threads: int) -> KernelModes:
    """Modes of a Green's function cut off beyond the diagonal of the box; collective.

    The closed form is summed over wavenumbers of a period so long that no image of the kernel reaches the offsets that
    occur. What is kept of the result are those offsets.
    """
    bases = transform.bases
    radius = math.sqrt(sum((basis.count * basis.spacing) ** 2 for basis in bases))
    periods = [max(b.length, fast_even_length(b.count + math.ceil(radius / b.spacing))) for b in bases]
    halves = [basis.length // 2 + 1 for basis in bases]
    fine = [
        Basis("dct1", period // 2 + 1, basis.spacing, period // 2 + 1, half)
        for period, basis, half in zip(periods, bases, halves, strict=True)
    ]
    there = Transform(context, fine, threads)
    steps = [2.0 * math.pi / (period * b.spacing) for period, b in zip(periods, bases, strict=True)]
    waves = [step * np.arange(basis.count) for step, basis in zip(steps, fine, strict=True)]

    def closed_form(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return green.truncated(np.sqrt(sum(part**2 for part in parts)), radius)

    # The sum over wavenumbers has the volume of the period below it, the convolution that of a cell above.
    values = there.forward(sample_box(context, closed_form, waves, there.box))
    values *= transform.scale / math.prod(periods)
    there.free()
    back = Transform(context, [Basis("dct1", n, b.spacing, n, n) for n, b in zip(halves, bases, strict=True)], threads)
    modes = back.forward(moved(context, values, there.spectral_box, back.box))
    back.free()
    return folded_modes(context, transform, modes, back.spectral_box)
