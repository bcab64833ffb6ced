"""Join studies of one space into a new study: searches of several sittings, or of machines that share nothing.

The sources are read alone, under locks that keep drivers from them. The new study is made beside its home's others and
is there whole at the end, or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.cluster.checkpoints import checkpoint_place
from kansearch.cluster.launch import Observer
from kansearch.errors import InputError
from kansearch.merge.artifacts import Artifacts
from kansearch.merge.inherited import inherited
from kansearch.space import SearchSpace, study_name
from kansearch.space.agreement import check_agreement, differing_settings, joined_space
from kansearch.study.foreign import find_study, labels, read_study_at
from kansearch.study.front import front_of
from kansearch.study.joining import Joined, join_trials
from kansearch.study.lock import reader_lock
from kansearch.study.records import FINISHED, TrialRecord
from kansearch.study.seeds import SeedRecord
from kansearch.study.staging import Staging, check_new, staging
from kansearch.study.storage import sqlite_url
from kansearch.study.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["Locations", "Merged", "Source", "merge"]


@dataclass(frozen=True)
class Locations:
    """Where the new study is to be kept, as `kansearch.cluster.launch.launch` takes it."""

    storage_url: str | None = None
    tracking_uri: str | None = None
    checkpoints: str | None = None


@dataclass(frozen=True)
class Source:
    """A study that was merged, and what became of its trials. Counts are of all of them, of those that are complete,
    and of those on its front. Further counts are of those taken from another source that has them too, and of those
    left out as they had not ended."""

    study: str
    trials: int
    complete: int
    front: int
    dropped: int
    unfinished: int


@dataclass(frozen=True)
class Merged:
    """A new study, and what became of its sources."""

    study: Study
    sources: Sequence[Source]
    repeated: int
    """Complete trials that repeat the configuration, seed included, of another source's."""
    settings: Sequence[str]
    """Keys of `search` in which the sources differ; the first one's hold."""
    constrained: bool
    """Whether the sources differ in their constraints."""
    weights: Sequence[int]
    """Trials of the front whose weights came along."""
    confirmations: Sequence[SeedRecord]
    """Trainings for confirmation that came along."""
    out_of_reach: Mapping[str, str]
    """Why files of a source could not be looked for, by its name."""


def merge(
    home: Path,
    words: Sequence[str],
    name: str,
    observers: Sequence[Observer[TrialRecord]],
    confirming: Sequence[Observer[SeedRecord]] = (),
    locations: Locations | None = None,
) -> Merged:
    """Make the study `name` of all ended trials of others.

    Args:
        home: folder of studies, of the new one too.
        words: at least two studies, each the name of one in `home` or the path of a study's folder.
        observers: told of the trials once the study is there, as at the end of a search; `confirming` likewise of the
            trainings for confirmation, if there are any.
        locations: None: the defaults of a launch.

    Raises:
        InputError: the studies are not of one space, there is no ended trial, or `name` is taken or no name.
        UnknownStudyError: one isn't there. StudyBusyError: a driver works on one. KansearchError: one is damaged, or
            the new one can't be written.
    """
    _check_name(home, name)
    if len(words) < 2:
        raise InputError("merge joins two studies or more; name another one")
    folders = [find_study(home, word) for word in words]
    with ExitStack() as reading:
        sources = _Sources(reading.enter_context(_opened(folders)))
        space = sources.space(name)
        with staging(home, name) as made:
            merged = _make(sources, space, made, home, locations or Locations())
            reading.close()
            _tell(merged.study, merged.study.records(), observers)
            if merged.confirmations:
                _tell(merged.study, merged.confirmations, confirming)
    return merged


def _check_name(home: Path, name: str) -> None:
    try:
        study_name(name)
    except ValueError as error:
        raise InputError(f"--study '{name}': {error}") from error
    check_new(home, name)


@contextmanager
def _opened(folders: Sequence[Path]) -> Iterator[dict[str, Study]]:
    """The studies by their names, under their locks."""
    names = labels(folders)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kansearch-")))
        sources = {}
        for index, (label, folder) in enumerate(zip(names, folders, strict=True)):
            stack.enter_context(reader_lock(folder))
            (scratch / str(index)).mkdir()
            sources[label] = read_study_at(folder, scratch / str(index))
            stack.callback(sources[label].close)
        yield sources


