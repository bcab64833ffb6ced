"""The dashboard: MLflow on loopback alone, opened at the study, and gone with all its processes when it is told to."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from kansearch.errors import KansearchError
from kansearch.report.writer import write_pictures
from kansearch.study.study import Study
from kansearch.tracking.dashboard import dashboard, remote_page
from kansearch.tracking.store import MlflowStore
from tests.helpers import command_line, descendants, listening, start, stop
from tests.support.commands import answer
from tests.support.searches import copy_mlflow_database
from tests.test_deliver import finished_study

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """In `studies/` of a folder of its own."""
    return make_tracked(tmp_path_factory.mktemp("work") / "studies")


def make_tracked(home: Path) -> Study:
    """A study with its runs and its report in MLflow."""
    copy_mlflow_database(home / "mlflow.db")
    study = finished_study(home)
    write_pictures(study)
    store = MlflowStore(study)
    records = study.records()
    for record in records:
        store.write_trial(record)
    store.write_progress(records)
    store.close(records, "finished")
    return study


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def opened_elsewhere(study: Study, server: str, home: Path) -> str:
    """What the command says of the study, were it tracked by a server."""
    (home / study.name).mkdir()
    places = json.loads((study.folder / "study.json").read_text())
    (home / study.name / "study.json").write_text(json.dumps({**places, "tracking_uri": server}))
    return answer("dashboard", study.name, "--no-browser", "--home", home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_study_on_loopback_until_a_signal(study: Study, number: int, tmp_path: Path) -> None:
    process = start("dashboard", "small", "--no-browser", cwd=study.folder.parent.parent)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(
        r"dashboard at (http://127\.0\.0\.1:(\d+))(/#/experiments/(\d+)/runs\S*) \(Ctrl-C stops it\)", line
    )
    assert found, line + (process.communicate()[1] if process.poll() is not None else "")
    address, port, page, experiment = found.groups()
    assert page.endswith("?workflowType=machine_learning&viewStateShareKey=kansearch")
    assert (
        opened_elsewhere(study, address, tmp_path)
        == f"small is tracked by a server that runs already: {address}{page}\n"
    )
    processes = list(descendants(process.pid))
    assert any("mlflow" in command_line(each) for each in processes)
    assert listening(process.pid) == {"0100007F"}, "127.0.0.1 and nothing else"

    assert ask(address, "/health") == b"OK"
    runs = json.loads(ask(address, "/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment]}))["runs"]
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    (parent,) = [run["info"]["run_id"] for run, tag in zip(runs, tags, strict=True) if "kansearch.trial" not in tag]
    trials = [tag for tag in tags if "kansearch.trial" in tag]
    assert sorted(tag["kansearch.trial"] for tag in trials) == ["0", "1", "2", "3"]
    assert {tag["mlflow.parentRunId"] for tag in trials} == {parent}
    assert ask(address, f"/get-artifact?path=front.png&run_uuid={parent}").startswith(b"\x89PNG")

    rest, stderr = stop(process, number)
    assert process.returncode == 0
    assert (rest, stderr) == ("stopped\n", "")
    assert [command_line(each) for each in processes if command_line(each)] == []
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", int(port)))


def test_a_busy_port_is_named(study: Study) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with (
            pytest.raises(KansearchError, match=f"port {port} on 127.0.0.1 is busy"),
            dashboard(study.folder.parent, study, port),
        ):
            pass


def test_nothing_tracked_and_a_database_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(KansearchError, match="launch a search first"), dashboard(tmp_path, None, None):
        pass
    (tmp_path / "mlflow.db").write_text("no database " * 100)
    with (
        pytest.raises(KansearchError, match=r"cannot read .*mlflow\.db, MLflow's database"),
        dashboard(tmp_path, None, None),
    ):
        pass


def test_a_tracking_server_elsewhere_that_does_not_answer_is_named(tmp_path: Path) -> None:
    study = finished_study(tmp_path, trials=0)
    assert remote_page(study) is None
    study.tracking_uri = "http://127.0.0.1:1"
    with pytest.raises(KansearchError, match=r"tracked by http://127\.0\.0\.1:1, which does not answer"):
        remote_page(study)
