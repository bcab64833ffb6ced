"""Real confirmations, with Ray, whose drivers and workers are really killed."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from kansearch.engine.proposer import Proposer
from kansearch.space import parse_space
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.study import Study
from tests.commandline import Command, kansearch_fixture, one_line
from tests.helpers import SMALL_SPACE, start, stop, succeed, wait_until
from tests.test_engine import mlflow_runs, workers
from tests.test_study import EPOCH
from trials.config import TrialConfig
from trials.training.checkpoint import load_checkpoint

__all__ = ["kansearch_fixture"]

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)

EPOCHS = 400
WILD = {"depth": 32, "width": 4, "halvings": 0, "normalization": "none", "basis": {"name": "none"}}
"""Without normalization, with the identity for an activation and a huge learning rate: it diverges at once."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of three trials, whose scores nobody measured: two that can be trained, and one that diverges."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # sums in the same order, in a worker and in `retrain`
    kept_often = ["search.checkpoint_seconds=0"]
    space = parse_space(SMALL_SPACE.replace("epochs: 2", f"epochs: {EPOCHS}"), "small.yaml", kept_often)
    study = Study.create(tmp_path / "studies", space)
    for accuracy, parameters, wild in ((0.5, 300, False), (0.7, 400, False), (0.6, 200, True)):
        proposal = Proposer(study.space, study.optuna_trials()).propose().proposal
        document = proposal.config.model_dump(mode="json")
        if wild:
            document["model"] = {**document["model"], **WILD, "base_activation": "identity"}
            document |= {"optimizer": {"name": "adamw", "lr": 10.0}, "schedule": "constant"}
        number = study.start(replace(proposal, config=TrialConfig.model_validate(document))).number
        study.complete(number, [{**EPOCH, "epoch": EPOCHS, "accuracy": accuracy, "parameters": parameters}])
    return tmp_path


def kept(folder: Path) -> list[SeedRecord]:
    return SeedStore(folder / "studies/small").records()


def under_way(folder: Path) -> list[SeedRecord]:
    """Trainings in their middle."""
    return [record for record in kept(folder) if record.state == "running" and record.epochs >= 1]


def ended(folder: Path) -> dict[Path, bytes]:
    """The files of trainings that are done, as they are."""
    files = sorted((folder / "studies/small/confirm").glob("*/seed-*.json"))
    texts = {path: path.read_bytes() for path in files}
    return {path: text for path, text in texts.items() if json.loads(text)["state"] != "running"}


def checkpointed(folder: Path, record: SeedRecord) -> list[Any]:
    """Epochs of a checkpoint, with the time that each took: if they ran again, it would be another."""
    path = folder / f"studies/small/confirm/{record.number:05d}/{record.seed:05d}/checkpoint.pt"
    return list(load_checkpoint(path)["results"])


def test_a_confirmation_that_is_killed_loses_nothing_and_agrees_with_retrain(folder: Path, kansearch: Command) -> None:
    command = ("confirm", "small", "--picks", "0,2", "--seeds", "2", "--max-concurrent", "1")
    driver = start(*command, cwd=folder)
    wait_until(lambda: bool(kept(folder)))
    refused = one_line(kansearch(*command), 1)
    assert f"is being run by process {driver.pid} on " in refused
    wait_until(lambda: "complete" in [record.state for record in kept(folder)] and bool(under_way(folder)))
    stop(driver, signal.SIGKILL)
    done, (begun,) = ended(folder), under_way(folder)
    assert begun.key == (0, 2), "the kill came in the middle"
    first = checkpointed(folder, begun)

    rows = json.loads(succeed(*command, "--json", cwd=folder))
    assert all(path.read_bytes() == text for path, text in done.items()), "what was done was not touched"
    records = {record.key: record for record in kept(folder)}
    curve = records[0, 2].curve
    assert [each["epoch"] for each in curve] == list(range(1, EPOCHS + 1))
    assert [each["seconds"] for each in curve[: len(first)]] == [each["seconds"] for each in first]
    assert not list((folder / "studies/small").glob("confirm/*/*/checkpoint.pt"))

    assert [row["number"] for row in rows] == [0, 2]
    assert rows[1]["state"] == "fail"
    assert rows[1]["reason"].startswith("seed 1: TrialDiverged: training loss is ")
    assert (folder / "studies/small/confirm/00002/00001/error.txt").read_text().startswith("Traceback")
    row = rows[0]
    assert (row["state"], row["reason"], row["epochs"], row["seeds"]) == ("complete", None, EPOCHS, [1, 2])
    assert row["probability_on_front"] is None, "two seeds tell too little"
    assert row["selection"]["validation"] == {"accuracy": 0.5}
    kansearch("export", "small", "--pick", "0", "-o", "0.yaml")
    exported = Path("0.yaml").read_text()
    assert exported.count("\n  seed: 0") == 1
    Path("0.yaml").write_text(exported.replace("\n  seed: 0", "\n  seed: 1"))
    assert kansearch("retrain", "0.yaml", "--seeds", "2", "-o", "model").code == 0
    expected = json.loads((folder / "model/metrics.json").read_text())
    assert row["values"]["accuracy"] == expected["accuracy"]
    assert row["metrics"]["test_loss"] == expected["loss"]
    assert row["values"]["parameters"] == expected["parameters"]

    assert_mlflow_agrees(folder)
    before = ended(folder)
    again = kansearch(*command)
    assert again.code == 0
    assert "4 trainings finished before, 0 to do" in again.out
    assert "P(front)" in again.out and "±" in again.out
    assert "are not told: `kansearch confirm small --seeds 3 --picks 0` trains the rest" in again.out
    assert "trial 2: seed 1: TrialDiverged: training loss is " in again.out
    assert ended(folder) == before
    assert_mlflow_agrees(folder)


