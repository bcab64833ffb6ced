"""A study's runs in MLflow: found by their tags or made, and brought up to the study's records. Idempotent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kansearch.study.front import front_of, hypervolume
from kansearch.study.records import FINISHED, TrialRecord
from kansearch.study.study import Study
from kansearch.tracking.client import (
    NOTE_TAG,
    STUDY_TAG,
    TRIAL_TAG,
    entities,
    experiment_of,
    flatten,
    last_step,
    log_table,
    metric,
    quiet_client,
    study_runs,
)
from kansearch.tracking.front import FrontNotes
from kansearch.tracking.runs import ChildRuns, optimizer_of
from kansearch.tracking.view import on_axis, shown_metrics, write_view
from trials.metrics import METRICS

if TYPE_CHECKING:
    from mlflow.entities import Metric

__all__ = ["OUTCOME_STATUS", "MlflowStore"]

OUTCOME_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MlflowStore:
    """The runs of one study, through MLflow's client. Any method may raise MLflow's errors; all may be called again."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._client = quiet_client(study.tracking_uri)
        self._experiment = experiment_of(self._client, study.name, study.folder.parent, study.tracking_uri)
        self._pictures: dict[str, int] = {}  # logged, and when each was drawn
        own, trials = study_runs(self._client, self._experiment, study.name)
        self.run_id = self._make_parent() if own is None else str(own.info.run_id)
        self._describe_parent(self.run_id)
        write_view(self._client, self._experiment, study.objectives)
        logarithms = [name for name in shown_metrics(study.objectives) if on_axis(name) != name]
        self._trials = ChildRuns(self._client, self._experiment, self.run_id, self._new_run, logarithms)
        for trial, run in trials.items():
            self._trials.adopt(trial, run)
        self._front = FrontNotes(
            self._client, self._experiment, self.run_id, self._trials, study.name, study.space.objectives
        )
        self._steps = last_step(self._client, self.run_id, "hypervolume")

    def _make_parent(self) -> str:
        run = self._client.create_run(self._experiment, run_name=self._study.name, tags={STUDY_TAG: self._study.name})
        return str(run.info.run_id)

    def _describe_parent(self, run_id: str) -> None:
        """Open the study's run, with the space and the settings that it was launched with."""
        self._client.update_run(run_id, status="RUNNING")
        if self._client.get_run(run_id).data.params:
            return
        settings = self._study.space.search.model_dump(mode="json")
        self._client.log_text(run_id, self._study.space.source, "space.yaml")
        self._client.log_batch(run_id, params=entities("Param", flatten(settings, "search")))

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, changed: Sequence[TrialRecord], records: Sequence[TrialRecord]) -> None:
        """Bring the runs of trials that changed up to date, and with them the study's curve and pictures.

        A configuration that broke a constraint trained nothing and has no run; the study's run counts them.
        """
        for record in changed:
            if record.state != "infeasible":
                self.write_trial(record)
        if changed:
            self.write_pictures()
            self.write_progress(records)

    def write_trial(self, record: TrialRecord) -> None:
        """Make the trial's run if it has none, add the epochs that it lacks, close it when the trial has ended."""
        self._trials.write(record)

    def _new_run(self, record: TrialRecord) -> tuple[str, dict[str, str]]:
        name = f"{record.number:05d} {record.stored.basis} {optimizer_of(record)}"
        return name, {STUDY_TAG: self._study.name, TRIAL_TAG: str(record.number)}

    def write_progress(self, records: Sequence[TrialRecord]) -> None:
        """The study's own curve: a point for each number of finished trials that is new."""
        finished = sum(record.state in FINISHED for record in records)
        if finished <= self._steps:
            return
        front = front_of(records, self._study.objectives)
        figures = {
            "hypervolume": hypervolume(front, self._study.objectives),
            "front_size": len(front),
            "finished_trials": finished,
            "failed_trials": sum(record.state == "fail" for record in records),
            "infeasible_trials": sum(record.state == "infeasible" for record in records),
            "device_seconds": sum(record.seconds for record in records),
        }
        for name in self._study.objectives:
            if METRICS[name].share and front:
                figures[f"best_{name}"] = max(record.values[name] for record in front)
        self._client.log_batch(self.run_id, metrics=[metric(name, value, finished) for name, value in figures.items()])
        self._front.show(front, self._pictures)
        self._steps = finished

    def write_pictures(self) -> None:
        """Log what the report drew into the study's folder, as far as it is new."""
        for path in self._study.pictures():
            drawn = path.stat().st_mtime_ns
            if self._pictures.get(path.name) != drawn:
                self._client.log_artifact(self.run_id, str(path))
                self._pictures[path.name] = drawn

    def close(self, records: Sequence[TrialRecord], outcome: str) -> None:
        """The front as a table and in descriptions, usage, hardware and versions, the report, notes; and the study's
        run closed.

        A resumed study opens it again.
        """
        front = front_of(records, self._study.objectives)
        columns = ["trial", *self._study.objectives, "basis", "optimizer", "config"]
        rows = [_front_row(record, list(self._study.objectives)) for record in front]
        log_table(self._client, self.run_id, "front.json", columns, rows)
        self._client.log_batch(self.run_id, metrics=self._usage())
        self._client.log_text(self.run_id, json.dumps(self._study.sessions, indent=2), "environment.json")
        self.write_pictures()
        self._front.show(front, self._pictures)
        for number, text in self._study.notes().items():
            self._trials.tag(number, NOTE_TAG, text)
        self._client.set_terminated(self.run_id, status=OUTCOME_STATUS[outcome])

    def _usage(self) -> list[Metric]:
        """`busy_share` of the workers; `gpu_idle_share`, and that of each GPU."""
        usage = self._study.usage
        shares = {} if usage.busy is None else {"busy_share": usage.busy}
        shares |= {f"{name.lower().replace(' ', '_')}_idle_share": share for name, share in usage.idle.items()}
        if usage.idle:
            shares["gpu_idle_share"] = sum(usage.idle.values()) / len(usage.idle)
        return [metric(name, share, self._steps) for name, share in shares.items()]


def _front_row(record: TrialRecord, objectives: Sequence[str]) -> list[Any]:
    figures = [record.values[name] for name in objectives]
    return [record.number, *figures, record.stored.basis, optimizer_of(record), json.dumps(record.stored.document)]
