"""Two networks on the same images, image by image: `paired`, the difference of their accuracies. No I/O.

Images that both get right, or both wrong, say nothing of the difference and do not blur it: it is far sharper than two
accuracies with an interval each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kansearch.study.spread import LEAST_SEEDS
from kansearch.study.statistics import half_width

__all__ = ["Paired", "mcnemar", "paired"]

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """The difference of two accuracies, with halves of its 95 % intervals."""

    difference: float
    images: float
    """Over other images, for these trained models."""
    seeds: float | None
    """Over other seeds, on these images; None with fewer than `LEAST_SEEDS` pairs."""
    both: float | None
    """Over both."""


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The exact two-sided p-value of McNemar's test: how likely a split as uneven is, if either is as good.

    Args:
        first_alone: images that the first alone gets right.
        second_alone: images that the second alone gets right.

    (McNemar 1947, Psychometrika 12, 153; exact by the binomial distribution of one half)
    """
    from scipy.special import bdtr  # type: ignore[import-untyped] # scipy.stats takes a second to load

    fewer, together = min(first_alone, second_alone), first_alone + second_alone
    return min(1.0, 2 * float(bdtr(fewer, together, 0.5)))


def paired(first: Sequence[NDArray[np.bool_]], second: Sequence[NDArray[np.bool_]]) -> Paired:
    """Compare K pairs of trained models on the same N images.

    Over seeds and images the differences are a two-way layout of random pairs and random images. The error of their
    mean is that of Dorfman, Berbaum and Metz (1992), Investigative Radiology 27, 723, whose readers are pairs here. It
    is √((MS_pairs + max(MS_images - MS_rest, 0)) / (K N)), with Hillis' degrees of freedom (2007, Statistics in
    Medicine 26, 596).

    Args:
        first, second: for each pair whether each image is classified rightly, (N,), N >= 2.
    """
    values = np.stack(first).astype(float) - np.stack(second)  # (K, N)
    pairs, images = values.shape
    by_pair, by_image = values.mean(axis=1), values.mean(axis=0)
    over_images = _z() * math.sqrt(float(by_image.var(ddof=1)) / images)
    told = pairs >= LEAST_SEEDS
    return Paired(
        difference=float(values.mean()),
        images=over_images,
        seeds=half_width(by_pair.tolist()) if told else None,
        both=_both(values, by_pair, by_image) if told else None,
    )


def _both(values: _Floats, by_pair: _Floats, by_image: _Floats) -> float:
    from scipy.special import stdtrit

    pairs, images = values.shape
    rest = values - by_pair[:, None] - by_image + values.mean()
    of_rest = float((rest**2).sum()) / ((pairs - 1) * (images - 1))
    of_pairs = images * float(by_pair.var(ddof=1))
    total = of_pairs + max(pairs * float(by_image.var(ddof=1)) - of_rest, 0.0)
    if of_pairs == 0:
        return _z() * math.sqrt(total / values.size)
    freedom = total**2 / (of_pairs**2 / (pairs - 1))
    return float(stdtrit(freedom, 0.975)) * math.sqrt(total / values.size)


def _z() -> float:
    from scipy.special import ndtri

    return float(ndtri(0.975))
