"""MLflow's client, its entities, and the few things that its users here do in the same way."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import KansearchError
from kansearch.study.private import private_file, private_folder
from kansearch.study.storage import allow_reading_while_writing, sqlite_path, sqlite_url
from kansearch.study.study import Study, home_option

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

__all__ = [
    "NOTE_TAG",
    "SEED_TAG",
    "STUDY_TAG",
    "TRIAL_TAG",
    "describe_trial",
    "entities",
    "experiment_name",
    "experiment_of",
    "find_runs",
    "flatten",
    "last_step",
    "log_table",
    "log_to_trial",
    "metric",
    "quiet_client",
    "run_page",
    "study_runs",
]

STUDY_TAG, TRIAL_TAG, SEED_TAG = "kansearch.study", "kansearch.trial", "kansearch.seed"
"""A run's study, a trial's number in it, and the seed of one more training."""
NOTE_TAG = "mlflow.note.content"
"""The description of a run or of an experiment, Markdown."""
_SERVERS = ("http:", "https:", "databricks")
_TABLES = "mlflow.loggedArtifacts"
"""The tag by which MLflow's pages find the tables of a run."""


def quiet_client(tracking_uri: str) -> MlflowClient:
    """A client that does not retry for long, and leaves it to its exceptions to say what went wrong.

    An SQLite store is made if need be, for its owner alone to read, and is read while it is written (WAL).
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the writer tries again itself
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of what is raised as well
    path = sqlite_path(tracking_uri)
    if path is not None:
        if not path.exists():
            _make_database(path)
        allow_reading_while_writing(path)
    return MlflowClient(tracking_uri=tracking_uri)


def _make_database(path: Path) -> None:
    """Make MLflow's tables in a new SQLite file, whole or not at all.

    MLflow makes them in many steps, and can't go on where a kill interrupted it: so they are made beside `path`.
    """
    from mlflow import MlflowClient

    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    private_file(fresh)
    try:
        MlflowClient(tracking_uri=sqlite_url(fresh)).search_experiments(max_results=1)
        try:
            os.link(fresh, path)
        except FileExistsError:  # another process was faster, and its file may have runs by now
            pass
        except OSError:  # a filesystem without links
            fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)


def experiment_name(study: str) -> str:
    """MLflow's experiment of a study."""
    return f"kansearch/{study}"


def experiment_of(client: MlflowClient, study: str, home: Path, tracking_uri: str) -> str:
    """The experiment of a study, made if missing. Its artifacts are kept in `home`, unless a server keeps them."""
    found = client.get_experiment_by_name(experiment_name(study))
    if found is not None:
        return str(found.experiment_id)
    place = None
    if not tracking_uri.startswith(_SERVERS):
        folder = (home / "artifacts" / study).absolute()
        private_folder(folder)
        place = folder.as_uri()
    return str(client.create_experiment(experiment_name(study), artifact_location=place))


def study_runs(client: MlflowClient, experiment: str, study: str) -> tuple[Run | None, dict[int, Run]]:
    """The run of a study, the last where there are several, and those of its trials by number."""
    found = find_runs(client, experiment, f"tags.`{STUDY_TAG}` = '{study}'")
    own = [run for run in found if TRIAL_TAG not in run.data.tags]
    trials = {int(run.data.tags[TRIAL_TAG]): run for run in found if TRIAL_TAG in run.data.tags}
    return (own[-1] if own else None), trials


def log_to_trial(study: Study, number: int, folder: Path, name: str) -> None:
    """Add the files of `folder` to the trial's run in MLflow, under `name`; what is there under that name is replaced.

    Raises KansearchError where the run isn't there, or MLflow doesn't take them.
    """
    from mlflow.exceptions import MlflowException

    client = quiet_client(study.tracking_uri)
    try:
        run_id = _trial_run(client, study, number)
        if run_id is None:
            raise KansearchError(f"MLflow has no run of trial {number} of study {study.name}")
        client.log_artifacts(run_id, str(folder), name)
    except MlflowException as error:
        raise KansearchError(f"MLflow did not take the files of trial {number}: {error}") from error


def describe_trial(study: Study, number: int, text: str) -> None:
    """Make a text the description of the trial's run in MLflow, if there is one; a later sitting writes what there is.

    Raises KansearchError where MLflow doesn't take it.
    """
    from mlflow.exceptions import MlflowException

    client = quiet_client(study.tracking_uri)
    try:
        run_id = _trial_run(client, study, number)
        if run_id is not None:
            client.set_tag(run_id, NOTE_TAG, text)
    except MlflowException as error:
        again = f"`kansearch resume {study.name}{home_option(study.folder.parent)}` writes it there"
        raise KansearchError(f"the note is kept, but MLflow did not take it ({error}); {again}") from error


def _trial_run(client: MlflowClient, study: Study, number: int) -> str | None:
    experiment = client.get_experiment_by_name(experiment_name(study.name))
    trials = {} if experiment is None else study_runs(client, experiment.experiment_id, study.name)[1]
    return str(trials[number].info.run_id) if number in trials else None


def run_page(experiment: str, run_id: str) -> str:
    """The address of a run on MLflow's pages, below a server's, as one of training and not of language models."""
    return f"#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"


def find_runs(client: MlflowClient, experiment: str, wanted: str) -> list[Run]:
    """All runs of an experiment that MLflow's filter `wanted` lets pass."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment], wanted, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def last_step(client: MlflowClient, run_id: str, metric: str) -> int:
    """The last step at which a run has a metric; 0 where it has none."""
    return max((each.step for each in client.get_metric_history(run_id, metric)), default=0)


def log_table(
    client: MlflowClient, run_id: str, path: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Write or replace a table that MLflow's pages show, and leave the run's other tables to be seen."""
    client.log_text(run_id, json.dumps({"columns": list(columns), "data": list(rows)}), path)
    tables = json.loads(client.get_run(run_id).data.tags.get(_TABLES, "[]"))
    table = {"path": path, "type": "table"}
    if table not in tables:
        client.set_tag(run_id, _TABLES, json.dumps([*tables, table]))


def flatten(config: Any, prefix: str = "") -> dict[str, str]:
    """`{"model": {"depth": 3}}` as `{"model.depth": "3"}`, MLflow's parameters."""
    if not isinstance(config, dict):
        return {prefix: str(config)}
    flat: dict[str, str] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat


def entities(kind: str, values: Mapping[str, str]) -> list[Any]:
    """MLflow's `Param` or `RunTag` for each pair."""
    from mlflow import entities as made

    return [getattr(made, kind)(key, value) for key, value in values.items()]


def metric(name: str, value: float, step: int) -> Metric:
    """A metric, measured now."""
    from mlflow.entities import Metric

    return Metric(name, float(value), int(time.time() * 1000), step)
