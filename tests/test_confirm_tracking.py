"""A confirmation in MLflow: runs of its own below the study's, which the search doesn't see; complete, idempotent."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from kansearch.study.seeds import SeedRecord
from kansearch.study.stored_config import StoredConfig
from kansearch.study.study import Study
from kansearch.tracking.client import experiment_name, run_page
from kansearch.tracking.confirming import ConfirmationStore
from kansearch.tracking.store import MlflowStore
from kansearch.tracking.writer import MlflowWriter
from tests.support.searches import copy_mlflow_database
from tests.test_confirmed import MEASURED
from tests.test_study import EPOCH
from tests.test_tracking import add_trial, make_study, write_all

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


@pytest.fixture(name="study")
def study_fixture(tmp_path: Path) -> Study:
    study = make_study(tmp_path)
    add_trial(study, [0.1, 0.4], Study.complete)
    add_trial(study, [0.2, 0.8], Study.complete)
    return study


def training(study: Study, trial: int, seed: int, epochs: int = 1) -> SeedRecord:
    """A running one."""
    config = study.record(trial).config.model_copy(update={"seed": seed})
    curve = [{**EPOCH, "epoch": number, "accuracy": None, "validation_loss": None} for number in range(1, epochs + 1)]
    return SeedRecord(trial, "running", stored=StoredConfig.of(config), curve=curve, seed=seed)


def completed(study: Study, trial: int, seed: int, accuracy: float) -> SeedRecord:
    record = replace(training(study, trial, seed, 2), state="complete", test={**MEASURED, "accuracy": accuracy})
    return replace(record, values=record.confirmed(study.objectives))


def write(study: Study, *records: SeedRecord, outcome: str = "finished") -> None:
    store = ConfirmationStore(study)
    store.write(records, records)
    store.close(records, outcome)


def all_runs(study: Study) -> list[Any]:
    client = MlflowClient(study.tracking_uri)
    experiment = client.get_experiment_by_name(experiment_name(study.name))
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def confirmations(study: Study) -> dict[tuple[str, str], Any]:
    runs = [run for run in all_runs(study) if "kansearch.confirmation" in run.data.tags]
    found = {(run.data.tags["kansearch.confirmed_trial"], run.data.tags["kansearch.seed"]): run for run in runs}
    assert len(found) == len(runs), "one run a training"
    return found


def parent_of(study: Study) -> Any:
    (parent,) = [run for run in all_runs(study) if "mlflow.parentRunId" not in run.data.tags]
    return parent


def steps(study: Study, run: Any) -> list[int]:
    return [each.step for each in MlflowClient(study.tracking_uri).get_metric_history(run.info.run_id, "train_loss")]


def test_each_training_is_a_run_below_the_studys(study: Study) -> None:
    write_all(study)
    failed = replace(training(study, 1, 8), state="fail", reason="TrialDiverged: no")
    write(study, completed(study, 0, 7, 0.9), failed, training(study, 1, 9))
    runs = confirmations(study)
    status = {key: run.info.status for key, run in runs.items()}
    assert status == {("0", "7"): "FINISHED", ("1", "8"): "FAILED", ("1", "9"): "RUNNING"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent_of(study).info.run_id}
    done = runs["0", "7"]
    assert done.info.run_name == "confirm 00000 seed 7"
    assert done.data.params["seed"] == "7"
    assert steps(study, done) == [1, 2]
    measured = {name: value for name, value in done.data.metrics.items() if name.startswith("test_")}
    assert measured == {"test_accuracy": 0.9, "test_loss": 0.3, "test_f1": 0.8}
    assert "accuracy" not in done.data.metrics, "nothing was held out"
    assert runs["1", "8"].data.tags["kansearch.reason"] == "TrialDiverged: no"


def test_writing_again_adds_nothing_and_goes_on_with_the_same_runs(study: Study) -> None:
    write_all(study)
    write(study, training(study, 0, 7))
    (first,) = confirmations(study).values()
    write(study, completed(study, 0, 7, 0.9))
    write(study, completed(study, 0, 7, 0.9))
    (run,) = confirmations(study).values()
    assert run.info.run_id == first.info.run_id
    assert (run.info.status, steps(study, run)) == ("FINISHED", [1, 2])


def test_a_training_that_is_tried_again_goes_on_with_its_run(study: Study) -> None:
    write_all(study)
    write(study, replace(training(study, 0, 7), state="fail", reason="worker lost", losses=("lost",)))
    assert confirmations(study)["0", "7"].info.status == "FAILED"
    write(study, completed(study, 0, 7, 0.9))
    run = confirmations(study)["0", "7"]
    assert (run.info.status, steps(study, run), run.data.metrics["test_accuracy"]) == ("FINISHED", [1, 2], 0.9)


def test_the_search_does_not_see_it(study: Study) -> None:
    write_all(study)
    MlflowStore(study).close(study.records(), "finished")
    write(study, completed(study, 0, 7, 0.9), completed(study, 1, 7, 0.8))
    parent = parent_of(study)
    assert parent.info.status == "FINISHED"
    add_trial(study, [0.3, 0.9], Study.complete)
    write_all(Study.open(study.folder.parent, study.name))
    MlflowStore(study).close(study.records(), "finished")
    again = parent_of(study)
    assert again.info.run_id == parent.info.run_id
    assert again.data.metrics["finished_trials"] == 3
    numbers = [run.data.tags.get("kansearch.trial") for run in all_runs(study) if run not in confirmations(study)]
    assert sorted(number for number in numbers if number) == ["0", "1", "2"]
    tables = json.loads(again.data.tags["mlflow.loggedArtifacts"])
    assert tables == [{"path": "front.json", "type": "table"}, {"path": "confirm.json", "type": "table"}]


def test_the_studys_run_has_the_table(study: Study, tmp_path: Path) -> None:
    write_all(study)
    failed = replace(training(study, 1, 4), state="fail", reason="TrialDiverged: no")
    scores = {(0, 1): 0.5, (0, 2): 0.6, (0, 3): 0.55, (1, 1): 0.7, (1, 2): 0.9, (1, 3): 0.8}
    write(study, *(completed(study, trial, seed, score) for (trial, seed), score in scores.items()), failed)
    client, parent = MlflowClient(study.tracking_uri), parent_of(study)
    folder = Path(client.download_artifacts(parent.info.run_id, "", str(tmp_path)))
    table = json.loads((folder / "confirm.json").read_text())
    assert table["columns"][:5] == ["trial", "seeds", "accuracy", "accuracy_half_width", "accuracy_at_selection"]
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["data"]}
    assert rows[1]["accuracy"] == pytest.approx(0.8)
    assert rows[1]["accuracy_at_selection"] == 0.8
    assert rows[1]["accuracy_sampling"] == pytest.approx(0.0412, abs=5e-5)
    assert rows[1]["probability_on_front"] == pytest.approx(0.99, abs=0.01)
    assert rows[0]["probability_on_front"] == pytest.approx(1 - rows[1]["probability_on_front"])
    text = (folder / "confirm.md").read_text()
    link = run_page(parent.info.experiment_id, confirmations(study)["1", "1"].info.run_id)
    assert f"| [1 (knee)]({link}) | 3 | 0.8000 | 0.8000 ± " in text and " | ± 0.0412 | 321 | 0.99 | " in text
    assert "- trial 1: seed 4: TrialDiverged: no\n" in text
    assert "- the intervals are of other seeds; other test images" in text


def test_a_search_that_mlflow_missed_is_written_too(study: Study) -> None:
    write(study, completed(study, 0, 7, 0.9))
    numbers = {run.data.tags.get("kansearch.trial") for run in all_runs(study)}
    assert numbers == {None, "0", "1"}
    assert parent_of(study).info.status == "FINISHED"
    assert list(confirmations(study)) == [("0", "7")]


def test_a_server_that_is_down_stops_nothing_and_is_caught_up_with(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        study = make_study(tmp_path, tracking_uri=f"http://127.0.0.1:{free.getsockname()[1]}")
    add_trial(study, [0.1, 0.4], Study.complete)
    record = completed(study, 0, 7, 0.9)
    writer = MlflowWriter(ConfirmationStore)
    writer.started(study, [training(study, 0, 7)])
    writer.changed(record)
    writer.ended("finished")
    assert writer.problem is not None

    copy_mlflow_database(tmp_path / "mlflow.db")
    study.tracking_uri = f"sqlite:///{tmp_path}/mlflow.db"
    writer = MlflowWriter(ConfirmationStore)
    writer.started(study, [record])
    writer.ended("finished")
    assert writer.problem is None
    assert confirmations(study)["0", "7"].info.status == "FINISHED"
