"""Direct solver for star operators with constant weights: Poisson, Helmholtz, implicit diffusion and their like.

All axes but the first are transformed; for each of their modes a tridiagonal system is left along the first axis
(Hockney, J. ACM 12, 1965; Swarztrauber, SIAM Review 19, 1977). Where elimination without pivots is not safe, or the
first axis is periodic, that axis is transformed as well and the modes are divided by the symbol. Either way the
equations solved are exactly those of the stencil.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import extent, volume
from hpcsim.solvers.fft.division import Division
from hpcsim.solvers.fft.elimination import Elimination, SingularSystem
from hpcsim.solvers.fft.separation import separate
from hpcsim.solvers.fft.transform import Transform
from hpcsim.solvers.grid import Star
from hpcsim.solvers.outcome import Outcome

if TYPE_CHECKING:
    from hpcsim.comm.context import Context


class DirectSolver:
    """Solves ``A u = f`` for a star operator with constant weights, by transforms.

    Set-up and solves are collective. Where constants are in the null space of A, the part of f that no u can reach is
    left out, and of all solutions the one with zero mean over the lattice is given; sites on a free wall count half.

    Parameters
    ----------
    context : Context
        The ranks.
    star : Star
        The operator.
    threads : int
        Threads of this rank.
    symbol : {"stencil", "spectral"}
        Solve the equations of the stencil, or put exact second derivatives in the place of differences.
    lines : str
        Name in `FFTS`.

    Attributes
    ----------
    box : Box
        Sites of this rank; the whole line on every rank where there is only one axis.
    singular : bool
        Whether constants are in the null space.
    method : str
        How it solves, in words.

    Raises
    ------
    ConfigError
        If this operator cannot be solved so (see `hpcsim.solvers.fft.separation.obstacle`), or another eigenvalue than
        that of the constants is zero.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> from hpcsim.solvers.grid import Axis, End, laplacian
    >>> wall = (End(1, 0), End(1, 0))
    >>> star = laplacian((Axis.of_cells(4, 0.25, wall, vertex=True), Axis(8, 0.125, False, None)))
    >>> solver, u = DirectSolver(Context.serial(), star), np.zeros((3, 8))
    >>> solver.solve(np.full((3, 8), -2.0), u).method
    'direct: transforms (fourier) and elimination'
    >>> u[:, 0].round(12).tolist()
    [0.1875, 0.25, 0.1875]
    """

    def __init__(
        self, context: Context, star: Star, threads: int = 1, symbol: str = "stencil", lines: str = "auto"
    ) -> None:
        found = separate(star, symbol)
        self.singular, self.method = found.singular, f"direct: {found.words}"
        self._transform = Transform(context, found.bases, threads, lines=lines)
        self.box = self._transform.box
        box = self._transform.spectral_box
        shift = _outer_sum(found.across, box[0][1:], box[1][1:])
        # The constants are mode 0 of column 0 of the rank that has the first mode of every axis.
        null = found.singular and volume(box) > 0 and not any(box[0])
        self._elimination: Elimination | None = None
        self._system: SingularSystem | None = None
        if found.along is not None:
            # A real field has half of the modes of its last Fourier axis, which may be this one.
            self._division = Division(self._transform, found.along[: self._transform.modes[0]], shift, null)
            return
        assert found.diagonals is not None
        lower, centre, upper = (part / self._transform.scale for part in found.diagonals)
        shift = np.repeat(shift, 2 if self._complex else 1) / self._transform.scale
        if null:
            self._system = SingularSystem(lower, centre + shift[0], upper)
            # Its column is solved apart; here it gets any regular matrix.
            shift[: 2 if self._complex else 1] = centre[0]
        self._elimination = Elimination(lower, centre, upper, shift, self._transform.workers)

    @property
    def _complex(self) -> bool:
        """Whether the systems along the first axis have complex right sides."""
        return np.iscomplexobj(self._transform.lines)

    def solve(self, f: NDArray[Any], u: NDArray[Any]) -> Outcome:
        """Solve for one right side.

        Parameters
        ----------
        f : ndarray
            Right side on `box`, float64.
        u : ndarray
            Memory for the solution: shape of `box`, C order; may be `f`.
        """
        start = time.perf_counter()
        if self._elimination is None:
            self._transform.through(f, u, self._division.change)
        else:
            lines = self._transform.inward(f)
            self._eliminate(lines.view(np.float64), self._elimination)
            self._transform.outward(u)
        return Outcome(self.method, True, "direct", 0, (), {"solve": time.perf_counter() - start})

    def _eliminate(self, lines: NDArray[np.float64], elimination: Elimination) -> None:
        """Solve the systems along the first axis; real and imaginary parts are columns of their own."""
        side = lines[:, 0].copy() if self._system is not None else None
        elimination.solve(lines)
        if self._system is not None and side is not None:
            lines[:, 0] = self._system.solve(side)

    def free(self) -> None:
        """Give memory and threads back; local, harmless the second time."""
        self._transform.free()


def _outer_sum(symbols: tuple[NDArray[Any], ...], lo: tuple[int, ...], hi: tuple[int, ...]) -> NDArray[Any]:
    """Sum of one entry of each symbol for every column of a box of modes, in C order."""
    total: NDArray[Any] = np.zeros(extent((lo, hi)))
    for axis, (symbol, a, b) in enumerate(zip(symbols, lo, hi, strict=True)):
        total = total + np.expand_dims(symbol[a:b], tuple(k for k in range(total.ndim) if k != axis))
    return total.reshape(-1)
