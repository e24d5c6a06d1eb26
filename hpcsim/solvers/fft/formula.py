"""A kernel given by the user as a formula of the distance r."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import FormulaError
from hpcsim.solvers.fft.cell_average import cell_average
from hpcsim.solvers.fft.greens import Green
from hpcsim.symbolic.evaluate import evaluate
from hpcsim.symbolic.expr import Expr, Symbol
from hpcsim.symbolic.names import Names
from hpcsim.symbolic.parse import parse_scalar


class Formula(Green):
    """Values of a formula of ``r`` and parameters.

    Parameters
    ----------
    ndim : int
        Number of axes.
    formula : str
        Text on the allow-list of `hpcsim.symbolic.parse`, e.g. ``"exp(-r/l)/r"``.
    parameters : mapping of str to float
        Values of the other names.
    origin : float, optional
        Value at the origin. By default that of the formula, or the mean over the cell where it has none.

    Raises
    ------
    FormulaError
        If the formula is refused, or not finite at some distance.

    Examples
    --------
    >>> kernel = Formula(2, "a*exp(-r)", {"a": 2.0})
    >>> float(kernel(np.array([0.0]))[0]), kernel.at_origin((0.1, 0.1))
    (2.0, 2.0)
    """

    def __init__(
        self, ndim: int, formula: str, parameters: Mapping[str, float] | None = None, origin: float | None = None
    ) -> None:
        super().__init__(ndim)
        self._values: dict[Expr, float] = {Symbol(name): float(value) for name, value in (parameters or {}).items()}
        names = Names(ndim, symbols=frozenset(("r", *(parameters or {}))), time=False, space=False)
        self._expr = parse_scalar(formula, names, "kernel")
        self._text = formula
        self._origin = origin

    def _at(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            values = evaluate(self._expr, {**self._values, Symbol("r"): r})
        return np.broadcast_to(np.asarray(values, np.float64), r.shape)

    def __call__(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self._at(r)
        if not np.isfinite(values).all():
            bad = float(r[~np.isfinite(values)].flat[0])
            raise FormulaError(f"kernel '{self._text}' is not finite at r = {bad:g}")
        return values

    def at_origin(self, spacing: Sequence[float]) -> float:
        if self._origin is not None:
            return self._origin
        value = float(self._at(np.zeros(1))[0])
        return value if np.isfinite(value) else cell_average(self, spacing)
