"""Whether MLflow holds what the study holds: one run a trial that ran and one for the study, every epoch once."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient

from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from kansearch.tracking.client import experiment_name, flatten
from trials.metrics import EPOCH_METRICS

__all__ = ["disagreements"]

_STATUS = {"complete": "FINISHED", "fail": "FAILED", "pruned": "KILLED"}


def disagreements(study: Study) -> list[str]:
    """A line for each thing in which MLflow's runs differ from an ended search; none when all is well."""
    client = MlflowClient(study.tracking_uri)
    runs = _runs(client, study)
    records = [record for record in study.records() if record.state != "infeasible"]
    found = [] if len(runs) == len(records) + 1 else [f"{len(runs)} runs for {len(records)} trials and the study"]
    by_trial = {run.data.tags.get("kansearch.trial"): run for run in runs}
    parent = by_trial.get(None)
    found += ["the study has no run"] if parent is None else _compare_parent(client, parent, study)
    for record in records:
        run = by_trial.get(str(record.number))
        lines = ["no run"] if run is None else _compare(client, run, record)
        found += [f"trial {record.number}: {line}" for line in lines]
    return found


def _compare_parent(client: MlflowClient, run: Any, study: Study) -> list[str]:
    found = [] if run.info.status == "FINISHED" else [f"the study's run is {run.info.status}"]
    settings = {f"search.{key}" for key in study.space.search.model_dump()}
    if run.data.params.keys() != settings:
        found.append(f"the study's run has the parameters {sorted(run.data.params)}")
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    if not {"space.yaml", "front.json"} <= names:
        found.append(f"the study's run has the artifacts {sorted(names)}")
    return found


def _runs(client: MlflowClient, study: Study) -> list[Any]:
    experiment = client.get_experiment_by_name(experiment_name(study.name))
    if experiment is None:
        return []
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _compare(client: MlflowClient, run: Any, record: TrialRecord) -> list[str]:
    found = []
    if run.info.status != _STATUS[record.state] or run.data.tags.get("kansearch.state") != record.state:
        found.append(f"{record.state} but {run.info.status}")
    if run.data.tags.get("kansearch.reason") != record.reason:
        found.append(f"reason {record.reason!r} but {run.data.tags.get('kansearch.reason')!r}")
    if run.data.params != flatten(record.stored.document):
        found.append(f"{len(run.data.params)} parameters of its configuration")
    for name in EPOCH_METRICS:
        points = [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
        if points != [(row["epoch"], row[name]) for row in record.curve if row.get(name) is not None]:
            found.append(f"{name} at steps {[step for step, _ in points]}, {record.epochs} epochs")
    return found
