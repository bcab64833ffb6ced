"""The view with which MLflow opens a study: its undocumented form is what the installed pages read, and no others."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from kansearch.tracking.client import quiet_client
from kansearch.tracking.view import KNOWN, SHARE_TAG, experiment_page, on_axis, write_view
from tests.helpers import ROOT
from tests.support.searches import copy_mlflow_database

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


@pytest.fixture
def client(tmp_path: Path) -> MlflowClient:
    copy_mlflow_database(tmp_path / "mlflow.db")
    return quiet_client(f"sqlite:///{tmp_path}/mlflow.db")


@contextmanager
def server(status: int, answer: str) -> Iterator[str]:
    """One that answers every question in this way; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def view(client: MlflowClient, objectives: dict[str, str]) -> tuple[dict[str, object], dict[str, object]]:
    """The envelope and the state that are kept for a study with these objectives."""
    found = client.get_experiment_by_name("e")
    experiment = client.create_experiment("e") if found is None else found.experiment_id
    write_view(client, experiment, objectives)
    envelope = json.loads(client.get_experiment(experiment).tags[SHARE_TAG])
    return envelope, json.loads(envelope["state"])


def test_the_installed_pages_know_every_name_of_its_form(client: MlflowClient) -> None:
    built = Path(mlflow.__file__).parent / "server/js/build/static/js"
    pages = "\n".join(path.read_text(errors="replace") for path in built.glob("*.js"))
    envelope, state = view(client, {"accuracy": "maximize", "parameters": "minimize"})
    cards = [*state["compareRunCharts"], *state["compareRunSections"]]  # type: ignore[misc]
    fields = {*state, *(field for card in cards for field in card)}
    for name in (*fields, *envelope, "mlflow.sharedViewState.", "viewStateShareKey", "runDateAndNestInfo", "SHOW_ALL"):
        assert name in pages, name


def test_the_version_that_is_known_is_the_one_that_is_installed() -> None:
    major, minor = KNOWN.split(".")
    assert mlflow.__version__.startswith(f"{KNOWN}.")
    assert f'"mlflow>={KNOWN},<{major}.{int(minor) + 1}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("status", "answer", "known"),
    [
        (200, f"{KNOWN}.9", True),
        (200, "3.18.0", False),
        (200, "4.0.0", False),
        (200, "<html>", False),
        (404, "", False),
    ],
)
def test_pages_of_another_version_are_opened_without_it(status: int, answer: str, known: bool) -> None:
    with server(status, answer) as address:
        page = experiment_page(address + "/", "7")
    assert page.startswith(f"{address}/#/experiments/7/runs?workflowType=machine_learning")
    assert page.endswith("&viewStateShareKey=kansearch") == known


def test_a_server_that_is_gone_is_no_error() -> None:
    with server(200, "") as address:
        pass
    assert "viewStateShareKey" not in experiment_page(address, "7")


@pytest.mark.parametrize(
    ("objectives", "metrics", "ascending", "axes"),
    [
        ({"accuracy": "maximize", "parameters": "minimize"}, ["accuracy", "parameters"], False, ["log10_parameters"]),
        ({"accuracy": "maximize"}, ["accuracy", "parameters"], False, ["log10_parameters"]),
        (
            {"validation_loss": "minimize", "flops": "minimize", "seconds": "minimize"},
            ["validation_loss", "flops", "seconds", "parameters"],
            True,
            ["log10_flops", "log10_seconds", "log10_parameters"],
        ),
    ],
)
def test_columns_order_and_axes_are_those_of_the_objectives(
    client: MlflowClient, objectives: dict[str, str], metrics: list[str], ascending: bool, axes: list[str]
) -> None:
    _, state = view(client, objectives)
    columns = [*(f"metrics.`{name}`" for name in metrics), "tags.`front`", "tags.`basis`", "tags.`optimizer`"]
    assert state["selectedColumns"] == [*columns, "tags.`kansearch.state`"]
    assert (state["orderByKey"], state["orderByAsc"]) == (columns[0], ascending)
    *scatter, parallel = state["compareRunCharts"]  # type: ignore[misc]
    assert [card["xaxis"]["key"] for card in scatter] == axes
    assert {card["yaxis"]["key"] for card in scatter} == {on_axis(metrics[0])}
    assert parallel["selectedMetrics"][-1] == on_axis(metrics[0])


def test_it_is_written_once_and_again_when_it_would_be_another(client: MlflowClient) -> None:
    first, _ = view(client, {"accuracy": "maximize"})
    assert view(client, {"accuracy": "maximize"})[0] == first
    assert view(client, {"accuracy": "maximize", "flops": "minimize"})[0]["state"] != first["state"]
