"""Intervals of means and shares, and chances to be on the front: against tables, scipy.stats, and integrals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import binomtest, t

from kansearch.study.statistics import front_probabilities, half_width, sampling_half_width, undominated

DRAWS = 20_000
TOLERANCE = 4 * math.sqrt(0.25 / DRAWS)


def test_the_interval_is_students() -> None:
    assert half_width([0.9, 0.94]) == pytest.approx(12.706205 * 0.02, rel=1e-6)
    values = [0.91, 0.93, 0.92, 0.95, 0.94]
    deviation = math.sqrt(sum((value - 0.93) ** 2 for value in values) / 4)
    assert half_width(values) == pytest.approx(2.776445 * deviation / math.sqrt(5), rel=1e-6)
    assert half_width(values, confidence=0.99) == pytest.approx(4.604095 * deviation / math.sqrt(5), rel=1e-6)


def test_one_seed_has_no_interval_and_equal_ones_have_none_to_speak_of() -> None:
    assert half_width([]) is None
    assert half_width([0.9]) is None
    assert half_width([0.5, 0.5, 0.5]) == 0.0


def test_nineteen_of_twenty_intervals_hold_the_true_mean() -> None:
    drawn = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 4))
    held = [abs(sample.mean() - 3.0) <= (half_width(list(sample)) or 0.0) for sample in drawn]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("hits", "images"), [(9000, 10_000), (354, 360), (360, 360), (0, 20)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_sampling_of_a_test_split_is_wilsons_interval(hits: int, images: int, confidence: float) -> None:
    interval = binomtest(hits, images).proportion_ci(confidence, method="wilson")
    expected = (interval.high - interval.low) / 2
    assert sampling_half_width(hits / images, images, confidence) == pytest.approx(expected, rel=1e-9)


def test_ten_thousand_images_at_ninety_percent_are_six_tenths_of_a_point() -> None:
    assert sampling_half_width(0.9, 10_000) == pytest.approx(0.0059, abs=5e-5)


def test_equal_points_do_not_beat_each_other() -> None:
    points = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [0.0, 3.0]])
    assert undominated(points).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_points_are_kept_as_moocore_keeps_them(objectives: int) -> None:
    import moocore

    points = np.random.default_rng(objectives).integers(0, 5, size=(50, 12, objectives)).astype(float)
    expected = [moocore.is_nondominated(each, keep_weakly=True).tolist() for each in points]
    assert undominated(points).tolist() == expected


def numbers(values: Sequence[float]) -> NDArray[np.float64]:
    """Seeds of one objective."""
    return np.array(values, dtype=float)[:, None]


def test_of_two_trials_the_chance_is_that_of_a_difference_of_two_t_distributions() -> None:
    """By the convolution of their densities, with the pooled spread and the degrees of freedom of both."""
    first, second = [0.10, 0.14, 0.13], [0.12, 0.17, 0.15, 0.16]
    deviation = math.sqrt((2 * np.var(first, ddof=1) + 3 * np.var(second, ddof=1)) / 5)
    errors = deviation / np.sqrt([3, 4])
    away = np.mean(second) - np.mean(first)
    expected, _ = quad(lambda u: t.pdf(u, 5) * t.cdf((away + errors[1] * u) / errors[0], 5), -60, 60)
    shares = front_probabilities([numbers(first), numbers(second)], DRAWS)
    assert shares.tolist() == pytest.approx([expected, 1 - expected], abs=TOLERANCE)


def test_a_trial_with_one_seed_is_as_uncertain_as_the_others_are() -> None:
    first = [0.10, 0.14, 0.13, 0.11]
    errors = np.std(first, ddof=1) / np.sqrt([4, 1])
    away = 0.16 - np.mean(first)
    expected, _ = quad(lambda u: t.pdf(u, 3) * t.cdf((away + errors[1] * u) / errors[0], 3), -200, 200)
    shares = front_probabilities([numbers(first), numbers([0.16])], DRAWS)
    assert shares[0] == pytest.approx(expected, abs=TOLERANCE)


def test_copies_are_as_likely_as_each_other_and_a_smaller_one_is_certain() -> None:
    seeds = [[0.1, 5], [0.2, 5], [0.3, 5]], [[0.3, 5], [0.1, 5], [0.2, 5]], [[0.9, 1], [0.8, 1], [0.9, 1]]
    shares = front_probabilities([np.array(points, dtype=float) for points in seeds], DRAWS)
    assert shares.tolist() == pytest.approx([0.5, 0.5, 1.0], abs=TOLERANCE)


def test_objectives_that_vary_together_are_drawn_together() -> None:
    """Where the second objective is the first one again, there is one order and never a trade-off."""
    first, second = numbers([0.10, 0.14, 0.13]), numbers([0.12, 0.17, 0.15])
    alone = front_probabilities([first, second], DRAWS)
    together = front_probabilities([np.hstack([each, each]) for each in (first, second)], DRAWS)
    independent = 1 - (1 - alone[0]) ** 2
    assert alone[0] <= together[0] < independent - 0.02


def test_what_cannot_change_is_certain() -> None:
    better, worse, smaller = [[0.1, 9], [0.1, 9]], [[0.4, 9], [0.4, 9]], [[0.9, 1], [0.9, 1]]
    seeds = [np.array(points, dtype=float) for points in (better, worse, smaller)]
    assert front_probabilities(seeds).tolist() == [1.0, 0.0, 1.0]


def test_the_same_seed_gives_the_same_chances() -> None:
    seeds = [np.random.default_rng(index).normal(size=(5, 2)) for index in range(6)]
    first = front_probabilities(seeds)
    assert first.tolist() == front_probabilities(seeds).tolist()
    assert first.tolist() != front_probabilities(seeds, seed=1).tolist()
