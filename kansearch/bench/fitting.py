"""Fits a recording's surrogate, measures its error on configurations that it did not see, and finds its front.

Held out is every fifth configuration. The kernels are fitted on the others alone, and then used with all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kansearch.bench.encoding import Encoder
from kansearch.bench.gaussian import Kernel, fit_kernel
from kansearch.bench.surrogate import Surrogate, Table, components_of, tabulate
from kansearch.bench.table import Recording
from kansearch.space.unit import UnitSuggest

__all__ = ["fit_surrogate", "held_out_errors"]

_Floats = NDArray[np.float64]
_COMPONENTS = 5
_FOLDS = 5


def fit_surrogate(recording: Recording, iterations: int = 60, generations: int = 30) -> dict[str, Any]:
    """Fit and return as JSON both kernels, the held-out errors, and the front as [accuracy, parameters] pairs."""
    encoder = Encoder(recording.space, recording.blocks)
    table = tabulate(recording, encoder)
    seen = np.arange(len(table.keys)) % _FOLDS != _FOLDS - 1
    kernels = _kernels(table.part(seen), iterations)
    errors = held_out_errors(Surrogate(encoder, table.part(seen), kernels), table.part(~seen), table)
    front = find_front(recording, encoder, Surrogate(encoder, table, kernels), generations)
    return {
        "curves": kernels[0].document(),
        "seconds": kernels[1].document(),
        "held_out": errors,
        "front": [[float(f"{accuracy:.6f}"), size] for size, accuracy in sorted(front.items())],
    }


def _kernels(table: Table, iterations: int) -> tuple[Kernel, Kernel]:
    scores = components_of(table.rows, _COMPONENTS).scores(table.rows)
    known = np.isfinite(table.log_seconds)
    return (
        fit_kernel(table.vectors, scores, iterations),
        fit_kernel(table.vectors[known], table.log_seconds[known, None], iterations),
    )


def held_out_errors(surrogate: Surrogate, unseen: Table, table: Table) -> dict[str, Any]:
    """How far the surrogate's predictions lie from configurations that it does not know.

    Accuracies in percentage points after the last epoch: mean and median |error|, and the same of always the mean of
    the logarithms. Then rank correlation (Spearman), the share of the variance of log error that is explained, and the
    standard deviation between seeds beside it. Last the median |log| of the ratio of the seconds.
    """
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    rows, seconds = surrogate.predict(unseen.vectors, unseen.parameters)
    last = unseen.rows.shape[1] // 3 - 1
    true, predicted = unseen.rows[:, last], rows[:, last]
    points = 100 * np.abs(np.exp(true) - np.exp(predicted))
    trivial = 100 * np.abs(np.exp(true) - math.exp(float(table.rows[:, last].mean())))
    known = np.isfinite(unseen.log_seconds)
    ratio = np.exp(np.median(np.abs(seconds - unseen.log_seconds)[known]))
    seed_spread = 100 * np.exp(table.levels) * np.abs(table.deviations[:, last])
    return {
        "configurations": len(true),
        "accuracy_mean_error": _rounded(points.mean()),
        "accuracy_median_error": _rounded(np.median(points)),
        "accuracy_mean_error_of_the_mean": _rounded(trivial.mean()),
        "accuracy_median_between_seeds": _rounded(np.median(seed_spread)),
        "log_error_explained": _rounded(1 - ((true - predicted) ** 2).mean() / true.var()),
        "rank_correlation": _rounded(spearmanr(true, predicted).statistic),
        "seconds_median_ratio": _rounded(ratio),
    }


def find_front(recording: Recording, encoder: Encoder, surrogate: Surrogate, generations: int) -> dict[int, float]:
    """The best true accuracy found for each number of parameters on the front: evolution from random configurations.

    Each generation changes one or two coordinates of the front's points, by a little or to anything.
    """
    rng = np.random.default_rng(0)
    search = _Evolution(recording, encoder, surrogate)
    search.add(rng.random((2000, search.dimensions)))
    for _ in range(generations):
        parents = search.points[rng.integers(len(search.points), size=600)]
        changed = rng.random(parents.shape) < 2 / search.dimensions
        near = np.clip(parents + 0.1 * rng.standard_normal(parents.shape), 0, 1 - 1e-12)
        anew = np.where(rng.random(parents.shape) < 0.5, near, rng.random(parents.shape))
        search.add(np.where(changed, anew, parents))
    return {int(size): float(1 - error) for size, error in search.values}


class _Evolution:
    """The non-dominated of all points of the unit cube that were added."""

    def __init__(self, recording: Recording, encoder: Encoder, surrogate: Surrogate) -> None:
        self._space, self._encoder, self._surrogate = recording.space, encoder, surrogate
        self._names = list(recording.space.hyperparameters())
        self._most = float(recording.space.constraints.get("parameters", math.inf))
        self.dimensions = len(self._names)
        self.points: _Floats = np.empty((0, self.dimensions))
        self.values: _Floats = np.empty((0, 2))
        """(parameters, error) of each point."""

    def add(self, points: _Floats) -> None:
        import moocore

        pairs = [self._pair(point) for point in points]
        kept = [k for k, (_, _, size) in enumerate(pairs) if size <= self._most]
        sizes = np.array([pairs[k][2] for k in kept], dtype=np.float64)
        rows, _ = self._surrogate.predict(self._encoder.matrix([pairs[k][:2] for k in kept]), sizes)
        errors = np.exp(rows[:, rows.shape[1] // 3 - 1])
        values = np.stack([sizes, errors], axis=1)
        self.points = np.concatenate([self.points, points[kept]])
        self.values = np.concatenate([self.values, values])
        best = moocore.is_nondominated(self.values)
        self.points, self.values = self.points[best], self.values[best]

    def _pair(self, point: _Floats) -> tuple[Mapping[str, Any], Mapping[str, Any], int]:
        suggest = UnitSuggest(dict(zip(self._names, point.tolist(), strict=True)))
        config = self._space.sample(suggest).model_dump(mode="json")
        return suggest.asked, config, self._encoder.sizes(config).parameters


def _rounded(value: Any) -> float:
    return float(f"{float(value):.4g}")
