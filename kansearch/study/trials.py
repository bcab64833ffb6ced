"""`Trials`: the trials of an opened Optuna study as records, and every change to one, a transaction each.

The driver knows a trial that runs without asking the storage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kansearch.study.curve import blocks, read_curve
from kansearch.study.notes import write_note
from kansearch.study.records import Proposal, State, TrialRecord
from kansearch.study.storage import Opened
from kansearch.study.stored_config import StoredConfig

if TYPE_CHECKING:
    import optuna

__all__ = ["Trials"]

_STATES: dict[str, State] = {
    "RUNNING": "running",
    "WAITING": "running",
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "fail",
}


class Trials:
    """The trials of an opened `study`, whose objectives `objectives` names in their order."""

    def __init__(self, study: Opened, objectives: Callable[[], Sequence[str]]) -> None:
        self._objectives = objectives
        self._opened = study
        self._storage = study.storage
        self._database = study.database
        self._study_id = study.id
        self._ids: dict[int, int] = {}
        self._running: dict[int, TrialRecord] = {}

    def record(self, number: int) -> TrialRecord:
        """Return what is known of one trial."""
        if number not in self._running:
            return self.as_record(self._storage.get_trial(self._id(number)))
        return self._running[number]

    def as_record(self, trial: optuna.trial.FrozenTrial, stored: StoredConfig | None = None) -> TrialRecord:
        """The record of what Optuna knows; `stored` is its configuration, if that is known."""
        attributes = trial.user_attrs
        state: State = "infeasible" if attributes.get("infeasible") else _STATES[trial.state.name]
        values = dict(zip(self._objectives(), trial.values, strict=True)) if state == "complete" else {}
        return TrialRecord(
            number=trial.number,
            state=state,
            reason=attributes.get("reason"),
            values=values,
            stored=stored or StoredConfig(attributes.get("config", {})),
            curve=read_curve(attributes),
            rungs=attributes.get("rungs", {}),
            losses=attributes.get("losses", ()),
            held_seconds=attributes.get("held_seconds"),
            source=attributes.get("source"),
        )

    def create(
        self,
        state: str,
        proposals: Sequence[tuple[Proposal, Mapping[str, Any]]],
        study_attributes: Mapping[str, Any] | None = None,
    ) -> list[TrialRecord]:
        """Commit new trials with their attributes, and attributes of the study: all, or none."""
        configs = [StoredConfig.of(proposal.config) for proposal, _ in proposals]
        trials = [_frozen(state, *each, config) for each, config in zip(proposals, configs, strict=True)]
        for trial, (trial_id, number) in zip(trials, self._add(trials, study_attributes or {}), strict=True):
            trial.number, self._ids[number] = number, trial_id
        records = [self.as_record(trial, config) for trial, config in zip(trials, configs, strict=True)]
        self._running |= {record.number: record for record in records if record.state == "running"}
        return records

    def note(self, number: int, **attributes: Any) -> TrialRecord:
        """Commit attributes of a running trial, which are its record's fields."""
        before = self.record(number)
        record = replace(before, **attributes)
        if attributes:
            self._write(number, _stored(attributes, before))
        if record.state == "running":
            self._running[number] = record
        return record

    def end(self, number: int, state: State, **attributes: Any) -> TrialRecord:
        """Commit the end of a trial, with attributes that are its record's fields; a complete one's last epoch gives
        the values of its objectives."""
        import optuna

        before = self.record(number)
        record = replace(before, state=state, **attributes)
        if state == "complete":
            metrics = record.metrics
            record = replace(record, values={name: float(metrics[name]) for name in self._objectives()})
        values = list(record.values.values()) or None
        self._write(number, _stored(attributes, before), optuna.trial.TrialState[state.upper()], values)
        self._running.pop(number, None)
        return record

    def write_note(self, number: int, text: str) -> None:
        """Commit what somebody wrote about a trial, in any state."""
        write_note(self._opened, self._id(number), text)

    def note_study(self, attributes: Mapping[str, Any]) -> None:
        """Commit attributes of the study, at once."""

        def write() -> None:
            for key, value in attributes.items():
                self._storage.set_study_user_attr(self._study_id, key, value)

        self._opened.write(write)

    def add_ended(self, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        """Commit trials of other studies that have ended, in this order, to a study without any: all, or none."""
        if self._database is None:
            raise TypeError("a study in memory takes no trials")
        self._database.add_ended(self._study_id, trials)

    def _id(self, number: int) -> int:
        if number not in self._ids:
            self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return self._ids[number]

    def _add(
        self, trials: Sequence[optuna.trial.FrozenTrial], study_attributes: Mapping[str, Any]
    ) -> list[tuple[int, int]]:
        if self._database is not None:
            return self._database.new_trials(self._study_id, trials, study_attributes)
        self.note_study(study_attributes)
        ids = [self._storage.create_new_trial(self._study_id, template_trial=trial) for trial in trials]
        return [(trial_id, self._storage.get_trial_number_from_id(trial_id)) for trial_id in ids]

    def _write(
        self,
        number: int,
        attributes: Mapping[str, Any],
        state: optuna.trial.TrialState | None = None,
        values: Sequence[float] | None = None,
    ) -> None:
        """Commit attributes of a running trial and, unless `state` is None, its end, at once.

        Raises UpdateFinishedTrialError for a trial that has ended otherwise.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        trial_id = self._id(number)

        def write() -> None:
            for key, value in attributes.items():
                self._storage.set_trial_user_attr(trial_id, key, value)
            if state is not None:
                self._storage.set_trial_state_values(trial_id, state, values)

        try:
            self._opened.write(write)
        except UpdateFinishedTrialError:
            if state is None or self._storage.get_trial(trial_id).state != state:
                raise  # else an attempt before succeeded, whose answer was lost


def _stored(attributes: Mapping[str, Any], before: TrialRecord) -> dict[str, Any]:
    """Attributes of a trial as its Optuna trial is to hold them, out of its record's fields that changed."""
    stored = dict(attributes)
    if "curve" in stored:
        stored |= blocks(stored.pop("curve"), len(before.curve))
    return stored


def _frozen(
    state: str, proposal: Proposal, attributes: Mapping[str, Any], config: StoredConfig
) -> optuna.trial.FrozenTrial:
    """The trial of a proposal, as Optuna is to hold it; its number is not known yet."""
    import optuna

    now = datetime.now()
    return optuna.trial.FrozenTrial(
        number=-1,
        trial_id=-1,
        state=optuna.trial.TrialState[state],
        value=None,
        datetime_start=now,
        datetime_complete=None if state == "RUNNING" else now,
        params=dict(proposal.hyperparameters),
        distributions=dict(proposal.distributions),
        user_attrs={"config": dict(config.document), **attributes},
        system_attrs=dict(proposal.notes),
        intermediate_values={},
    )
