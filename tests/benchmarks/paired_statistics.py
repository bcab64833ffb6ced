"""Statistics of paired searches: a pair is one search an arm on one fold, whose images test no other pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["Difference", "bootstrap_interval", "difference", "holm"]

Right = NDArray[np.bool_]
"""Whether each test image is classified rightly, (seeds, images)."""


@dataclass(frozen=True)
class Difference:
    """The mean difference of accuracy over the pairs, its interval, and the p-value that it is 0."""

    mean: float
    low: float
    high: float
    p: float
    pairs: int


def difference(values: Sequence[float], overlap: float = 1 / 6, confidence: float = 0.95) -> Difference:
    """Student's t over the differences of pairs, corrected for training images that pairs share.

    Pairs share neither test images nor seeds nor searches, so the spread of their differences holds the spread of all
    three. Two pairs do share five sixths of their training images, so their differences are not independent. The error
    of the mean is s · sqrt(1/n + overlap) (Nadeau and Bengio, Machine Learning 52, 2003).

    Args:
        values: the difference of each pair.
        overlap: test images over training images of a pair; 0: nothing is shared.
        confidence: of the interval.

    Raises:
        ValueError: there are fewer than 2 pairs.
    """
    if len(values) < 2:
        raise ValueError("an interval needs at least 2 pairs")
    mean, freedom = float(np.mean(values)), len(values) - 1
    error = float(np.std(values, ddof=1)) * math.sqrt(1 / len(values) + overlap)
    half = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom)) if error > 0 else float(mean == 0)
    return Difference(mean, mean - half, mean + half, p, len(values))


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values for several questions by Holm's method, in their order."""
    adjusted, above = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        above = max(above, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = above
    return adjusted


def bootstrap_interval(
    pairs: Sequence[tuple[Right, Right]], draws: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a hierarchical bootstrap: pairs, seeds of each arm, images (the same for both arms).

    It is wide: seeds and images are in the spread of the pairs already. `difference` decides.

    Args:
        pairs: for each pair the first arm's and the second arm's `Right`.
        draws: of the bootstrap.
        confidence: of the interval.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(len(pairs), size=len(pairs))
        means[draw] = np.mean([_resampled(*pairs[index], rng) for index in chosen])
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def _resampled(first: Right, second: Right, rng: np.random.Generator) -> float:
    images = rng.multinomial(first.shape[1], np.full(first.shape[1], 1 / first.shape[1])) / first.shape[1]
    drawn = [arm[rng.integers(len(arm), size=len(arm))].mean(0) for arm in (first, second)]
    return float(images @ (drawn[0] - drawn[1]))
