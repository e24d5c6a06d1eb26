"""What a multigrid solver is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.multigrid.smoothers import SMOOTHERS

CYCLES = ("v", "w", "f")
PRECISIONS = ("mixed", "double")


@dataclass(frozen=True)
class MultigridOptions:
    """Choices of a solver; all have defaults that suit the Laplacian.

    Attributes
    ----------
    cycle : str
        ``"v"``, ``"w"`` or ``"f"``.
    smoother : str
        ``"red_black"`` or ``"chebyshev"``.
    sweeps : tuple of int
        Before and after the coarser level.
    precision : str
        ``"mixed"``: cycles in float32 inside an iteration in float64; ``"double"``: all in float64.
    acceleration : bool or None
        Whether a Krylov method uses the cycle as preconditioner; None leaves plain cycles as soon as they are slow.
    factor : float or None
        Relaxation factor, or largest eigenvalue for the polynomial; None takes tabulated ones.
    max_iterations : int
        Most cycles of a solve.

    Raises
    ------
    ConfigError
        If a name is unknown or a number makes no sense.
    """

    cycle: str = "v"
    smoother: str = "red_black"
    sweeps: tuple[int, int] = (1, 2)
    precision: str = "mixed"
    acceleration: bool | None = None
    factor: float | None = None
    max_iterations: int = 100

    def __post_init__(self) -> None:
        faults = [
            unknown_name(what, given, known)
            for what, given, known in (
                ("cycle", self.cycle, CYCLES),
                ("smoother", self.smoother, SMOOTHERS.names()),
                ("precision", self.precision, PRECISIONS),
            )
            if given not in known
        ]
        if len(self.sweeps) != 2 or min(self.sweeps) < 0 or sum(self.sweeps) == 0:
            faults.append(f"sweeps = {self.sweeps}: two counts are needed, before and after, not both zero")
        if self.max_iterations < 1:
            faults.append(f"max_iterations = {self.max_iterations}: at least 1 is needed")
        if faults:
            raise ConfigError(faults)
