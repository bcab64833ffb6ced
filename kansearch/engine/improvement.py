"""Expected hypervolume improvement in closed form, for any number of objectives, each known or predicted.

Every cost is to be minimised, and the objectives of a candidate are taken as independent. The region that no point of
the front dominates is cut into disjoint boxes [lower, upper), open downwards. A candidate Y gains in a box

    prod_j (upper_j - max(lower_j, Y_j))+  =  prod_j ((upper_j - Y_j)+ - (lower_j - Y_j)+)

so that its expected gain is a sum over the boxes of products of E[(bound - Y_j)+], which has a closed form:

    known       (bound - y)+
    normal      s (z cdf(z) + pdf(z)),                                z = (bound - mean) / s
    lognormal   bound cdf(z) - exp(mean + s²/2) cdf(z - s),           z = (log bound - mean) / s

Source: the box decomposition for two objectives of Emmerich et al. 2011, doi 10.1109/CEC.2011.5949880, cut here along
one objective after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Belief", "boxes", "expected_gain"]

_Floats = NDArray[np.float64]
_LEAST = 1e-12


@dataclass(frozen=True)
class Belief:
    """One objective of each candidate: mean and standard deviation (N,); 0 where it is known.

    `logarithmic`: they are those of its logarithm.
    """

    mean: _Floats
    spread: _Floats
    logarithmic: bool = False

    @property
    def median(self) -> _Floats:
        """The median cost (N,)."""
        return np.exp(self.mean) if self.logarithmic else self.mean

    def below(self, bounds: _Floats) -> _Floats:
        """Expected amount (N, B) by which each candidate lies below each bound (B,); 0 for a bound of -inf."""
        from scipy.special import ndtr  # type: ignore[import-untyped]

        mean, spread = self.mean[:, None], np.maximum(self.spread, _LEAST)[:, None]
        finite = np.where(np.isfinite(bounds), bounds, 0.0)
        if self.logarithmic:
            place = (np.log(np.maximum(finite, 1e-300)) - mean) / spread
            found = finite * ndtr(place) - np.exp(mean + spread**2 / 2) * ndtr(place - spread)
        else:
            place = (finite - mean) / spread
            density = np.exp(-np.minimum(place**2, 1000.0) / 2) / np.sqrt(2 * np.pi)
            found = spread * (place * ndtr(place) + density)
        amount: _Floats = np.where(np.isfinite(bounds), np.maximum(found, 0.0), 0.0)
        return amount


def boxes(points: _Floats, reference: _Floats) -> tuple[_Floats, _Floats]:
    """Cut what no point dominates, below the reference point (M,), into disjoint boxes.

    Args:
        points: costs (N, M); those that others dominate change nothing.
        reference: the point (M,) up to which gains count.

    Returns:
        lower and upper corners, each (B, M), with lower bounds of -inf. B is at most (N + 1)^(M - 1).
    """
    points = points[(points < reference).all(axis=1)]
    corners = _cut(points, reference)
    return np.array([lower for lower, _ in corners]), np.array([upper for _, upper in corners])


def _cut(points: _Floats, reference: _Floats) -> list[tuple[list[float], list[float]]]:
    """Slices along the last objective; in each, the points below it count with their other objectives."""
    if len(reference) == 1:
        return [([-np.inf], [float(points.min(initial=reference[0]))])]
    levels = [-np.inf, *np.unique(points[:, -1]), float(reference[-1])]
    found = []
    for low, high in pairwise(levels):
        below = points[points[:, -1] <= low][:, :-1]
        if len(reference) == 2:
            found.append(([-np.inf, low], [float(below.min(initial=reference[0])), high]))
        else:
            inner = _cut(_nondominated(below), reference[:-1])
            found += [([*lower, low], [*upper, high]) for lower, upper in inner]
    return found


def _nondominated(points: _Floats) -> _Floats:
    import moocore

    return points if len(points) < 2 else points[moocore.is_nondominated(points)]


def expected_gain(beliefs: list[Belief], lower: _Floats, upper: _Floats) -> _Floats:
    """Expected hypervolume (N,) that each candidate adds; one belief an objective, boxes (B, M)."""
    gains = np.ones((len(beliefs[0].mean), len(upper)))
    for place, belief in enumerate(beliefs):
        gains *= np.maximum(belief.below(upper[:, place]) - belief.below(lower[:, place]), 0.0)
    total: _Floats = gains.sum(axis=1)
    return total