def assert_mlflow_agrees(folder: Path) -> None:
    """One run a training, with every epoch once."""
    client = MlflowClient(f"sqlite:///{folder}/studies/mlflow.db")
    runs = {}
    for run in mlflow_runs(folder, "small"):
        if "kansearch.confirmation" in run.data.tags:
            runs[int(run.data.tags["kansearch.confirmed_trial"]), int(run.data.tags["kansearch.seed"])] = run
    records = {record.key: record for record in kept(folder)}
    assert sorted(runs) == sorted(records)
    for key, run in runs.items():
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "train_loss")]
        assert steps == list(range(1, records[key].epochs + 1))
        assert run.info.status == {"complete": "FINISHED", "fail": "FAILED"}[records[key].state]
        assert run.data.metrics.get("test_accuracy") == records[key].test.get("accuracy")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_how_to_go_on(folder: Path, number: int, code: int) -> None:
    command = ("confirm", "small", "--picks", "0,1", "--seeds", "2")
    driver = start(*command, cwd=folder)
    wait_until(lambda: bool(under_way(folder)))
    _, stderr = stop(driver, number)
    assert driver.returncode == code, stderr
    again = "go on with `kansearch confirm small --seeds 2 --picks 0,1`"
    assert stderr.strip().splitlines()[-1].endswith(again)
    assert "Traceback" not in stderr
    assert [record.state for record in kept(folder)].count("running") == 2
    succeed(*command, cwd=folder)
    assert [record.state for record in kept(folder)] == ["complete"] * 4
    assert_mlflow_agrees(folder)


@pytest.mark.slow
def test_a_lost_worker_is_replaced_and_goes_on_from_the_checkpoint(folder: Path) -> None:
    driver = start("confirm", "small", "--picks", "1", "--seeds", "1", cwd=folder)
    wait_until(lambda: bool(under_way(folder)))
    os.kill(next(workers(driver.pid)), signal.SIGKILL)
    _, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    (record,) = kept(folder)
    assert record.state == "complete"
    assert len(record.losses) == 1 and record.losses[0].startswith("worker lost: ")
    assert [each["epoch"] for each in record.curve] == list(range(1, EPOCHS + 1))
    assert_mlflow_agrees(folder)


def test_a_study_without_a_complete_trial_has_nothing_to_confirm(
    tmp_path: Path, kansearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Study.create(tmp_path / "studies", parse_space(SMALL_SPACE, "small.yaml"))
    refused = one_line(kansearch("confirm", "small"), 1)
    assert refused == "kansearch: study 'small' has no complete trial yet\n"


def test_a_pick_that_is_none_is_refused_before_anything_starts(folder: Path, kansearch: Command) -> None:
    refused = one_line(kansearch("confirm", "small", "--picks", "middle"), 2)
    assert refused.startswith("kansearch: --picks 'middle': give front, knee, ")
    assert not (folder / "studies/small/confirm").exists()
