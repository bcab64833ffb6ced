"""Statistics of a trial's seeds: the interval of a mean, and how sure the trial's place on the front is. No I/O.

Also the uncertainty of an accuracy that comes from the size of the test split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kansearch.study.spread import Spread, pooled_spreads

__all__ = ["front_probabilities", "half_width", "sampling_half_width", "undominated"]

_Floats = NDArray[np.float64]
_DIGITS = 12  # the same seeds drawn in another order have the same mean


def half_width(values: Sequence[float], confidence: float = 0.95) -> float | None:
    """Half the width of the confidence interval of a mean, by Student's t distribution: t · s / √n.

    s is the sample standard deviation of the n values, with n - 1 degrees of freedom. The values are taken for
    independent and normal. None for fewer than two.
    """
    if len(values) < 2:
        return None
    return Spread(float(np.std(values, ddof=1)), len(values) - 1).half_width(len(values), confidence)


def sampling_half_width(share: float, images: int, confidence: float = 0.95) -> float:
    """Half the width of Wilson's interval of a share of `images` images: how far off an accuracy may be because the
    test split is a sample. With several seeds on the same images it is an upper bound for their mean.

    (Wilson 1927, Journal of the American Statistical Association 22, 209)
    """
    from scipy.special import ndtri  # type: ignore[import-untyped] # scipy.stats takes a second to load

    z = float(ndtri((1 + confidence) / 2))
    return z / (1 + z * z / images) * math.sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2)


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


def front_probabilities(seeds: Sequence[_Floats], draws: int = 10_000, seed: int = 0) -> _Floats:
    """For each of p trials, how likely its true point is on the front, given its seeds.

    Each objective of each trial is drawn as mean + t · s̃ / √n, with the pooled spread and the degrees of freedom of
    `kansearch.study.spread`. Trials are drawn independently of each other; objectives are correlated as seeds are
    within trials. A percentile bootstrap of a few seeds claims too much: its spread is too small by √((n - 1) / n) and
    has no t.

    Where there are trials enough, means are first moved towards what the trials have in common: of many that measure
    alike, the best one was lucky too. In simulations of 12 trials (`tests/test_calibration.py`) at least 0.93 of what
    is called 0.9 or more is true, whether or not a larger size brings something. A low share is no proof: of what is
    called 0.1 or less up to 0.17 is true there, and more where all true values lie close to one line.

    Args:
        seeds: of each trial an array (n, m): m objectives of n seeds, n >= 1, signed so that less is better.
        draws: how often to draw; the standard error of a share q is √(q (1 - q) / draws).
        seed: of the generator. Same arguments, same shares.

    Returns:
        An array (p,) in [0, 1].
    """
    generator = np.random.default_rng(seed)
    trials, objectives = len(seeds), seeds[0].shape[1]
    means = np.stack([points.mean(axis=0) for points in seeds])  # (p, m)
    columns = [pooled_spreads([points[:, column].tolist() for points in seeds]) for column in range(objectives)]
    errors, freedoms = np.zeros((trials, objectives)), np.ones((trials, objectives))
    for column, spreads in enumerate(columns):
        for row, spread in enumerate(spreads):
            if spread is not None:
                errors[row, column] = spread.deviation / math.sqrt(len(seeds[row]))
                freedoms[row, column] = spread.freedom
    size = (draws, trials)
    normal = generator.multivariate_normal(np.zeros(objectives), _correlation(seeds), size, method="eigh")
    t = normal / np.sqrt(generator.chisquare(freedoms, (*size, objectives)) / freedoms)  # (draws, p, m)
    exact = (errors == 0).all(axis=0)
    for column in map(int, np.flatnonzero(~exact)):
        means[:, column], errors[:, column] = _shrunk(means[:, column], errors[:, column], means[:, exact])
    shares: _Floats = undominated((means + t * errors).round(_DIGITS)).mean(axis=0)
    return shares


def _shrunk(means: _Floats, errors: _Floats, exact: _Floats) -> tuple[_Floats, _Floats]:
    """Means (p,) moved towards what the trials have in common, and the standard errors (p,) that they then have.

    True values are taken for normal about a line in the ranks of the exact objectives (p, e). How far they lie from it
    is read from how much more the means differ than their errors let them. (Morris 1983, Journal of the American
    Statistical Association 78, 47, (1.17) and (5.3)) Too few trials tell nothing, and stay as they are.
    """
    ranks = exact.argsort(axis=0).argsort(axis=0).astype(float)
    design = np.column_stack([np.ones(len(means)), *ranks.T])
    coefficients, _, fitted, _ = np.linalg.lstsq(design, means, rcond=None)
    left = len(means) - int(fitted)
    if left <= 2:
        return means, errors
    line = design @ coefficients
    variances, residuals = errors**2, (means - line) ** 2
    between = max(float(residuals.sum() / left - variances.mean()), 0.0)
    pull = (left - 2) / left * variances / (variances + between)
    doubt = 2 / (left - 2) * pull**2 * residuals
    return line + (1 - pull) * (means - line), np.sqrt(variances * (1 - left / len(means) * pull) + doubt)


def _correlation(seeds: Sequence[_Floats]) -> _Floats:
    """How objectives vary together between the seeds of a trial, (m, m); one that does not vary is independent."""
    residuals = np.concatenate([points - points.mean(axis=0) for points in seeds])
    scale = np.sqrt((residuals**2).sum(axis=0))
    residuals = residuals / np.where(scale > 0, scale, 1.0)
    found: _Floats = residuals.T @ residuals
    np.fill_diagonal(found, 1.0)
    return found
