"""What is called likely to be on the front is on it: simulated confirmations of trials whose true front is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kansearch.study.statistics import front_probabilities, undominated

TRIALS, STUDIES, DRAWS = 12, 150, 500


def judged(
    seeds: int, apart: float, differing: float, gain: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What was said of each trial of many studies, and whether it is on the true front.

    Each size is `gain` spreads of the seeds better than the one before, in the mean; `apart` is how far true values lie
    from that line, in spreads; `differing` is how much spreads differ (standard deviation of their logarithms). The
    smallest trials, always on the front, are left out.
    """
    generator = np.random.default_rng(seeds)
    sizes = np.arange(TRIALS, dtype=float)
    said, true = [], []
    for study in range(STUDIES):
        errors = -gain * sizes + generator.normal(0, apart, TRIALS)
        spreads = np.exp(generator.normal(0, differing, TRIALS))
        measured = errors[:, None] + spreads[:, None] * generator.normal(size=(TRIALS, seeds))
        points = [np.stack([values, np.full(seeds, size)], -1) for values, size in zip(measured, sizes, strict=True)]
        said.append(front_probabilities(points, DRAWS, seed=study)[1:])
        true.append(undominated(np.stack([errors, sizes], -1))[1:])
    return np.concatenate(said), np.concatenate(true)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("gain", [0.0, 0.25, 0.5])
def test_of_what_is_called_likely_at_least_seventeen_twentieths_is_true(seeds: int, gain: float) -> None:
    cells = [judged(seeds, apart, differing, gain) for apart in (0.33, 0.5, 1.0) for differing in (0.0, 0.5)]
    said, true = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    likely = said >= 0.9
    assert likely.sum() > 100
    assert true[likely].mean() >= 0.85


def test_a_few_trials_or_known_values_are_taken_as_they_are() -> None:
    """With three trials nothing tells how far true values lie apart: as without a prior."""
    points = [
        np.array([[mean - 1.0, size], [mean, size], [mean + 1.0, size]]) for mean, size in ((0, 3), (0.5, 2), (1, 1))
    ]
    alone = front_probabilities(points, 20_000)
    assert alone[2] == 1.0
    assert 0.5 < alone[1] < 0.95
    assert front_probabilities([each[:, 1:] for each in points], 100).tolist() == [0.0, 0.0, 1.0]
