"""`StudyData`: all that a report shows of a study, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from kansearch.report.geometry import Geometry, Reference
from kansearch.space import Direction, SearchSpace
from kansearch.study.confirmed import Confirmed, confirmed
from kansearch.study.lock import holder
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedStore
from kansearch.study.study import Study
from trials.presets import PRESETS

__all__ = ["StudyData", "Trial", "read_study"]


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
    running: bool = False
    """Whether a driver runs, so that there will be more."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """Notes of `kansearch note`, by trial; none is empty."""

    @cached_property
    def records(self) -> list[TrialRecord]:
        """Every trial's record, by number."""
        return [trial.record for trial in self.trials]

    @cached_property
    def geometry(self) -> Geometry:
        """The trials and references as points."""
        return Geometry(self.records, self.objectives, self.references)

    @property
    def complete(self) -> list[TrialRecord]:
        """Records of the trials that have objectives."""
        return self.geometry.complete

    @property
    def front(self) -> list[TrialRecord]:
        """Records of the front, sorted by the last objective, best first."""
        return self.geometry.front

    @property
    def knee(self) -> TrialRecord | None:
        """Knee of the front; None where the front is empty."""
        return self.geometry.knee


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
        running=holder(study.folder) is not None,
        confirmed=confirmed(records, SeedStore(study.folder).records(), study.objectives),
        notes={number: text for number, text in study.notes().items() if text},
    )


def _published(dataset: str) -> list[Reference]:
    return [
        Reference(preset.name, preset.published, preset.source)
        for preset in PRESETS.values()
        if preset.dataset == dataset and {"accuracy", "parameters"} <= preset.published.keys()
    ]