@dataclass
class _Sources:
    """The content of studies of one space, by their names.

    Raises InputError where their spaces differ, or where no trial has ended.
    """

    studies: Mapping[str, Study]
    records: list[list[TrialRecord]] = field(init=False)
    """Every trial of each study, by number."""
    joined: Joined = field(init=False)

    def __post_init__(self) -> None:
        check_agreement({name: study.space for name, study in self.studies.items()})
        trials = [study.optuna_trials() for study in self.studies.values()]
        self.records = [study.as_records(own) for study, own in zip(self.studies.values(), trials, strict=True)]
        self.joined = join_trials(trials)
        if not self.joined.trials:
            raise InputError(f"no trial of {' or '.join(map(repr, self.studies))} has ended: there is nothing to merge")

    @property
    def spaces(self) -> list[SearchSpace]:
        return [study.space for study in self.studies.values()]

    @property
    def taken(self) -> list[TrialRecord]:
        """The trials of the new study, as they are where they are taken from."""
        return [self.records[index][number] for (index, number), *_ in self.joined.places]

    def space(self, name: str) -> SearchSpace:
        """Return the space of the new study."""
        return joined_space(self.spaces, name, sum(record.state in FINISHED for record in self.taken))

    def notes(self) -> dict[int, str]:
        """The notes on each trial, by its new number: every source's, an equal one once."""
        known = [study.notes() for study in self.studies.values()]
        texts = [dict.fromkeys(known[index].get(old, "") for index, old in places) for places in self.joined.places]
        joined = ["\n\n".join(filter(None, each)) for each in texts]
        return {number: text for number, text in enumerate(joined) if text}

    def told(self) -> list[Source]:
        """Describe what became of each study."""
        rows = []
        for index, (name, study) in enumerate(self.studies.items()):
            own, left_out = self.records[index], (self.joined.dropped[index], self.joined.unfinished[index])
            complete = sum(record.state == "complete" for record in own)
            rows.append(Source(name, len(own), complete, len(front_of(own, study.objectives)), *left_out))
        return rows


def _make(sources: _Sources, space: SearchSpace, made: Staging, home: Path, locations: Locations) -> Merged:
    """Make the new study and put it in its place."""
    checkpoints = None if locations.checkpoints is None else checkpoint_place(locations.checkpoints, space.study)
    tracking_uri = locations.tracking_uri or sqlite_url(home / "mlflow.db")
    history = inherited(sources.studies, sources.records, sources.joined)
    attributes = {**made.attributes, **history.attributes()}
    study = Study.create(made.home, space, locations.storage_url, tracking_uri, checkpoints, attributes)
    study.add_ended(_renumbered(sources, study))
    for number, text in sources.notes().items():
        study.write_note(number, text)
    artifacts, records = Artifacts(sources.studies, sources.joined, study), study.records()
    weights = artifacts.bring_weights(front_of(records, study.objectives))
    artifacts.bring_tracebacks(records)
    confirmations = artifacts.bring_confirmations()
    return Merged(
        study=made.publish(study),
        sources=sources.told(),
        repeated=sources.joined.repeated,
        settings=differing_settings(sources.spaces),
        constrained=any(each.constraints != space.constraints for each in sources.spaces),
        weights=weights,
        confirmations=confirmations,
        out_of_reach=artifacts.out_of_reach,
    )


def _renumbered(sources: _Sources, study: Study) -> list[FrozenTrial]:
    """The trials as the new study is to hold them, each with where it comes from."""
    from optuna.trial import FrozenTrial

    names, joined, trials = list(sources.studies), sources.joined, []
    for number, (trial, record) in enumerate(zip(joined.trials, sources.taken, strict=True)):
        index, old = joined.places[number][0]
        source = dict(record.source or {"study": names[index], "number": old})
        fields: dict[str, Any] = {
            "number": number,
            "trial_id": -1,
            "state": trial.state,
            "value": None,
            "values": [record.values[name] for name in study.objectives] if record.values else None,
            "datetime_start": trial.datetime_start,
            "datetime_complete": trial.datetime_complete,
            "params": trial.params,
            "distributions": trial.distributions,
            "user_attrs": {**trial.user_attrs, "source": source},
            "system_attrs": trial.system_attrs,
            "intermediate_values": {},
        }
        trials.append(FrozenTrial(**fields))
    return trials


def _tell(study: Study, records: Sequence[Any], observers: Sequence[Observer[Any]]) -> None:
    for observer in observers:
        observer.started(study, records)
    for observer in observers:
        observer.ended("finished")
