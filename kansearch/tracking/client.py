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

from kansearch.study.private import private_file, private_folder
from kansearch.study.storage import allow_reading_while_writing, sqlite_path, sqlite_url

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

__all__ = ["artifact_location", "entities", "find_runs", "flatten", "last_step", "log_table", "metric", "quiet_client"]

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


def artifact_location(home: Path, name: str, tracking_uri: str) -> str | None:
    """URL of a new experiment's artifacts: a folder of `home`, which is made. None where a server has a place."""
    if tracking_uri.startswith(_SERVERS):
        return None
    folder = (home / "artifacts" / name).absolute()
    private_folder(folder)
    return folder.as_uri()


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
