"""Which schemes take which noise.

Noise is held during a step. Schemes that evaluate an equation at known values then converge, in the sense of Ito or of
Stratonovich; the documentation says which. Two kinds of schemes have no answer for some noise, and refuse it.
"""

from __future__ import annotations

from hpcsim.errors import FormulaError
from hpcsim.integrators.scheme import Scheme
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.sweep import Solve
from hpcsim.symbolic.noise import reads_noise
from hpcsim.symbolic.stability import jacobian


def refuse_noise(discrete: Discrete, scheme: Scheme) -> None:
    """Refuse equations whose noise a scheme cannot take.

    Raises
    ------
    FormulaError
        If the scheme repeats steps with another size, or solves for what the noise multiplies.
    """
    if not discrete.discretizer.noises:
        return
    if scheme.error_registers:
        raise FormulaError(
            f"{scheme.name} rejects steps and tries shorter ones, whose noise would have to be a Brownian bridge of "
            "the noise that was rejected; noise() needs a constant step: use euler, rk4 or crank_nicolson"
        )
    # An unknown times a normal number has no moments once it is divided by 1 - sqrt(dt)*xi.
    for solve in (stage for stage in scheme.stages if isinstance(stage, Solve)):
        if any(reads_noise(entry.coefficient) for entry in jacobian(solve.residuals, solve.unknowns)):
            raise FormulaError(
                f"{scheme.name} would have to divide by the noise() that multiplies a field; use euler, in the sense "
                "of Ito, or rk4, in that of Stratonovich"
            )
