"""Two networks on the same images: McNemar's test against scipy, intervals by how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from kansearch.study.paired import mcnemar, paired
from kansearch.study.statistics import half_width


@pytest.mark.parametrize("alone", [(0, 0), (1, 0), (5, 5), (3, 12), (40, 61), (412, 301)])
def test_mcnemars_test_is_the_binomial_one_of_a_half(alone: tuple[int, int]) -> None:
    first, second = alone
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_of_one_pair_the_interval_is_that_of_paired_images() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random(4000) < 0.9, generator.random(4000) < 0.88
    found = paired([first], [second])
    low, high = ttest_rel(first.astype(float), second.astype(float)).confidence_interval(0.95)
    assert found.difference == pytest.approx((low + high) / 2)
    assert found.images == pytest.approx((high - low) / 2, rel=1e-3), "of 4,000 images t is as good as normal"
    assert (found.seeds, found.both) == (None, None)


def test_images_that_both_get_right_or_wrong_do_not_blur_the_difference() -> None:
    easy = np.ones(9000, dtype=bool)
    hard = np.random.default_rng(0).random((2, 1000)) < [[0.5], [0.4]]
    first, second = (np.concatenate([easy, each]) for each in hard)
    apart = 1.96 * math.sqrt(first.var() / 10_000 + second.var() / 10_000)
    assert paired([first], [second]).images < 0.9 * apart


def test_over_seeds_it_is_students_interval_of_the_differences() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((4, 500)) < 0.9, generator.random((4, 500)) < 0.88
    found = paired(list(first), list(second))
    assert found.seeds == pytest.approx(half_width((first.mean(1) - second.mean(1)).tolist()))


def test_a_model_beside_itself_differs_in_nothing() -> None:
    right = list(np.random.default_rng(0).random((3, 200)) < 0.9)
    found = paired(right, right)
    assert (found.difference, found.images, found.seeds, found.both) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("seeds", "between"), [(3, 0.002), (5, 0.02)], ids=["images decide", "seeds decide"])
def test_nineteen_of_twenty_intervals_over_seeds_and_images_hold(seeds: int, between: float) -> None:
    """Images are harder for one of the kinds than for the other, and every training has its own luck."""
    generator = np.random.default_rng(seeds)
    images, held, narrow = 400, [], []
    for _ in range(600):
        kinds = generator.normal(0, 0.12, images)
        sides = []
        for mean, sign in ((0.80, 1), (0.78, -1)):
            chance = mean + sign * kinds + generator.normal(0, between, (seeds, 1))
            sides.append(generator.random((seeds, images)) < chance)
        found = paired(list(sides[0]), list(sides[1]))
        assert found.both is not None
        held.append(abs(found.difference - 0.02) <= found.both)
        narrow.append(abs(found.difference - 0.02) <= found.images)
    assert 0.93 <= np.mean(held) <= 0.995
    if between > 0.01:
        assert np.mean(narrow) < 0.9, "other images alone are not all that chance there is"
