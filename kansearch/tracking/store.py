"""A study's runs in MLflow: found by their tags or made, and brought up to the study's records. Idempotent."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kansearch.study.figures import describe, number, values
from kansearch.study.front import front_of, hypervolume, knee
from kansearch.study.records import EPOCH_METRICS, FINISHED, State, TrialRecord
from kansearch.study.study import Study

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

__all__ = ["STUDY_TAG", "TRIAL_TAG", "MlflowStore", "experiment_name", "flatten"]

STUDY_TAG, TRIAL_TAG, _STATE, _REASON = "kansearch.study", "kansearch.trial", "kansearch.state", "kansearch.reason"
_TRIAL_METRICS = ("parameters", "flops", "peak_memory_mib", "seconds", "best_accuracy", "best_epoch")
_EPOCHS_IN_A_BATCH = 150  # MLflow takes a thousand metrics at once
_RUN_STATUS: dict[State, str] = {"complete": "FINISHED", "pruned": "KILLED", "infeasible": "KILLED", "fail": "FAILED"}
_SERVERS = ("http:", "https:", "databricks")
_OUTCOME_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


def experiment_name(study: str) -> str:
    """MLflow's experiment of a study."""
    return f"kansearch/{study}"


class MlflowStore:
    """The runs of one study, through MLflow's client. Any method may raise MLflow's errors; all may be called again."""

    def __init__(self, study: Study) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the writer tries again itself
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of what is raised as well
        self._study = study
        self._client = MlflowClient(tracking_uri=study.tracking_uri)
        self._experiment = self._find_experiment()
        self._runs: dict[int, str] = {}
        self._epochs: dict[int, int] = {}  # written so far, of each trial
        self._closed: set[int] = set()
        self._bare: set[int] = set()  # runs without their configuration
        self._pictures: dict[str, int] = {}  # logged, and when each was drawn
        self._parent = self._find_runs()
        self._steps = self._last_step(self._parent, "hypervolume")

    # -- finding ------------------------------------------------------------------------------------------------------

    def _find_experiment(self) -> str:
        name = experiment_name(self._study.name)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        artifacts = None
        if not self._study.tracking_uri.startswith(_SERVERS):  # a server has a place of its own; a database has none
            artifacts = (self._study.folder.parent / "artifacts" / self._study.name).absolute().as_uri()
        return str(self._client.create_experiment(name, artifact_location=artifacts))

    def _find_runs(self) -> str:
        parent: str | None = None
        for run in self._all_runs():
            number = run.data.tags.get(TRIAL_TAG)
            if number is None:
                parent = run.info.run_id
                continue
            self._runs[int(number)] = run.info.run_id
            if run.info.status in _RUN_STATUS.values():
                self._closed.add(int(number))
                continue
            self._epochs[int(number)] = self._last_step(run.info.run_id, "train_loss")
            if not run.data.params:
                self._bare.add(int(number))
        if parent is None:
            parent = self._make_parent()
        self._describe_parent(parent)
        return parent

    def _all_runs(self) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{STUDY_TAG}` = '{self._study.name}'", page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

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
        self._client.log_batch(run_id, params=_entities("Param", flatten(settings, "search")))

    def _last_step(self, run_id: str, metric: str) -> int:
        return max((each.step for each in self._client.get_metric_history(run_id, metric)), default=0)

    # -- writing ------------------------------------------------------------------------------------------------------

    def write_trial(self, record: TrialRecord) -> None:
        """Make the trial's run if it has none, add the epochs that it lacks, close it when the trial has ended."""
        number = record.number
        if number in self._closed:
            return
        if number not in self._runs:
            self._make_run(record)
        run_id, metrics, ended = self._runs[number], self._new_metrics(record), record.state != "running"
        tags = {_STATE: record.state, **({_REASON: record.reason} if record.reason else {})} if ended else {}
        params = flatten(dict(record.config)) if number in self._bare else {}
        for batch in metrics[:-1]:
            self._client.log_batch(run_id, batch)
        if metrics or tags or params:
            last = metrics[-1] if metrics else []
            self._client.log_batch(run_id, last, _entities("Param", params), _entities("RunTag", tags))
        self._bare.discard(number)
        self._epochs[number] = max(record.epochs, self._epochs.get(number, 0))
        if ended:
            self._client.set_terminated(run_id, status=_RUN_STATUS[record.state])
            self._closed.add(number)

    def _make_run(self, record: TrialRecord) -> None:
        parameters = flatten(dict(record.config))
        basis, optimizer = parameters.get("model.basis.name", "?"), parameters.get("optimizer.name", "?")
        tags = {
            "mlflow.parentRunId": self._parent,
            STUDY_TAG: self._study.name,
            TRIAL_TAG: str(record.number),
            _STATE: record.state,
            "basis": basis,
            "optimizer": optimizer,
        }
        run = self._client.create_run(self._experiment, run_name=f"{record.number:05d} {basis} {optimizer}", tags=tags)
        self._runs[record.number] = run.info.run_id
        self._bare.add(record.number)

    def _new_metrics(self, record: TrialRecord) -> list[list[Metric]]:
        """Batches of whole epochs, each written at once: the last step says where to go on."""
        written = self._epochs.get(record.number, 0)
        rows = [result for result in record.curve if result["epoch"] > written]
        batches = [
            [
                _metric(name, row[name], int(row["epoch"]))
                for row in rows[start : start + _EPOCHS_IN_A_BATCH]
                for name in EPOCH_METRICS
                if row.get(name) is not None
            ]
            for start in range(0, len(rows), _EPOCHS_IN_A_BATCH)
        ]
        if batches:
            last = record.metrics
            batches[-1] += [_metric(name, last[name], record.epochs) for name in _TRIAL_METRICS if name in last]
        return batches

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
            "device_seconds": sum(record.seconds for record in records),
        }
        for name in ("accuracy", "mean_iou"):
            if name in self._study.objectives and front:
                figures[f"best_{name}"] = max(record.values[name] for record in front)
        self._client.log_batch(
            self._parent, metrics=[_metric(name, value, finished) for name, value in figures.items()]
        )
        self._steps = finished

    def write_pictures(self) -> None:
        """Log what the report drew into the study's folder, as far as it is new."""
        for path in self._study.pictures():
            drawn = path.stat().st_mtime_ns
            if self._pictures.get(path.name) != drawn:
                self._client.log_artifact(self._parent, str(path))
                self._pictures[path.name] = drawn

    def close(self, records: Sequence[TrialRecord], outcome: str) -> None:
        """The front as a table and as the run's description, usage, hardware and versions, the report; and the study's
        run closed.

        A resumed study opens it again.
        """
        front = front_of(records, self._study.objectives)
        columns = ["trial", *self._study.objectives, "basis", "optimizer", "config"]
        rows = [_front_row(record, list(self._study.objectives)) for record in front]
        self._client.log_text(self._parent, json.dumps({"columns": columns, "data": rows}), "front.json")
        self._client.set_tag(
            self._parent, "mlflow.loggedArtifacts", json.dumps([{"path": "front.json", "type": "table"}])
        )
        self._client.set_tag(self._parent, "mlflow.note.content", self._description(front))
        self._client.log_batch(self._parent, metrics=self._usage())
        self._client.log_text(self._parent, json.dumps(self._study.sessions, indent=2), "environment.json")
        self.write_pictures()
        self._client.set_terminated(self._parent, status=_OUTCOME_STATUS[outcome])

    def _description(self, front: Sequence[TrialRecord]) -> str:
        """The front in Markdown, its knee first, which is all that is seen of it at once; trials are links to runs."""
        if not front:
            return "No trial is complete."
        objectives = self._study.objectives
        chosen = knee(front, objectives)
        lines = [f"Best balance: trial {self._link(chosen)}, {values(chosen.values)}; {describe(chosen.config)}", ""]
        lines.append("".join(f"| {name.replace('_', ' ')} " for name in ("trial", *objectives, "configuration")) + "|")
        lines.append("|---" * (len(objectives) + 2) + "|")
        for record in front:
            cells = " | ".join(number(name, record.values[name]) for name in objectives)
            lines.append(f"| {self._link(record)} | {cells} | {describe(record.config)} |")
        export = f"kansearch export {self._study.name} --pick TRIAL -o best.yaml"
        lines += ["", f"`{export}` writes one of them, `kansearch retrain best.yaml -o DIR` trains it to the end."]
        return "\n".join([*lines, "The whole search: `report.html` among the artifacts."])

    def _link(self, record: TrialRecord) -> str:
        run_id = self._runs.get(record.number)
        return f"[{record.number}](#/experiments/{self._experiment}/runs/{run_id})" if run_id else str(record.number)

    def _usage(self) -> list[Metric]:
        """`busy_share` of the workers; `gpu_idle_share`, and that of each GPU."""
        usage = self._study.usage
        shares = {} if usage.busy is None else {"busy_share": usage.busy}
        shares |= {f"{name.lower().replace(' ', '_')}_idle_share": share for name, share in usage.idle.items()}
        if usage.idle:
            shares["gpu_idle_share"] = sum(usage.idle.values()) / len(usage.idle)
        return [_metric(name, share, self._steps) for name, share in shares.items()]


def flatten(config: Any, prefix: str = "") -> dict[str, str]:
    """`{"model": {"depth": 3}}` as `{"model.depth": "3"}`, MLflow's parameters."""
    if not isinstance(config, dict):
        return {prefix: str(config)}
    flat: dict[str, str] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _front_row(record: TrialRecord, objectives: Sequence[str]) -> list[Any]:
    basis, optimizer = record.config["model"]["basis"]["name"], record.config["optimizer"]["name"]
    return [record.number, *(record.values[name] for name in objectives), basis, optimizer, json.dumps(record.config)]


def _entities(kind: str, values: Mapping[str, str]) -> list[Any]:
    """MLflow's `Param` or `RunTag` for each pair."""
    from mlflow import entities

    return [getattr(entities, kind)(key, value) for key, value in values.items()]


def _metric(name: str, value: float, step: int) -> Metric:
    from mlflow.entities import Metric

    return Metric(name, float(value), int(time.time() * 1000), step)
