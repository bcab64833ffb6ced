"""The view with which MLflow's page of a study opens: its trials, each a row, best first, and charts of them.

MLflow 3.17 keeps a saved view in a tag of the experiment, and opens it by a key in the address. It documents neither:

    mlflow.sharedViewState.<key>    {name, createdAt, updatedAt, state}; times in ms, the state again a JSON text
    viewStateShareKey=<key>         in the address of the experiment's page
    searchFilter, orderByKey, ...   fields of the state, as the page's own buttons write them; the rest are defaults
    runDateAndNestInfo              the page's name for its column of dates

Pages of other versions are opened without the key, and show what they show to everybody.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kansearch.tracking.client import TRIAL_TAG
from kansearch.tracking.runs import STATE_TAG
from trials.metrics import METRICS

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["FRONT_TAG", "KNOWN", "SHARE_TAG", "experiment_page", "on_axis", "shown_metrics", "write_view"]

KNOWN = "3.17"
"""The version of MLflow whose pages are known to understand the view."""
SHARE_TAG = "mlflow.sharedViewState.kansearch"
FRONT_TAG = "front"
"""The tag of a trial's run that says whether it is on the front."""
_KEY = "viewStateShareKey=kansearch"
_NAME = "Best first"
_SECTION = "kansearch-front"
_TAGS = {FRONT_TAG: 95, "basis": 80, "optimizer": 85, STATE_TAG: 115}
"""Columns beside the metrics, with their widths in pixels."""
_HYPERPARAMETERS = ["model.basis.name", "model.width", "optimizer.name", "optimizer.lr"]
"""Axes of the parallel coordinates: parameters that the run of every trial has."""
_SECONDS = 5.0


def shown_metrics(objectives: Mapping[str, Any]) -> list[str]:
    """Metrics with a column: the objectives in their order, and the parameters."""
    return list(dict.fromkeys([*objectives, "parameters"]))


def on_axis(name: str) -> str:
    """The metric that charts show for metric `name`: its logarithm, where ratios matter; they have no such axes."""
    return f"log10_{name}" if METRICS[name].logarithmic else name


def experiment_page(server: str, experiment: str) -> str:
    """The address of a study's trials on an MLflow server, with their view if its version is known."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    return f"{page}&{_KEY}" if _version(server).rpartition(".")[0] == KNOWN else page


def _version(server: str) -> str:
    """The version of a server; empty where it does not tell."""
    try:
        with urllib.request.urlopen(f"{server.rstrip('/')}/version", timeout=_SECONDS) as answer:
            return str(answer.read().decode(errors="replace").strip())
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return ""


def write_view(client: MlflowClient, experiment: str, objectives: Mapping[str, str]) -> None:
    """Keep the view of a study with these objectives in its experiment, unless it is there. Raises MLflow's errors."""
    state = json.dumps(_state(objectives))
    known = client.get_experiment(experiment).tags.get(SHARE_TAG, "")
    if json.dumps(state) in known:
        return
    now = int(time.time() * 1000)
    view = {"name": _NAME, "createdAt": now, "updatedAt": now, "state": state}
    client.set_experiment_tag(experiment, SHARE_TAG, json.dumps(view))


def _state(objectives: Mapping[str, str]) -> dict[str, Any]:
    metrics = shown_metrics(objectives)
    first = metrics[0]
    columns = {f"metrics.`{name}`": 105 for name in metrics} | {f"tags.`{tag}`": each for tag, each in _TAGS.items()}
    return {
        "searchFilter": f"tags.`{TRIAL_TAG}` LIKE '%'",
        "orderByKey": f"metrics.`{first}`",
        "orderByAsc": objectives[first] == "minimize",
        "selectedColumns": list(columns),
        "columnOrder": ["attributes.`Run Name`", "runDateAndNestInfo", *columns],
        "columnWidths": {"runDateAndNestInfo": 60, **columns},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [*(_scatter(name, first) for name in metrics[1:]), _parallel(metrics)],
        "compareRunSections": [_section()],
    }


def _scatter(x: str, y: str) -> dict[str, Any]:
    axes = {axis: {"key": on_axis(name), "type": "METRIC"} for axis, name in (("xaxis", x), ("yaxis", y))}
    return _card("SCATTER", x) | axes


def _parallel(metrics: list[str]) -> dict[str, Any]:
    axes = [on_axis(name) for name in reversed(metrics)]  # the last one gives the lines their colours
    return _card("PARALLEL", "all") | {
        "selectedParams": _HYPERPARAMETERS,
        "selectedMetrics": axes,
        "showAllRuns": False,
    }


def _card(kind: str, of: str) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"kansearch-{of}",
        "metricSectionId": _SECTION,
        "runsCountToCompare": 100,
        "deleted": False,
        "isGenerated": False,
    }


def _section() -> dict[str, Any]:
    shape = {"columns": 1, "cardHeight": 340}
    return shape | {"uuid": _SECTION, "name": "Trials", "display": True, "isReordered": False, "deleted": False}
