"""Intervals of means, and chances to be on the front: against tables, and against every resample there is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from kansearch.study.statistics import front_probabilities, half_width, undominated

RESAMPLES = 20_000


def enumerated(seeds: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    """By every resample of every trial's seeds, each as likely as the others, in exact fractions."""
    means = [[mean(drawn) for drawn in itertools.product(points, repeat=len(points))] for points in seeds]
    resamples = list(itertools.product(*means))
    kept = [[not any(beats(other, point) for other in points) for point in points] for points in resamples]
    return [sum(column) / len(resamples) for column in zip(*kept, strict=True)]


def mean(points: Sequence[Sequence[float]]) -> list[Fraction]:
    return [sum(Fraction(str(value)) for value in column) / len(points) for column in zip(*points, strict=True)]


def beats(other: Sequence[Fraction], point: Sequence[Fraction]) -> bool:
    return other != point and all(a <= b for a, b in zip(other, point, strict=True))


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


def test_equal_points_do_not_beat_each_other() -> None:
    points = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [0.0, 3.0]])
    assert undominated(points).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_points_are_kept_as_moocore_keeps_them(objectives: int) -> None:
    import moocore

    points = np.random.default_rng(objectives).integers(0, 5, size=(50, 12, objectives)).astype(float)
    expected = [moocore.is_nondominated(each, keep_weakly=True).tolist() for each in points]
    assert undominated(points).tolist() == expected


CASES: dict[str, list[list[list[float]]]] = {
    "overlapping": [[[0.10], [0.30]], [[0.20], [0.25]]],
    "with an exact objective": [[[0.1, 5], [0.3, 5]], [[0.2, 5], [0.2, 5]], [[0.25, 3], [0.05, 3]]],
    "one seed beside three": [[[0.2, 1]], [[0.1, 1], [0.2, 1], [0.3, 1]]],
    "three objectives": [[[1, 2, 3], [3, 2, 1]], [[2, 2, 2], [2, 1, 2]], [[1, 3, 1], [3, 3, 3]]],
    "copies": [[[0.1], [0.2], [0.3]], [[0.3], [0.1], [0.2]]],
    "alone": [[[0.1, 2], [0.2, 2]]],
}


@pytest.mark.parametrize("case", CASES)
def test_chances_are_those_of_all_resamples(case: str) -> None:
    seeds = [np.array(points, dtype=float) for points in CASES[case]]
    expected = enumerated(CASES[case])
    tolerance = 4 * math.sqrt(0.25 / RESAMPLES)
    assert front_probabilities(seeds, RESAMPLES).tolist() == pytest.approx(expected, abs=tolerance)


def test_what_cannot_change_is_certain() -> None:
    better, worse, smaller = [[0.1, 9], [0.2, 9]], [[0.4, 9], [0.3, 9]], [[0.9, 1], [0.8, 1]]
    seeds = [np.array(points, dtype=float) for points in (better, worse, smaller)]
    assert front_probabilities(seeds).tolist() == [1.0, 0.0, 1.0]


def test_the_same_seed_gives_the_same_chances() -> None:
    seeds = [np.random.default_rng(index).normal(size=(5, 2)) for index in range(6)]
    first = front_probabilities(seeds)
    assert first.tolist() == front_probabilities(seeds).tolist()
    assert first.tolist() != front_probabilities(seeds, seed=1).tolist()
