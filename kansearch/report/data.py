"""`StudyData`: all that a report shows of a study, read once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from kansearch.space import Direction, SearchSpace
from kansearch.study.confirmed import Confirmed, confirmed
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedStore
from kansearch.study.study import Study
from trials.metrics import METRICS
from trials.presets import PRESETS

__all__ = ["Reference", "StudyData", "Trial", "axis_name", "is_logarithmic", "read_study", "value_of"]


@dataclass(frozen=True)
class Reference:
    """A published model, measured on the same data set: what it is called, what it reached, where that is written."""

    name: str
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Trial:
    """A trial with what the sampler chose for it, and when it ran (local time)."""

    record: TrialRecord
    hyperparameters: Mapping[str, Any]
    distributions: Mapping[str, Any]
    began: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class StudyData:
    """A study at one moment."""

    name: str
    space: SearchSpace
    objectives: Mapping[str, Direction]
    trials: Sequence[Trial]
    sessions: Sequence[Mapping[str, Any]]
    elapsed_seconds: float
    written: datetime
    sources: Sequence[Mapping[str, Any]] = ()
    """The studies that it was merged from, if it was."""
    references: Sequence[Reference] = ()
    confirmed: Sequence[Confirmed] = ()
    """Findings of `kansearch confirm`, in its order."""

    @cached_property
    def records(self) -> list[TrialRecord]:
        """Every trial's record, by number."""
        return [trial.record for trial in self.trials]

    @cached_property
    def complete(self) -> list[TrialRecord]:
        """Records of the trials that have objectives."""
        return [record for record in self.records if record.state == "complete"]

    @cached_property
    def front(self) -> list[TrialRecord]:
        """Records of the front, sorted by the last objective, best first."""
        return front_of(self.records, self.objectives)

    @cached_property
    def knee(self) -> TrialRecord | None:
        """Knee of the front; None where the front is empty."""
        return knee(self.front, self.objectives) if self.front else None

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the quantities that the front is drawn over: across and up. A single objective is drawn over the
        parameters."""
        names = list(self.objectives)
        if len(names) == 1:
            return ("parameters" if names[0] != "parameters" else "seconds"), names[0]
        return names[1], names[0]


def read_study(study: Study) -> StudyData:
    """Everything of `study` as it is now, with the presets that were published on its data set."""
    stored = study.optuna_trials()
    records = study.as_records(stored)
    return StudyData(
        name=study.name,
        space=study.space,
        objectives=study.objectives,
        trials=[
            Trial(record, trial.params, trial.distributions, trial.datetime_start, trial.datetime_complete)
            for record, trial in zip(records, stored, strict=True)
        ],
        sessions=study.sessions,
        elapsed_seconds=study.elapsed_seconds,
        written=datetime.now().astimezone(),
        sources=study.sources,
        references=_published(study.space.dataset),
        confirmed=confirmed(records, SeedStore(study.folder).records(), study.objectives),
    )


def _published(dataset: str) -> list[Reference]:
    return [
        Reference(preset.name, preset.published, preset.source)
        for preset in PRESETS.values()
        if preset.dataset == dataset and {"accuracy", "parameters"} <= preset.published.keys()
    ]


def axis_name(objective: str) -> str:
    """An objective with its unit."""
    return METRICS[objective].label


def is_logarithmic(objective: str) -> bool:
    """Whether its ratios matter, not its differences."""
    return METRICS[objective].logarithmic


def value_of(record: TrialRecord, name: str) -> float | None:
    """An objective's value, or for a trial without, its last measurement; None if that is missing or not finite."""
    value = record.values[name] if name in record.values else record.metrics.get(name)
    return float(value) if value is not None and math.isfinite(value) else None
