"""MLflow is a copy of the study: complete, idempotent, and no danger to the search."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from kansearch.report.writer import write_pictures
from kansearch.space import parse_space
from kansearch.study.front import front_of, hypervolume
from kansearch.study.study import Study
from kansearch.study.usage import Usage
from kansearch.tracking.client import experiment_name, flatten, run_page
from kansearch.tracking.store import MlflowStore
from kansearch.tracking.writer import MlflowWriter
from tests.helpers import SMALL_SPACE, start_trial
from tests.support.searches import copy_mlflow_database
from tests.test_study import epoch

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


def make_study(home: Path, tracking_uri: str | None = None) -> Study:
    if tracking_uri is None:
        copy_mlflow_database(home / "mlflow.db")
    return Study.create(home, parse_space(SMALL_SPACE, "small.yaml"), tracking_uri=tracking_uri)


def add_trial(study: Study, accuracies: list[float], end: Callable[[Study, int], Any] | None = None) -> int:
    trial = start_trial(study)
    for number, accuracy in enumerate(accuracies, start=1):
        study.add_epochs(trial.number, [epoch(number, accuracy)])
    if end is not None:
        end(study, trial.number)
    return trial.number


def runs_of(study: Study) -> dict[str | None, Any]:
    client = MlflowClient(study.tracking_uri)
    experiment = client.get_experiment_by_name(experiment_name(study.name))
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_trial = {run.data.tags.get("kansearch.trial"): run for run in runs}
    assert len(by_trial) == len(runs), "one run a trial"
    return by_trial


def steps(study: Study, run: Any, metric: str) -> list[int]:
    return [each.step for each in MlflowClient(study.tracking_uri).get_metric_history(run.info.run_id, metric)]


def write_all(study: Study) -> None:
    store = MlflowStore(study)
    for record in study.records():
        store.write_trial(record)
    store.write_progress(study.records())


def test_the_studys_run_has_its_usage(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    MlflowStore(study).close([], "finished")
    assert runs_of(study)[None].data.metrics == {}
    study.add_usage(Usage(100, 80, {"GPU 0": (50, 20), "GPU 1": (50, 5)}))
    MlflowStore(study).close([], "finished")
    shares = {"busy_share": 0.8, "gpu_0_idle_share": 0.4, "gpu_1_idle_share": 0.1, "gpu_idle_share": 0.25}
    assert runs_of(study)[None].data.metrics == shares


def test_each_state_has_its_status_reason_and_curve(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.1, 0.4], Study.complete)
    add_trial(study, [0.2], lambda s, n: s.fail(n, "ValueError: no"))
    add_trial(study, [0.3], lambda s, n: s.prune(n, "stopped"))
    add_trial(study, [0.5])
    write_all(study)
    runs = runs_of(study)
    assert [runs[key].info.status for key in "0123"] == ["FINISHED", "FAILED", "KILLED", "RUNNING"]
    assert runs["1"].data.tags["kansearch.reason"] == "ValueError: no"
    assert {run.data.tags.get("mlflow.parentRunId") for key, run in runs.items() if key} == {runs[None].info.run_id}
    assert runs["0"].data.metrics["accuracy"] == 0.4
    assert runs["0"].data.metrics["best_accuracy"] == 0.4
    assert runs["0"].data.params["model.basis.name"] == study.record(0).config.model.basis.name
    assert runs["0"].info.run_name.startswith("00000 ")
    front = front_of(study.records(), study.objectives)
    assert runs[None].data.metrics["hypervolume"] == pytest.approx(hypervolume(front, study.objectives))


def test_writing_again_adds_nothing_and_a_new_driver_goes_on_with_the_same_runs(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    number = add_trial(study, [0.1, 0.2])
    add_trial(study, [0.4], Study.complete)
    write_all(study)
    write_all(study)
    first = runs_of(study)
    study.add_epochs(number, [epoch(3, 0.6)])
    study.complete(number)
    write_all(Study.open(tmp_path, study.name))
    again = runs_of(study)
    assert {key: run.info.run_id for key, run in again.items()} == {k: r.info.run_id for k, r in first.items()}
    assert steps(study, again["0"], "accuracy") == [1, 2, 3]
    assert again["0"].info.status == "FINISHED"
    assert steps(study, again[None], "hypervolume") == [1, 2]


def test_a_run_killed_between_its_last_epoch_and_its_end_is_closed(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.1, 0.2])
    write_all(study)
    study.complete(0)
    write_all(Study.open(tmp_path, study.name))
    runs = runs_of(study)
    assert runs["0"].info.status == "FINISHED"
    assert steps(study, runs["0"], "accuracy") == [1, 2]


def test_runs_that_a_killed_driver_made_but_did_not_describe_are_described(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.1])
    client = MlflowClient(study.tracking_uri)
    experiment = client.create_experiment(experiment_name(study.name), artifact_location=tmp_path.as_uri())
    client.create_run(experiment, tags={"kansearch.study": study.name})
    client.create_run(experiment, tags={"kansearch.study": study.name, "kansearch.trial": "0"})
    write_all(study)
    runs = runs_of(study)
    assert runs["0"].data.params["data.dataset"] == "digits"
    assert runs[None].data.params["search.sampler"] == "random"
    assert [each.path for each in client.list_artifacts(runs[None].info.run_id)] == ["space.yaml"]


def test_the_front_is_a_table_and_a_picture_and_the_report_lies_beside_them(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.4], Study.complete)
    write_pictures(study)
    MlflowStore(study).close(study.records(), "finished")
    parent = runs_of(study)[None]
    folder = Path(MlflowClient(study.tracking_uri).download_artifacts(parent.info.run_id, "", str(tmp_path)))
    table = json.loads((folder / "front.json").read_text())
    assert table["columns"][:3] == ["trial", "accuracy", "parameters"]
    assert [row[:3] for row in table["data"]] == [[0, 0.4, 321]]
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "front.svg").read_text()
    assert (folder / "report.html").read_text() == (study.folder / "report.html").read_text()
    assert parent.info.status == "FINISHED"
    assert "trial 0, accuracy 0.4000, parameters 321; " in parent.data.tags["mlflow.note.content"]
    assert "kansearch export small --pick TRIAL" in parent.data.tags["mlflow.note.content"]


def test_the_front_is_marked_and_described_as_the_search_goes_on(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    client, name = MlflowClient(study.tracking_uri), experiment_name(study.name)
    first = add_trial(study, [0.4], Study.complete)
    store = MlflowStore(study)
    store.write(study.records(), study.records())
    assert runs_of(study)[str(first)].data.tags["front"] == "best balance"
    second = add_trial(study, [0.5], Study.complete)  # as large, and better
    store.write([study.record(second)], study.records())
    runs = runs_of(study)
    assert [runs[str(each)].data.tags.get("front") for each in (first, second)] == ["", "best balance"]
    experiment = client.get_experiment_by_name(name)
    told = f"Best balance: trial [{second}]({run_page(experiment.experiment_id, runs[str(second)].info.run_id)})"
    assert experiment.tags["mlflow.note.content"].startswith(f"{told}, accuracy 0.5000, parameters 321; ")
    assert runs[None].data.tags["mlflow.note.content"].startswith(told)
    assert "![front]" not in runs[None].data.tags["mlflow.note.content"], "there is no picture yet"

    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "mine")
    write_pictures(study)
    MlflowStore(study).close(study.records(), "finished")
    assert client.get_experiment_by_name(name).tags["mlflow.note.content"] == "mine"
    run_id = runs[None].info.run_id
    shown = f"![front](get-artifact?path=front.png&run_uuid={run_id})\n\n| trial | accuracy |"
    assert shown in runs_of(study)[None].data.tags["mlflow.note.content"]


def test_what_charts_show_on_a_logarithmic_axis_is_there_as_a_logarithm(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.4, 0.5], Study.complete)
    write_all(study)
    metrics = runs_of(study)["0"].data.metrics
    assert metrics["log10_parameters"] == pytest.approx(math.log10(321)) and "log10_accuracy" not in metrics


def test_a_tracking_server_that_is_down_is_reported_and_caught_up_with(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    study = make_study(tmp_path, tracking_uri=address)
    add_trial(study, [0.4], Study.complete)
    writer = MlflowWriter()
    writer.started(study, study.records())
    writer.ended("finished")
    assert writer.problem is not None

    places = json.loads((study.folder / "study.json").read_text())
    copy_mlflow_database(tmp_path / "later.db")
    places["tracking_uri"] = f"sqlite:///{tmp_path}/later.db"
    (study.folder / "study.json").write_text(json.dumps(places))
    study = Study.open(tmp_path, study.name)
    writer = MlflowWriter()
    writer.started(study, study.records())
    writer.ended("finished")
    assert writer.problem is None
    runs = runs_of(study)
    assert {key: run.info.status for key, run in runs.items()} == {None: "FINISHED", "0": "FINISHED"}
    assert steps(study, runs["0"], "accuracy") == [1]


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": None}}, "e": "x"}) == {"a.b": "1", "a.c.d": "None", "e": "x"}
