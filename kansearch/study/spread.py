"""`pooled_spreads`: how much the seeds of each trial differ, told by all trials of a data set together. No I/O.

The standard deviation of five seeds is off by a third either way by luck alone, so that intervals made of it are short
for lucky trials. The trials of one data set tell of each other's spread:

    s̃ᵢ² = (d₀ s₀² + dᵢ sᵢ²) / (d₀ + dᵢ)         with d₀ + dᵢ degrees of freedom, at most those of all trials

This is the moderated variance of Smyth (2004), Statistical Applications in Genetics and Molecular Biology 3(1), 3, as
`squeezeVar` of the R package limma computes it. sᵢ² is a trial's own variance with dᵢ = nᵢ - 1 degrees of freedom. s₀²
and d₀ are fitted to all of them. Where they differ no more than by chance, d₀ is infinite, and every trial has the
pooled variance. It is small where trials really differ, and each then keeps most of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_SEEDS", "Spread", "pooled_spreads"]

LEAST_SEEDS = 3
"""With fewer, neither an interval nor a probability is told."""

_Floats = NDArray[np.float64]
_UNLIKELY = 0.01  # variances are not taken for smaller than they are by chance so often; equal seeds have variance 0
_WIDE = 0.05  # how often any trial of equal ones is taken for wider than the others


@dataclass(frozen=True)
class Spread:
    """The standard deviation between the seeds of a trial, and its degrees of freedom."""

    deviation: float
    freedom: float
    own: bool = False
    """Whether the trial's seeds differ clearly more than those of the others, and tell of themselves alone."""

    def half_width(self, seeds: int, confidence: float = 0.95) -> float:
        """Half the width of the confidence interval of a mean of `seeds` seeds: t · s / √n."""
        return self._t(confidence) * self.deviation / math.sqrt(seeds)

    def prediction_half_width(self, seeds: int, confidence: float = 0.95) -> float:
        """Half the width of the interval about that mean in which one more seed lies: t · s · √(1 + 1/n).

        A single run, such as a published one, is compared with this interval. (Hahn and Meeker 1991, Statistical
        Intervals, 4.7)
        """
        return self._t(confidence) * self.deviation * math.sqrt(1 + 1 / seeds)

    def _t(self, confidence: float) -> float:
        from scipy.special import stdtrit  # type: ignore[import-untyped] # scipy.stats takes a second to load

        return float(stdtrit(self.freedom, (1 + confidence) / 2))


def pooled_spreads(samples: Sequence[Sequence[float]]) -> list[Spread | None]:
    """The spread of each trial, from the seeds of all trials of one data set.

    A trial whose variance is clearly larger than the pooled one of the others (F test, 5 % over all trials, Bonferroni)
    keeps its own. It is not made to look like them. A trial with one seed has the spread of the others.

    Args:
        samples: for each trial the values of its seeds, taken for independent and normal.

    Returns:
        A spread for each trial; None where no trial has two seeds.
    """
    freedoms = np.array([max(len(values) - 1, 0) for values in samples], dtype=float)
    variances = np.array([np.var(values, ddof=1) if len(values) > 1 else 0.0 for values in samples])
    wide = _wide(variances, freedoms)
    pool = freedoms > 0
    if not pool.any():
        return [None] * len(samples)
    common, weight = _prior(variances[pool], freedoms[pool])
    most = float(freedoms[pool].sum())
    found: list[Spread | None] = []
    for variance, freedom, alone in zip(variances, freedoms, wide, strict=True):
        if alone:
            found.append(Spread(math.sqrt(variance), freedom, own=True))
        elif math.isinf(weight):
            found.append(Spread(math.sqrt(common), most))
        else:
            squeezed = (weight * common + freedom * variance) / (weight + freedom)
            found.append(Spread(math.sqrt(squeezed), min(weight + freedom, most)))
    return found


def _wide(variances: _Floats, freedoms: _Floats) -> NDArray[np.bool_]:
    """Which trials have a clearly larger variance than the others have together."""
    from scipy.special import fdtrc

    others = freedoms.sum() - freedoms
    rest = (freedoms * variances).sum() - freedoms * variances
    asked = (freedoms > 0) & (others > 0) & (rest > 0)
    chance = np.ones(len(variances))
    chance[asked] = fdtrc(freedoms[asked], others[asked], (variances * others)[asked] / rest[asked])
    return chance < _WIDE / max(int((freedoms > 0).sum()), 1)


def _prior(variances: _Floats, freedoms: _Floats) -> tuple[float, float]:
    """s₀² and d₀, by the moments of log sᵢ² (Smyth 2004, 6.2); the pooled variance and infinity where variances differ
    no more than chance lets them."""
    from scipy.optimize import brentq  # type: ignore[import-untyped]
    from scipy.special import chdtri, digamma, polygamma

    pooled = float((freedoms * variances).sum() / freedoms.sum())
    if len(variances) < 2 or pooled == 0:
        return pooled, math.inf
    half = freedoms / 2
    least = pooled * chdtri(freedoms, 1 - _UNLIKELY) / freedoms
    logs = np.log(np.maximum(variances, least)) - digamma(half) + np.log(half)
    beyond = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if beyond <= polygamma(1, 1e4):  # d₀ of twenty thousand is as good as infinite
        return pooled, math.inf
    prior = math.exp(brentq(lambda power: float(polygamma(1, math.exp(power))) - beyond, -20.0, 20.0))
    return math.exp(float(logs.mean()) + float(digamma(prior)) - math.log(prior)), 2 * prior
