"""Finding the error bound with which a lossy codec reaches a given size."""

from __future__ import annotations

import numpy as np

from hpcsim.output.compress.codec import Codec, Unsuitable

_TRIALS = 8
_CLOSE = 0.85


def fit_ratio(codec: Codec, values: np.ndarray, ratio: float) -> tuple[bytes, float]:
    """The payload with the smallest error that has at most ``ratio`` of the bytes of the array.

    The number of bits that a codec needs per value falls by about one when its bound is doubled, so each trial tells
    where the next should be; a bracket keeps this from running away.

    Parameters
    ----------
    codec : Codec
        A lossy codec.
    values : ndarray
        Finite floats.
    ratio : float
        Share of the bytes.

    Returns
    -------
    (bytes, float)
        Payload and its bound.

    Raises
    ------
    Unsuitable
        If the size cannot be reached.
    """
    target = ratio * values.nbytes
    spread = float(values.max()) - float(values.min())
    bound, low, high = 1e-3 * spread, 0.0, np.inf
    best: tuple[bytes, float] | None = None
    reason = "the ratio cannot be reached"
    for _ in range(_TRIALS):
        if not 0.0 < bound < np.inf:
            break
        try:
            payload = codec.pack(values, bound)
        except Unsuitable as refusal:
            # A bound near the rounding of the values: only a wider one can help.
            low, bound, reason = bound, bound * 256, str(refusal)
            continue
        if len(payload) <= target:
            best, high = (payload, bound), bound
            if len(payload) >= _CLOSE * target:
                break
        else:
            low = bound
        excess = 8 * (len(payload) - 0.93 * target) / values.size
        bound *= 2.0 ** float(np.clip(excess, -12.0, 12.0))
        if not low < bound < high:
            bound = np.sqrt(low * high) if np.isfinite(high) and low > 0.0 else (high / 256 if low == 0.0 else low * 4)
    if best is None:
        raise Unsuitable(reason)
    return best
