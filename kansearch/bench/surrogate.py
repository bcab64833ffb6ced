"""A surrogate of a recorded benchmark: the learning curve of any configuration of its space.

    sizes             counted, exact
    a recorded one    the mean over its seeds, on the scale of `kansearch.bench.curves`
    any other         Gaussian processes: one for the curves' principal components, one for the seconds of an epoch
    what is observed  the same, and the deviation from the mean of a recorded run, times √(n / (n - 1)) for n seeds. Of
                      the 30 whose configurations come nearest in last error, one is drawn at random

What is not observed is the truth by which a simulated search is judged.

A search looks for where the surrogate promises most, which is where it is most likely too optimistic. Unbounded, it
promised half of the error of the best network that was recorded at a size. So errors are bent to a floor. Let y be the
logarithm of an error, and f that of 0.85 times the least error recorded at no more parameters. Then y becomes f +
s·log(1 + exp((y - f) / s)), s = 0.1. Above the least error recorded itself that changes y by less than 0.02.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kansearch.bench.counting import Sizes
from kansearch.bench.curves import diverged, from_row, to_row
from kansearch.bench.encoding import Encoder
from kansearch.bench.gaussian import GaussianProcess, Kernel
from kansearch.bench.table import RecordedRun, Recording
from kansearch.errors import KansearchError
from kansearch.space import Scalar, point_of
from trials.data.datasets import data_shape

__all__ = ["Components", "Surrogate", "Table", "components_of", "hyperparameters_of", "load_surrogate", "tabulate"]

_Floats = NDArray[np.float64]
_NEAR = 30
_FLOOR, _BEND = 0.85, 0.1
_BLOCKS = (2.0, 1.0, 0.5)
"""Weights of accuracy, validation and training loss among the principal components."""


@dataclass(frozen=True)
class Table:
    """The configurations of a recording, a row each: their vectors, mean curves and log seconds of an epoch. Beside
    them the `deviations` of the repeated ones' runs, with the last log error of their configurations."""

    keys: Sequence[str]
    vectors: _Floats
    parameters: _Floats
    rows: _Floats
    log_seconds: _Floats
    deviations: _Floats
    levels: _Floats

    def part(self, chosen: NDArray[np.bool_]) -> Table:
        """The chosen configurations, with all deviations."""
        keys = [key for key, wanted in zip(self.keys, chosen, strict=True) if wanted]
        return replace(
            self,
            keys=keys,
            vectors=self.vectors[chosen],
            parameters=self.parameters[chosen],
            rows=self.rows[chosen],
            log_seconds=self.log_seconds[chosen],
        )


@dataclass(frozen=True)
class Components:
    """Principal components of curves: row = mean + scores @ axes."""

    mean: _Floats
    axes: _Floats

    def scores(self, rows: _Floats) -> _Floats:
        """(N, 3 E) -> (N, K)."""
        found: _Floats = np.linalg.lstsq(self.axes.T, (rows - self.mean).T)[0].T.astype(np.float64)
        return found


def tabulate(recording: Recording, encoder: Encoder) -> Table:
    """Collect what the surrogate knows; runs that failed for their machine are left out."""
    classes, epochs = data_shape(recording.space.data).classes, recording.epochs
    groups: dict[int, list[RecordedRun]] = {}
    for run in recording.runs:
        if run.state == "complete" or diverged(run):
            groups.setdefault(run.index, []).append(run)
    rows = [np.stack([to_row(run, epochs, classes) for run in runs]) for runs in groups.values()]
    repeated = [each for each in rows if len(each) > 1]
    deviations = [(each - each.mean(0)) * (len(each) / (len(each) - 1)) ** 0.5 for each in repeated]
    levels = [np.full(len(each), each.mean(0)[epochs - 1]) for each in repeated]
    first = [runs[0] for runs in groups.values()]
    return Table(
        keys=[_key(run.hyperparameters) for run in first],
        vectors=encoder.matrix([(run.hyperparameters, run.config) for run in first]),
        parameters=np.array([encoder.sizes(run.config).parameters for run in first], dtype=np.float64),
        rows=np.stack([each.mean(0) for each in rows]),
        log_seconds=np.array([_log_seconds(runs) for runs in groups.values()]),
        deviations=np.concatenate(deviations) if deviations else np.zeros((1, 3 * epochs)),
        levels=np.concatenate(levels) if levels else np.zeros(1),
    )


