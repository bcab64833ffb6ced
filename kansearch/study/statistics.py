"""What several seeds say of a trial: the interval of a mean, and how sure its place on the front is. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["front_probabilities", "half_width", "undominated"]

_Floats = NDArray[np.float64]
_DIGITS = 12  # the same seeds drawn in another order have the same mean


def half_width(values: Sequence[float], confidence: float = 0.95) -> float | None:
    """Half the width of the confidence interval of a mean, by Student's t distribution: t · s / √n.

    s is the sample standard deviation of the n values, t the (1 + confidence) / 2 quantile with n - 1 degrees of
    freedom. The values are taken for independent and normal. None for fewer than two.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped] # scipy.stats takes a second to load

    if len(values) < 2:
        return None
    deviation = float(np.std(values, ddof=1))
    return float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * deviation / math.sqrt(len(values))


def undominated(points: _Floats) -> NDArray[np.bool_]:
    """Which points no other beats; less is better. Points (..., p, m) give (..., p).

    A point beats another if it is nowhere worse and somewhere better: of two equal ones neither does.
    """
    kept = np.ones(points.shape[:-1], dtype=bool)
    for index in range(points.shape[-2]):
        point = points[..., index : index + 1, :]  # (..., 1, m)
        beats = (points <= point).all(axis=-1) & (points < point).any(axis=-1)  # (..., p)
        kept[..., index] = ~beats.any(axis=-1)
    return kept


def front_probabilities(seeds: Sequence[_Floats], resamples: int = 10_000, seed: int = 0) -> _Floats:
    """For each of p trials, the share of bootstrap resamples in which its mean point is on the front.

    A resample draws each trial's seeds anew, as many as it has, with replacement, and independently of the other
    trials' (Efron 1979). A trial with one seed is a point that stays where it is.

    Args:
        seeds: of each trial an array (n, m): m objectives of n seeds, n >= 1, signed so that less is better.
        resamples: how often to draw; the standard error of a share q is √(q (1 - q) / resamples).
        seed: of the generator. Same arguments, same shares.

    Returns:
        An array (p,) in [0, 1].
    """
    generator = np.random.default_rng(seed)
    drawn = [points[generator.integers(len(points), size=(resamples, len(points)))] for points in seeds]
    means = np.stack([each.mean(axis=1) for each in drawn], axis=1)  # p of (resamples, n, m) -> (resamples, p, m)
    shares: _Floats = undominated(means.round(_DIGITS)).mean(axis=0)
    return shares
