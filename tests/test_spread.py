"""The spread of seeds, told by all trials: against formulas written out, scipy.stats, and by how often it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma, polygamma

from kansearch.study.spread import Spread, pooled_spreads


def told(samples: Sequence[Sequence[float]]) -> list[Spread]:
    return [spread for spread in pooled_spreads(samples) if spread is not None]


def with_variance(variance: float, count: int = 5) -> list[float]:
    """Values of exactly that variance."""
    values = stats.norm.ppf((np.arange(count) + 0.5) / count)
    return list(values * math.sqrt(variance / np.var(values, ddof=1)))


def test_trials_that_differ_alike_have_the_pooled_variance_and_all_degrees_of_freedom() -> None:
    samples = [[0.90, 0.91, 0.92], [0.50, 0.52, 0.53, 0.51], [0.7, 0.715]]
    variances, freedoms = [np.var(values, ddof=1) for values in samples], [2, 3, 1]
    pooled = math.sqrt(sum(d * v for d, v in zip(freedoms, variances, strict=True)) / 6)
    for spread in told(samples):
        assert (spread.deviation, spread.freedom, spread.own) == (pytest.approx(pooled), 6, False)


def test_one_trial_tells_of_itself_as_student_has_it() -> None:
    values = [0.91, 0.93, 0.92, 0.95, 0.94]
    (spread,) = told([values])
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert spread.half_width(5) == pytest.approx((high - low) / 2)
    assert spread.prediction_half_width(5) == pytest.approx((high - low) / 2 * math.sqrt(6))


def test_variances_that_differ_are_squeezed_by_smyths_formulas() -> None:
    """Written out: d₀ solves ψ'(d₀/2) = var(e) - ψ'(d/2), log s₀² = mean(e) + ψ(d₀/2) - log(d₀/2)."""
    variances = np.array([0.2, 0.4, 1.0, 2.0, 4.0, 6.0])
    e = np.log(variances) - digamma(2.0) + np.log(2.0)
    found = told([with_variance(variance) for variance in variances])
    total = found[0].freedom
    prior = total - 4
    assert polygamma(1, prior / 2) == pytest.approx(e.var(ddof=1) - polygamma(1, 2.0), rel=1e-9)
    common = math.exp(e.mean() + digamma(prior / 2) - math.log(prior / 2))
    expected = (prior * common + 4 * variances) / (prior + 4)
    assert [spread.deviation**2 for spread in found] == pytest.approx(expected)
    assert all(spread.freedom == total for spread in found)


def test_order_is_kept_and_extremes_come_nearer() -> None:
    variances = np.array([0.2, 0.4, 1.0, 2.0, 4.0, 6.0])
    squeezed = np.array([spread.deviation**2 for spread in told([with_variance(variance) for variance in variances])])
    assert (np.diff(squeezed) > 0).all()
    assert squeezed[0] > variances[0] and squeezed[-1] < variances[-1]


def test_a_trial_that_differs_clearly_more_keeps_its_own_spread() -> None:
    *others, wild = told([with_variance(variance) for variance in (0.8, 1.0, 1.2, 1.1, 400.0)])
    assert (wild.deviation, wild.freedom, wild.own) == (pytest.approx(20.0), 4, True)
    assert not any(spread.own for spread in others)
    assert all(spread.deviation < 2 for spread in others), "nor does it make them look wild"


def test_equal_seeds_are_no_proof_that_a_trial_never_varies() -> None:
    """Three of three seeds get the same 354 of 360 images right now and then."""
    same, *others = told([[0.9833] * 3, [0.98, 0.985, 0.99], [0.97, 0.98, 0.975], [0.96, 0.972, 0.966]])
    assert 0 < same.deviation <= min(spread.deviation for spread in others)


def test_a_single_seed_has_the_spread_of_the_others() -> None:
    one, *others = told([[0.5], [0.90, 0.91, 0.92], [0.80, 0.82, 0.81]])
    assert one == others[0]


def test_where_no_trial_has_two_seeds_nothing_is_told() -> None:
    assert pooled_spreads([[0.5], [0.6], []]) == [None, None, None]
    assert pooled_spreads([]) == []


def test_what_never_varies_has_no_width() -> None:
    assert [spread.half_width(3) for spread in told([[5.0] * 3, [7.0] * 3])] == [0.0, 0.0]


@pytest.mark.parametrize("differing", [0.0, 0.5], ids=["trials alike", "trials apart by a factor of 1.6"])
@pytest.mark.parametrize("seeds", [3, 5])
def test_nineteen_of_twenty_intervals_hold_and_are_narrower_than_a_trials_own(differing: float, seeds: int) -> None:
    generator = np.random.default_rng(seeds)
    held, predicted, narrower = [], [], []
    for _ in range(250):
        deviations = np.exp(generator.normal(0, differing, 12))
        drawn = deviations[:, None] * generator.normal(size=(12, seeds + 1))
        samples, next_ones = drawn[:, :-1], drawn[:, -1]
        for values, another, spread in zip(samples, next_ones, told(samples.tolist()), strict=True):
            held.append(abs(values.mean()) <= spread.half_width(seeds))
            predicted.append(abs(another - values.mean()) <= spread.prediction_half_width(seeds))
            own = stats.t.ppf(0.975, seeds - 1) * stats.sem(values)
            narrower.append(spread.half_width(seeds) - own)
    assert 0.92 <= np.mean(held) <= 0.97
    assert 0.92 <= np.mean(predicted) <= 0.97
    assert np.mean(narrower) < 0
