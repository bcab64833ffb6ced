"""`Confirmed`: what a trial is worth after several more trainings, beside what the search had measured.

A trial of a front was chosen because it measured well, by luck too: its validation score at selection is likely to be
better than it is. The seeds here are new trainings on all training images, none with the seed that the search had, and
the test split chose nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from kansearch.space import Direction
from kansearch.study.figures import number
from kansearch.study.front import front_of, knee
from kansearch.study.objectives import signed
from kansearch.study.records import State, TrialRecord
from kansearch.study.seeds import SeedRecord
from kansearch.study.spread import LEAST_SEEDS, Spread, pooled_spreads
from kansearch.study.statistics import front_probabilities, sampling_half_width
from trials.metrics import COUNTED, EXACT, ON_TEST, is_dense

__all__ = ["Confirmed", "confirmed", "knee_of"]


@dataclass(frozen=True)
class Confirmed:
    """A trial and its seeds."""

    trial: TrialRecord
    """The trial as the search left it."""
    runs: Sequence[SeedRecord]
    """The runs by seed, failed ones too; none has the seed that the search had."""
    objectives: Mapping[str, Direction]
    probability: float | None = None
    """Probability of being on the front of the confirmed trials, on these test images; None with fewer than
    `LEAST_SEEDS` seeds."""
    on_front: bool = False
    """Whether its means are on the front of the confirmed trials' means."""
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    """How much its seeds differ in each of `samples`, told by all confirmed trials; empty where nothing tells it."""

    @cached_property
    def complete(self) -> list[SeedRecord]:
        """Seeds that count."""
        return [run for run in self.runs if run.state == "complete"]

    @cached_property
    def samples(self) -> dict[str, list[float]]:
        """Values of each objective, and of each figure of the test split, one for each complete seed."""
        names = [name for name in self.metrics if name.startswith("test_")]
        rows = [{**{name: run.metrics[name] for name in names}, **run.values} for run in self.complete]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    @cached_property
    def mean(self) -> dict[str, float]:
        """Means of `samples`."""
        return {name: fmean(values) for name, values in self.samples.items()}

    @cached_property
    def half(self) -> dict[str, float | None]:
        """Half widths of the 95 % intervals of the means; None with fewer than `LEAST_SEEDS` seeds, unless the value is
        known exactly."""
        return {name: 0.0 if name in EXACT else self._half_width(name) for name in self.samples}

    @property
    def predicted(self) -> dict[str, float]:
        """Half widths of the intervals about the means in which one more seed lies (95 %), of what is not exact; empty
        with fewer than `LEAST_SEEDS` seeds. A single run of others is compared with these."""
        seeds = len(self.complete)
        known = {name: spread for name, spread in self.spreads.items() if name not in EXACT and seeds >= LEAST_SEEDS}
        return {name: spread.prediction_half_width(seeds) for name, spread in known.items()}

    def _half_width(self, name: str) -> float | None:
        seeds, spread = len(self.complete), self.spreads.get(name)
        return None if spread is None or seeds < LEAST_SEEDS else spread.half_width(seeds)

    @cached_property
    def sampling(self) -> dict[str, float]:
        """How far off each objective may be that is a share of test images, such as accuracy, because these are a
        sample (95 %). No interval over seeds holds that. Empty where there is no such objective, or it is of pixels."""
        shares = {name: value for name, value in self.values.items() if name in COUNTED}
        if not shares or any(is_dense(run.test) for run in self.complete):
            return {}
        images = min(int(run.test["images"]) for run in self.complete)
        return {name: sampling_half_width(value, images) for name, value in shares.items()}

    @property
    def wide(self) -> list[str]:
        """Objectives in which its seeds differ clearly more than those of the other trials."""
        return [name for name in self.objectives if name in self.spreads and self.spreads[name].own]

    @property
    def values(self) -> dict[str, float]:
        """Means of the objectives; empty without a complete seed."""
        return {name: self.mean[name] for name in self.objectives} if self.complete else {}

    @cached_property
    def differences(self) -> dict[str, float]:
        """Value at selection minus the confirmed mean, for each objective that is measured on images."""
        selected = self.trial.values
        return {name: selected[name] - self.mean[name] for name in self.values if name in ON_TEST and name in selected}

    def value(self, name: str) -> float:
        """The mean of an objective or of another measurement; of a trial with a complete seed."""
        return self.mean.get(name, self.metrics.get(name, math.nan))

    def written(self, name: str) -> str:
        """The mean of an objective or of another figure, `0.9722 ± 0.0051` where there is an interval; - without."""
        if name not in self.mean:
            return number(name, self.metrics[name]) if name in self.metrics else "-"
        half = self.half[name]
        return number(name, self.mean[name]) + (f" ± {number(name, half)}" if half else "")

    @property
    def state(self) -> State:
        """complete: with every seed that ended, or some; fail: with none; running: some are unfinished."""
        states = {run.state for run in self.runs}
        return "running" if "running" in states else "complete" if "complete" in states else "fail"

    @property
    def reason(self) -> str | None:
        """Why seeds failed; None where none did."""
        failed = [f"seed {run.seed}: {run.reason}" for run in self.runs if run.state == "fail"]
        return "; ".join(failed) or None

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Means of what every complete seed has measured."""
        measured = [run.metrics for run in self.complete]
        shared = [name for name in (measured[0] if measured else ()) if all(name in each for each in measured)]
        return {name: fmean(each[name] for each in measured) for name in shared}

    def document(self) -> dict[str, Any]:
        """The JSON object that `confirm --json` prints."""
        selected = {name: self.trial.values[name] for name in self.differences}
        return {
            "number": self.trial.number,
            "state": self.state,
            "reason": self.reason,
            "epochs": max((run.epochs for run in self.complete), default=0),
            "values": self.values,
            "metrics": self.metrics,
            "config": dict(self.trial.stored.document),
            "seconds": sum(run.seconds for run in self.runs),
            "seeds": [run.seed for run in self.complete],
            "mean": self.mean,
            "interval": {name: self._interval(name) for name in self.mean},
            "spread": {name: self._spread(name) for name in self.mean if name in self.spreads},
            **{f"{name}_sampling": self.sampling.get(name) for name in COUNTED},
            "probability_on_front": self.probability,
            "on_front": self.on_front,
            "selection": {"validation": selected, "difference": self.differences},
            "runs": [_run(run) for run in self.runs],
        }

    def _interval(self, name: str) -> list[float] | None:
        mean, half = self.mean[name], self.half[name]
        return None if half is None else [mean - half, mean + half]

    def _spread(self, name: str) -> dict[str, Any]:
        """Its own standard deviation, and the pooled one with its degrees of freedom that the interval is made of."""
        values, spread = self.samples[name], self.spreads[name]
        own = stdev(values) if len(values) > 1 else None
        return {"own": own, "pooled": spread.deviation, "degrees_of_freedom": spread.freedom, "alone": spread.own}


def _run(run: SeedRecord) -> dict[str, Any]:
    document = {"seed": run.seed, **run.document(), "test": dict(run.test)}
    return {name: value for name, value in document.items() if name not in ("number", "config")}


def confirmed(
    trials: Sequence[TrialRecord], runs: Sequence[SeedRecord], objectives: Mapping[str, Direction]
) -> list[Confirmed]:
    """The trials that were trained again, by their means of the last objective, best first; those that failed last.

    Args:
        trials: of the study, by number.
        runs: its trainings for confirmation. One with the seed that its trial had in the search, which chose the trial,
            does not count; earlier versions began with it.
        objectives: direction of each.
    """
    by_trial: dict[int, list[SeedRecord]] = defaultdict(list)
    for run in runs:
        if run.seed != trials[run.number].config.seed:
            by_trial[run.number].append(run)
    found = [Confirmed(trials[trial], sorted(own, key=_seed), objectives) for trial, own in sorted(by_trial.items())]
    measured = [each for each in found if each.complete]
    on_front = {record.number for record in _front(measured, objectives)}
    sure = _probabilities(measured, objectives)
    spreads = _spreads(measured)
    compared = [
        replace(
            each,
            on_front=each.trial.number in on_front,
            probability=sure.get(each.trial.number),
            spreads=spreads.get(each.trial.number, {}),
        )
        for each in found
    ]
    return sorted(compared, key=lambda each: _rank(each, objectives))


def knee_of(rows: Sequence[Confirmed], objectives: Mapping[str, Direction]) -> int | None:
    """Number of the trial at the knee of the front of the means; None where nothing is confirmed."""
    front = _front([row for row in rows if row.complete], objectives)
    return knee(front, objectives).number if front else None


def _seed(run: SeedRecord) -> int:
    return run.seed


def _front(rows: Sequence[Confirmed], objectives: Mapping[str, Direction]) -> list[TrialRecord]:
    ordered = sorted(rows, key=lambda row: row.trial.number)
    return front_of([replace(row.trial, state="complete", values=row.values) for row in ordered], objectives)


def _spreads(rows: Sequence[Confirmed]) -> dict[int, dict[str, Spread]]:
    """For each trial, by its number, the spread of each of its samples, pooled over the trials that have it."""
    found: dict[int, dict[str, Spread]] = defaultdict(dict)
    for name in dict.fromkeys(name for row in rows for name in row.samples):
        having = [row for row in rows if name in row.samples]
        for row, spread in zip(having, pooled_spreads([row.samples[name] for row in having]), strict=True):
            if spread is not None:
                found[row.trial.number][name] = spread
    return found


def _probabilities(rows: Sequence[Confirmed], objectives: Mapping[str, Direction]) -> dict[int, float]:
    """Probability of being on the front, for each trial with enough seeds, by its number."""
    if not any(len(row.complete) >= LEAST_SEEDS for row in rows):
        return {}
    shares = front_probabilities([signed(objectives, [run.values for run in row.complete]) for row in rows])
    found = zip(rows, shares, strict=True)
    return {row.trial.number: float(share) for row, share in found if len(row.complete) >= LEAST_SEEDS}


def _rank(row: Confirmed, objectives: Mapping[str, Direction]) -> tuple[bool, float, int]:
    last = list(objectives)[-1]
    value = signed({last: objectives[last]}, [row.values])[0, 0] if row.values else 0.0
    return not row.values, float(value), row.trial.number
