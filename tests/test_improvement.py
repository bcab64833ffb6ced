"""Expected hypervolume improvement: boxes fill what no point dominates; the closed form agrees with Monte Carlo."""

from __future__ import annotations

import moocore
import numpy as np
import pytest

from kansearch.engine.improvement import Belief, boxes, expected_gain


def front(objectives: int, count: int, seed: int) -> np.ndarray:
    """Points, dominated ones among them."""
    return np.random.default_rng(seed).random((count, objectives))


def gain(points: np.ndarray, candidate: np.ndarray) -> float:
    """Hypervolume that one more point adds, up to a reference of 1."""
    reference = [1.0] * points.shape[1]
    return float(
        moocore.hypervolume(np.vstack([points, candidate]), ref=reference) - moocore.hypervolume(points, ref=reference)
    )


def known(candidate: np.ndarray) -> list[Belief]:
    return [Belief(np.array([value]), np.zeros(1)) for value in candidate]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_boxes_are_disjoint_and_hold_what_no_point_dominates(objectives: int) -> None:
    points = front(objectives, 7, seed=objectives)
    lower, upper = boxes(points, np.ones(objectives))
    places = np.random.default_rng(9).random((2000, objectives))
    inside = ((places[:, None] >= lower) & (places[:, None] < upper)).all(axis=2).sum(axis=1)
    dominated = (points[None] <= places[:, None]).all(axis=2).any(axis=1)
    assert (inside == ~dominated).all()


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_a_candidate_that_is_known_gains_what_it_adds_to_the_hypervolume(objectives: int) -> None:
    points = front(objectives, 6, seed=objectives + 10)
    corners = boxes(points, np.ones(objectives))
    for candidate in np.random.default_rng(3).random((20, objectives)) * 1.1:
        added = expected_gain(known(candidate), *corners)
        assert added[0] == pytest.approx(gain(points, candidate), abs=1e-12)


def test_without_a_front_everything_below_the_reference_is_gained() -> None:
    corners = boxes(np.zeros((0, 2)), np.ones(2))
    assert expected_gain(known(np.array([0.25, 0.5])), *corners)[0] == pytest.approx(0.75 * 0.5)


@pytest.mark.parametrize(
    ("means", "spreads", "logarithmic"),
    [
        ((0.3, 0.4), (0.0, 0.2), (False, False)),  # the first objective is known
        ((-1.5, 0.4), (0.5, 0.0), (True, False)),
        ((-1.2, -0.9), (0.3, 0.4), (True, True)),
        ((0.3, -1.0, 0.5), (0.0, 0.4, 0.3), (False, True, False)),
    ],
)
def test_the_closed_form_agrees_with_monte_carlo(
    means: tuple[float, ...], spreads: tuple[float, ...], logarithmic: tuple[bool, ...]
) -> None:
    points = front(len(means), 5, seed=4)
    rng = np.random.default_rng(5)
    drawn = np.array(means) + np.array(spreads) * rng.standard_normal((4000, len(means)))
    drawn = np.where(logarithmic, np.exp(drawn), drawn)
    gains = [gain(points, candidate) for candidate in drawn]
    beliefs = [
        Belief(np.array([mean]), np.array([spread]), log)
        for mean, spread, log in zip(means, spreads, logarithmic, strict=True)
    ]
    expected = expected_gain(beliefs, *boxes(points, np.ones(len(means))))[0]
    assert expected == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / 4000**0.5)


def test_candidates_are_scored_side_by_side() -> None:
    points, candidates = front(2, 5, seed=1), np.random.default_rng(2).random((8, 2))
    beliefs = [Belief(candidates[:, place], np.full(8, 0.1)) for place in range(2)]
    corners = boxes(points, np.ones(2))
    one_by_one = [
        expected_gain([Belief(each.mean[[index]], each.spread[[index]]) for each in beliefs], *corners)[0]
        for index in range(8)
    ]
    np.testing.assert_allclose(expected_gain(beliefs, *corners), one_by_one)