def components_of(rows: _Floats, count: int) -> Components:
    """The first `count` components of curves (N, 3 E)."""
    weights = np.repeat(_BLOCKS, rows.shape[1] // 3)
    mean = rows.mean(0)
    axes = np.linalg.svd((rows - mean) * weights, full_matrices=False)[2][:count] / weights
    return Components(mean, axes)


class Surrogate:
    """Curves of one space's configurations.

    Args:
        encoder: of the space.
        table: what was recorded.
        kernels: of the curves' components, and of the seconds.
    """

    def __init__(self, encoder: Encoder, table: Table, kernels: tuple[Kernel, Kernel]) -> None:
        curves, seconds = kernels
        self._encoder, self._table = encoder, table
        self._recorded = {key: place for place, key in enumerate(table.keys)}
        self._components = components_of(table.rows, len(curves.noise))
        self._curves = GaussianProcess(table.vectors, self._components.scores(table.rows), curves)
        known = np.isfinite(table.log_seconds)
        self._seconds = GaussianProcess(table.vectors[known], table.log_seconds[known, None], seconds)

    def bounded(self, rows: _Floats, parameters: _Floats) -> _Floats:
        """Rows of curves with errors bent to the floor of networks of `parameters` parameters; all epochs alike."""
        epochs = rows.shape[1] // 3
        order = np.argsort(self._table.parameters, kind="stable")
        least = np.minimum.accumulate(self._table.rows[order, epochs - 1])
        floor = np.interp(np.log(parameters), np.log(self._table.parameters[order]), least) + np.log(_FLOOR)
        last = rows[:, epochs - 1]
        bent = floor + _BEND * np.logaddexp(0, (last - floor) / _BEND)
        moved: _Floats = rows + (bent - last)[:, None] * (np.arange(rows.shape[1]) < epochs)
        return moved

    def sizes(self, config: Mapping[str, Any]) -> Sizes:
        """Parameters and FLOPs of a configuration's network, exact."""
        return self._encoder.sizes(config)

    def predict(self, vectors: _Floats, parameters: _Floats) -> tuple[_Floats, _Floats]:
        """Rows of curves (Q, 3 E) and log seconds (Q,) at vectors (Q, D) of networks of so many parameters (Q,),
        whether recorded or not."""
        rows = self._components.mean + self._curves(vectors) @ self._components.axes
        rows = self.bounded(np.minimum(rows, np.log(_largest(rows.shape[1]))), parameters)
        return rows, self._seconds(vectors)[:, 0]

    def truth(self, hyperparameters: Mapping[str, Scalar], config: Mapping[str, Any]) -> tuple[_Floats, float]:
        """The row of curves (3 E,) and the seconds of an epoch of one configuration."""
        parameters = np.array([self.sizes(config).parameters], dtype=np.float64)
        rows, seconds = self.predict(self._encoder.vector(hyperparameters, config)[None], parameters)
        place = self._recorded.get(_key(hyperparameters))
        if place is None:
            return rows[0], float(np.exp(seconds[0]))
        recorded = self._table.log_seconds[place]
        return self._table.rows[place], float(np.exp(recorded if np.isfinite(recorded) else seconds[0]))

    def noise(self, row: _Floats, rng: np.random.Generator) -> _Floats:
        """Draw what a seed adds to a row of curves."""
        away = np.abs(self._table.levels - row[len(row) // 3 - 1])
        near = np.argsort(away, kind="stable")[:_NEAR]
        deviation: _Floats = self._table.deviations[rng.choice(near)]
        return deviation

    def curve(
        self, hyperparameters: Mapping[str, Scalar], config: Mapping[str, Any], rng: np.random.Generator | None = None
    ) -> list[dict[str, Any]]:
        """Every epoch's `EpochResult` as a mapping; without `rng` the true one."""
        return self.results(*self.truth(hyperparameters, config), config, rng)

    def results(
        self, row: _Floats, seconds: float, config: Mapping[str, Any], rng: np.random.Generator | None
    ) -> list[dict[str, Any]]:
        """The same of a configuration whose `truth` is known."""
        sizes = self.sizes(config)
        curves = from_row(row if rng is None else row + self.noise(row, rng))
        return [
            {
                "epoch": epoch + 1,
                **{name: float(values[epoch]) for name, values in curves.items()},
                "seconds": seconds,
                "parameters": sizes.parameters,
                "flops": sizes.flops,
            }
            for epoch in range(len(row) // 3)
        ]


def load_surrogate(recording: Recording) -> Surrogate:
    """The surrogate, with the kernels that were fitted when the recording was written. KansearchError without them."""
    fitted = recording.about.get("surrogate")
    if fitted is None:
        raise KansearchError(f"recorded benchmark {recording.name} has no fitted surrogate; write it again")
    encoder = Encoder(recording.space, recording.blocks)
    kernels = Kernel.of(fitted["curves"]), Kernel.of(fitted["seconds"])
    return Surrogate(encoder, tabulate(recording, encoder), kernels)


def hyperparameters_of(recording: Recording, config: Mapping[str, Any]) -> Mapping[str, Scalar]:
    """Hyperparameters by which the recording's space draws `config`. Raises KansearchError where it does not."""
    point = point_of(recording.space.tree, config)
    if point.mismatches:
        raise KansearchError(f"recorded benchmark {recording.name}: {point.mismatches[0]}")
    return point.hyperparameters


def _largest(columns: int) -> _Floats:
    """Bounds above which no prediction goes: an error of 1, losses of 20 nats."""
    return np.repeat((1.0, 20.0, 20.0), columns // 3)


def _log_seconds(runs: Sequence[RecordedRun]) -> float:
    seconds = np.concatenate([run.curves["seconds"] for run in runs])
    return float(np.log(np.median(seconds))) if len(seconds) else float("nan")


def _key(hyperparameters: Mapping[str, Scalar]) -> str:
    return json.dumps(dict(hyperparameters), sort_keys=True)
