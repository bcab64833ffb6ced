"""Real searches, with Ray, whose workers and drivers are really killed or halted."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kansearch.study.study import Study
from tests.helpers import epochs_done, start, stop, succeed, trials, wait_until
from tests.support.searches import copy_mlflow_database
from tests.test_engine import LONG_SPACE, assert_mlflow_agrees, mlflow_runs, workers
from trials.config import TrialConfig
from trials.training.run import run_trial

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

MEASURED = ("train_loss", "validation_loss", "accuracy", "learning_rate")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "long.yaml").write_text(LONG_SPACE)
    copy_mlflow_database(tmp_path / "studies/mlflow.db")
    return tmp_path


def test_a_trial_that_loses_its_worker_goes_on_from_its_checkpoint(folder: Path) -> None:
    driver = start("launch", "long.yaml", "--trials", "3", "--epochs", "60", cwd=folder)
    wait_until(lambda: epochs_done(folder / "studies", "small") >= 2)
    os.kill(next(workers(driver.pid)), signal.SIGKILL)
    _, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    records = Study.open(folder / "studies", "small").records()
    assert [record.state for record in records] == ["complete"] * 3
    assert all([result["epoch"] for result in record.curve] == list(range(1, 61)) for record in records)
    ((loss,),) = [record.losses for record in records if record.losses]
    assert loss.startswith("worker lost: ")
    assert "\n" not in loss
    assert_mlflow_agrees(folder, "small")


@pytest.mark.slow
def test_a_trial_that_hangs_is_given_up_and_the_search_goes_on(folder: Path) -> None:
    settings = ("--set", "search.hang_minimum=6s", "--set", "search.hang_factor=5")
    driver = start("launch", "long.yaml", "--trials", "3", "--epochs", "60", *settings, cwd=folder)
    wait_until(lambda: epochs_done(folder / "studies", "small") >= 2)
    os.kill(next(workers(driver.pid)), signal.SIGSTOP)
    stdout, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    records = trials("small", folder)
    assert sorted(record["state"] for record in records) == ["complete", "complete", "fail"], stdout
    (hung,) = [record for record in records if record["state"] == "fail"]
    assert re.fullmatch(r"hung: no report for \d+ s, its slowest epoch took [0-9.]+ s", hung["reason"])
    assert_mlflow_agrees(folder, "small")


@pytest.mark.slow
def test_a_trial_that_loses_every_worker_fails(folder: Path) -> None:
    settings = ("--set", "search.retries=0")
    driver = start("launch", "long.yaml", "--trials", "3", "--epochs", "60", *settings, cwd=folder)
    wait_until(lambda: epochs_done(folder / "studies", "small") >= 2)
    os.kill(next(workers(driver.pid)), signal.SIGKILL)
    stdout, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    records = trials("small", folder)
    assert sorted(record["state"] for record in records) == ["complete", "complete", "fail"], stdout
    (lost,) = [record for record in records if record["state"] == "fail"]
    assert lost["reason"].startswith("worker lost: ")
    assert "\n" not in lost["reason"]
    assert_mlflow_agrees(folder, "small")


def test_a_killed_driver_loses_nothing_and_runs_nothing_twice(folder: Path) -> None:
    rng = random.Random(1)
    arguments: tuple[str, ...] = ("launch", "long.yaml", "--trials", "4", "--epochs", "40")
    for _ in range(2):
        before = epochs_done(folder / "studies", "small")
        driver = start(*arguments, cwd=folder)
        enough = before + rng.randrange(1, 60)
        wait_until(
            lambda enough=enough, driver=driver: (
                epochs_done(folder / "studies", "small") >= enough or driver.poll() == 0
            )
        )
        stop(driver)
        arguments = ("resume", "small")
    succeed("resume", "small", cwd=folder)
    records = trials("small", folder)
    assert [record["number"] for record in records] == [0, 1, 2, 3]
    assert all(record["state"] == "complete" and record["epochs"] == 40 for record in records)
    assert_mlflow_agrees(folder, "small")


@pytest.mark.slow
def test_a_trial_interrupted_by_a_kill_has_the_numbers_of_one_that_was_not(folder: Path) -> None:
    driver = start("launch", "long.yaml", "--trials", "1", "--epochs", "30", cwd=folder)
    wait_until(lambda: epochs_done(folder / "studies", "small") >= 3)
    stop(driver)
    assert 3 <= epochs_done(folder / "studies", "small") < 30, "the kill came in the middle"
    succeed("resume", "small", cwd=folder)
    (record,) = trials("small", folder)
    config = TrialConfig.model_validate(record["config"])
    whole = [result.row() for result in run_trial(config, device="cpu")]
    client = MlflowClient(f"sqlite:///{folder}/studies/mlflow.db")
    (found,) = [run for run in mlflow_runs(folder, "small") if "kansearch.trial" in run.data.tags]
    for name in MEASURED:
        curve = [metric.value for metric in client.get_metric_history(found.info.run_id, name)]
        assert curve == [result[name] for result in whole]
