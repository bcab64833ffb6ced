"""A retraining in MLflow: its runs are linked to the study's, found again after a kill, and no danger to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

import kansearch
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from kansearch.study.seeds import SeedRecord
from kansearch.tracking.client import SEED_TAG
from kansearch.tracking.retrainings import RETRAIN_TAG, RetrainingStore
from kansearch.tracking.store import MlflowStore
from kansearch.tracking.writer import MlflowWriter
from tests.support.searches import copy_mlflow_database
from tests.test_retrain_folder import CONFIG
from tests.test_study import EPOCH
from tests.test_tracking import add_trial, make_study

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path) -> Path:
    """A folder of studies."""
    home = tmp_path / "studies"
    copy_mlflow_database(home / "mlflow.db")
    return home


def uri_of(home: Path) -> str:
    return f"sqlite:///{home}/mlflow.db"


def writer_to(uri: str, home: Path, of_study: bool = False) -> MlflowWriter:
    return MlflowWriter(partial(RetrainingStore, uri, home, of_study))


def runs_of(home: Path, experiment: str) -> dict[str | None, Run]:
    """Of retrainings, by seed."""
    client = MlflowClient(uri_of(home))
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id], f"tags.`{RETRAIN_TAG}` LIKE '%'")
    by_seed = {run.data.tags.get(SEED_TAG): run for run in runs}
    assert len(by_seed) == len(runs), "one run a seed"
    return by_seed


def curve_of(home: Path, run: Run) -> list[tuple[int, float]]:
    history = MlflowClient(uri_of(home)).get_metric_history(run.info.run_id, "train_loss")
    return [(each.step, each.value) for each in history]


def test_a_retraining_of_a_studys_trial_is_a_child_of_the_studys_run(home: Path, tmp_path: Path) -> None:
    study = make_study(home)
    add_trial(study, [0.5, 0.6], lambda study, number: study.complete(number))
    parent = MlflowStore(study).run_id
    told = Retraining(CONFIG, tmp_path / "model", 2, hold_out=True, source={"study": "small", "trial": 0})
    writer = writer_to(study.tracking_uri, home, of_study=True)
    metrics = retrain(told, [writer])
    assert writer.problem is None
    runs = runs_of(home, "kansearch/small")
    assert runs.keys() == {None, "0", "1"}
    above = runs[None]
    assert above.info.run_id == writer.run_id
    assert above.data.tags["mlflow.parentRunId"] == parent
    assert above.data.tags["kansearch.source_study"] == "small"
    assert above.data.metrics["test_accuracy"] == metrics["accuracy"]
    assert above.data.params["model.basis.name"] == "gram" and above.data.params["retrain.data"] == "training"
    for seed, run in (("0", metrics["runs"][0]), ("1", metrics["runs"][1])):
        assert runs[seed].data.tags["mlflow.parentRunId"] == above.info.run_id
        assert runs[seed].data.params["seed"] == seed
        assert runs[seed].data.metrics["test_f1"] == run["f1"]
        curve = json.loads((tmp_path / f"model/seed-{seed}/curve.json").read_text())
        assert curve_of(home, runs[seed]) == [(row["epoch"], row["train_loss"]) for row in curve]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    files = {each.path for each in MlflowClient(uri_of(home)).list_artifacts(above.info.run_id)}
    assert files >= {"README.md", "config.yaml", "metrics.json", "curves.png", "confusion.png"}
    assert MlflowStore(study).run_id == parent, "the study's own run is not mistaken for a retraining's"


class Killer:
    """An observer in whose hands the retraining dies, in an epoch, without having told anybody."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def started(self, retraining: Retraining, records: Sequence[SeedRecord]) -> None: ...

    def changed(self, record: SeedRecord) -> None:
        if record.epochs == self._epoch:
            raise KeyboardInterrupt

    def ended(self, outcome: str) -> None: ...


def test_an_interrupted_retraining_goes_on_in_the_same_run(home: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 4})
    told = Retraining(config, tmp_path / "model")
    first = writer_to(uri_of(home), home)
    with pytest.raises(KeyboardInterrupt):
        retrain(told, [first, Killer(2)])
    [run] = runs_of(home, "kansearch/retrain").values()
    assert run.info.status == "KILLED" and [step for step, _ in curve_of(home, run)] == [1, 2]
    second = writer_to(uri_of(home), home)
    metrics = retrain(told, [second])
    [again] = runs_of(home, "kansearch/retrain").values()
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert first.run_id == second.run_id == run.info.run_id
    assert [step for step, _ in curve_of(home, again)] == [1, 2, 3, 4]
    assert again.data.metrics["test_accuracy"] == metrics["accuracy"]


def test_what_is_written_twice_is_there_once(home: Path, tmp_path: Path) -> None:
    told = Retraining(CONFIG, tmp_path, identity="identity")
    rows = [{**EPOCH, "epoch": each, "train_loss": 1 / each} for each in (1, 2, 3)]
    for count in (2, 3, 3):
        record = replace(told.record(0), curve=rows[:count])
        RetrainingStore(uri_of(home), home, False, told).write([record], [record])
    [run] = runs_of(home, "kansearch/retrain").values()
    assert [step for step, _ in curve_of(home, run)] == [1, 2, 3]


def test_training_goes_on_without_its_tracking_server(tmp_path: Path) -> None:
    writer = writer_to("http://127.0.0.1:9", tmp_path)
    metrics = retrain(Retraining(CONFIG, tmp_path / "model"), [writer])
    assert writer.problem is not None and writer.run_id is None
    assert json.loads((tmp_path / "model/metrics.json").read_text()) == metrics
    assert (tmp_path / "model/README.md").exists()


def test_a_command_logs_and_registers_the_model(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kansearch.commands.delivering import run_retrain

    monkeypatch.chdir(tmp_path)
    run_retrain(Retraining(CONFIG, tmp_path / "model"), home, None, "torch", "tiny", as_json=False)
    out = capsys.readouterr().out
    assert "registered: models:/tiny/1" in out
    assert f"written: {tmp_path}/model/seed-0/model.pt2" in out
    version = MlflowClient(uri_of(home)).get_model_version("tiny", "1")
    assert version.run_id == runs_of(home, "kansearch/retrain")[None].info.run_id


def test_a_retraining_from_python_is_logged_as_the_commands_are(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"config": CONFIG.model_dump(mode="json")}))
    metrics = kansearch.retrain(path, tmp_path / "model", home=home, progress=False)
    run = runs_of(home, "kansearch/retrain")[None]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_accuracy"] == pytest.approx(metrics["accuracy"])
    (model,) = MlflowClient(uri_of(home)).search_logged_models([run.info.experiment_id])
    assert model.source_run_id == run.info.run_id


def test_python_warns_where_mlflow_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"config": CONFIG.model_dump(mode="json")}))
    with pytest.warns(UserWarning, match="MLflow has not everything"):
        kansearch.retrain(path, tmp_path / "model", tracking_uri="http://127.0.0.1:9", progress=False)
    assert (tmp_path / "model/README.md").exists()
