"""Inverse of the normal distribution function by IEEE arithmetic alone: the same bits on every platform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Wichura (1988), algorithm AS 241, PPND16: numerator and denominator, highest power first, and where each one holds:
# the centre for |p - 1/2| up to OUTER, the middle for sqrt(-log(tail)) up to FAR
OUTER, FAR = 0.425, 5.0
CENTRE_SHIFT, MIDDLE_SHIFT = 0.180625, 1.6
CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
MIDDLE = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip

# the mantissa lies between this number and twice it
ROOT_HALF = 0.70710678118654752440
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# log(1+f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f/(2+f): minimax coefficients of R, highest power first
LOG = (1.479819860511658591e-1, 1.531383769920937332e-1, 1.818357216161805012e-1, 2.222219843214978396e-1,
       2.857142874366239149e-1, 3.999999999940941908e-1, 6.666666666666735130e-1)  # fmt: skip

_Floats = NDArray[np.float64]


def _polynomial(coefficients: tuple[float, ...], x: _Floats) -> _Floats:
    """Horner's rule, highest power first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def _ratio(pair: tuple[tuple[float, ...], tuple[float, ...]], x: _Floats) -> _Floats:
    return _polynomial(pair[0], x) / _polynomial(pair[1], x)


def logarithm(x: _Floats) -> _Floats:
    """Natural logarithm of positive normal numbers to about one unit in the last place, by arithmetic alone.

    Examples
    --------
    >>> float(logarithm(np.array([8.0]))[0]) == 3 * float(logarithm(np.array([2.0]))[0])
    True
    """
    # x = mantissa * 2**exponent with the mantissa in [sqrt(1/2), sqrt(2))
    mantissa, exponent = np.frexp(x)
    small = mantissa < ROOT_HALF
    f = np.where(small, 2.0 * mantissa, mantissa) - 1.0
    k: _Floats = exponent - small.astype(np.float64)

    s: _Floats = f / (2.0 + f)
    z = np.square(s)
    half = 0.5 * f * f
    correction = s * (half + z * _polynomial(LOG, z))
    return k * LN2_HIGH - ((half - (correction + k * LN2_LOW)) - f)


def normal_quantile(p: _Floats) -> _Floats:
    """The x with distribution function p: relative error about 1e-15 for 2**-53 <= p <= 1 - 2**-53.

    Parameters
    ----------
    p : ndarray of float64
        Probabilities, 1-D, strictly between 0 and 1.

    Returns
    -------
    ndarray of float64
        Shape of `p`.

    Examples
    --------
    >>> normal_quantile(np.array([0.25, 0.5]))
    array([-0.67448975,  0.        ])
    """
    q = p - 0.5
    x = q * _ratio(CENTRE, CENTRE_SHIFT - q * q)
    outer = np.flatnonzero(np.abs(q) > OUTER)
    side = q[outer]
    tail = np.where(side < 0.0, p[outer], 1.0 - p[outer])
    r = np.sqrt(-logarithm(tail))
    size = np.where(r <= FAR, _ratio(MIDDLE, r - MIDDLE_SHIFT), _ratio(TAIL, r - FAR))
    x[outer] = np.where(side < 0.0, -size, size)
    return x
