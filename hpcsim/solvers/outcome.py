"""What a solver says of a solve."""

from __future__ import annotations

from dataclasses import dataclass, field

from hpcsim.errors import ConvergenceError

_SHOWN = 6


@dataclass(frozen=True)
class Outcome:
    """The end of one solve, equal on all ranks but for the seconds.

    Attributes
    ----------
    method : str
        What solved, in words: ``"multigrid V(1,1)"``.
    converged : bool
        Whether the tolerance was reached.
    reason : str
        Why it ended.
    iterations : int
        Cycles or iterations; 0 for a direct solve.
    residuals : tuple of float
        Norm of the residual before the first and after each iteration.
    seconds : dict of str to float
        Time of the parts.
    """

    method: str
    converged: bool
    reason: str
    iterations: int
    residuals: tuple[float, ...]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def reduction(self) -> float:
        """Last residual over the first one; 0 if the first one is 0."""
        return self.residuals[-1] / self.residuals[0] if self.residuals and self.residuals[0] > 0.0 else 0.0

    def check(self, what: str, advice: str = "") -> Outcome:
        """Itself, if it converged.

        Raises
        ------
        ConvergenceError
            If not, with the history and the advice.

        Examples
        --------
        >>> Outcome("cg", False, "too many iterations", 2, (1.0, 0.5, 0.2)).check("phi", "raise solver.max_iterations")
        Traceback (most recent call last):
            ...
        hpcsim.errors.ConvergenceError: phi: cg did not converge: too many iterations after 2 iterations; residuals 1,
        0.5, 0.2; raise solver.max_iterations
        """
        if self.converged:
            return self
        shown = [f"{value:.3g}" for value in self.residuals[:_SHOWN]]
        if len(self.residuals) > _SHOWN:
            shown = [*shown[: _SHOWN // 2], "...", *(f"{value:.3g}" for value in self.residuals[-_SHOWN // 2 :])]
        text = f"{what}: {self.method} did not converge: {self.reason} after {self.iterations} iterations"
        text += f"; residuals {', '.join(shown)}" + (f"; {advice}" if advice else "")
        raise ConvergenceError(text)
