"""Real searches, with Ray: what they leave, and what a signal does to their process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from mlflow import MlflowClient

from kansearch.study.front import front_of
from kansearch.study.study import Study
from tests.helpers import (
    SMALL_SPACE,
    command_line,
    descendants,
    epochs_done,
    listening,
    run,
    start,
    stop,
    succeed,
    trials,
    wait_until,
)
from tests.support.commands import answer, call
from tests.support.searches import copy_mlflow_database, shared_ray_fixture
from trials.config import TrialConfig
from trials.models import build_network
from trials.saved.weights import load_weights
from trials.training.run import run_trial

__all__ = ["shared_ray_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

LONG_SPACE = SMALL_SPACE.replace("epochs: 2", "epochs: 400").replace("limit: 200", "limit: 400")
ONE_WORKER = ("--set", "search.max_concurrent=1")
"""For what is the driver's matter: a worker is a process that imports torch and Ray Tune."""
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same as an IPv6 address, and ::1, as /proc/net writes them on a little-endian machine."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    (tmp_path / "long.yaml").write_text(LONG_SPACE)
    copy_mlflow_database(tmp_path / "studies/mlflow.db")
    return tmp_path


class Searched(NamedTuple):
    """A folder in which a user has launched `small.yaml`, and what he saw."""

    folder: Path
    output: str


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("searched")
    (folder / "small.yaml").write_text(SMALL_SPACE)
    return Searched(folder, succeed("launch", "small.yaml", cwd=folder))


def mlflow_runs(folder: Path, study: str) -> list[Any]:
    client = MlflowClient(f"sqlite:///{folder}/studies/mlflow.db")
    experiment = client.get_experiment_by_name(f"kansearch/{study}")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def assert_mlflow_agrees(folder: Path, study: str) -> None:
    """One run a trial that ran and one for the study; states, reasons, and every epoch once."""
    client = MlflowClient(f"sqlite:///{folder}/studies/mlflow.db")
    runs = {run.data.tags.get("kansearch.trial"): run for run in mlflow_runs(folder, study)}
    every = trials(study, folder)
    records = [record for record in every if record["state"] != "infeasible"]
    assert len(mlflow_runs(folder, study)) == len(records) + 1
    assert runs[None].data.metrics["infeasible_trials"] == len(every) - len(records)
    status = {"complete": "FINISHED", "fail": "FAILED", "pruned": "KILLED"}
    for record in records:
        found = runs[str(record["number"])]
        assert found.info.status == status[record["state"]]
        assert found.data.tags.get("kansearch.reason") == record["reason"]
        steps = [metric.step for metric in client.get_metric_history(found.info.run_id, "train_loss")]
        assert steps == list(range(1, record["epochs"] + 1))
    assert runs[None].info.status == "FINISHED"


def workers(pid: int) -> Iterator[int]:
    return (child for child in descendants(pid) if "ray::" in command_line(child) and "train" in command_line(child))


def assert_front_weights_alone(folder: Path) -> None:
    """Checkpoints of finished trials are gone; of the front's the weights are kept, and load into the network."""
    study = Study.open(folder / "studies", "small")
    front = front_of(study.records(), study.objectives)
    kept = [path for path in (folder / "studies/small/trials").rglob("*") if path.is_file()]
    assert sorted(path.parent.name for path in kept) == [f"{number:05d}" for number in sorted(r.number for r in front)]
    assert {path.name for path in kept} == {"model.safetensors"}
    best = next(record for record in front if f"{record.number:05d}" == kept[0].parent.name)
    network = build_network(best.config)
    before = [p.clone() for p in network.parameters()]
    load_weights(kept[0], network)
    assert sum(p.numel() for p in before) == best.metrics["parameters"]
    assert not any(torch.equal(p, q) for p, q in zip(before, network.parameters(), strict=True))


def assert_functions_can_be_drawn(folder: Path) -> None:
    """Of a KAN on the front, from the weights that were kept, and MLflow shows them in its run."""
    study = Study.open(folder / "studies", "small")
    front = front_of(study.records(), study.objectives)
    record = next(each for each in front if each.config.model.basis.name == "rbf")
    assert "blocks.0.1" in answer("inspect", "small", "--pick", str(record.number), cwd=folder)
    drawn = {path.name for path in (study.folder / f"pictures/{record.number:05d}").iterdir()}
    assert "01-blocks.0.1-functions.png" in drawn
    own = next(
        each for each in mlflow_runs(folder, "small") if each.data.tags.get("kansearch.trial") == str(record.number)
    )
    listed = MlflowClient(study.tracking_uri).list_artifacts(own.info.run_id, "pictures")
    assert {Path(each.path).name for each in listed} == drawn
    plain = next(each for each in study.records() if each.number not in {on.number for on in front})
    refused = call("inspect", "small", "--pick", str(plain.number), cwd=folder)
    assert refused.code == 2 and f"no weights are kept of trial {plain.number}" in refused.err


def test_the_numbers_of_a_trial_are_those_of_its_configuration(searched: Searched) -> None:
    """What a search reports can be had again from the configuration alone, without any search."""
    front = json.loads(answer("front", "small", "--json", cwd=searched.folder))
    for entry in front:
        config = TrialConfig.model_validate(entry["config"])
        *_, last = run_trial(config, device="cpu")
        assert entry["values"]["accuracy"] == last.accuracy
        assert entry["values"]["parameters"] == last.parameters


@pytest.mark.usefixtures("shared_ray")
def test_a_search_runs_its_budget_and_mlflow_agrees(searched: Searched) -> None:
    folder, output = searched
    assert "\nworkers training " in output
    records = trials("small", folder)
    assert [record["number"] for record in records] == list(range(6))
    assert all(record["state"] == "complete" and record["epochs"] == 2 for record in records)
    assert "\x1b" not in output, "no escape codes in a pipe"
    for line in ("kansearch dashboard small", "kansearch export small --pick knee -o small-best.yaml"):
        assert line in output
    assert_mlflow_agrees(folder, "small")
    assert_front_weights_alone(folder)

    parent = next(run for run in mlflow_runs(folder, "small") if "kansearch.trial" not in run.data.tags)
    client = MlflowClient(f"sqlite:///{folder}/studies/mlflow.db")
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} == {
        "environment.json",
        "front.json",
        "front.png",
        "front.svg",
        "report.html",
        "space.yaml",
    }
    assert_functions_can_be_drawn(folder)
    assert parent.data.metrics["finished_trials"] == 6
    assert 0 < parent.data.metrics["hypervolume"] < 1
    front = json.loads(answer("front", "small", "--json", cwd=folder))
    assert parent.data.metrics["front_size"] == len(front)

    again = answer("resume", "small", cwd=folder)
    assert "6 trials finished before, 0 to go on with" in again
    assert len(trials("small", folder)) == 6
    answer("resume", "small", "--trials", "7", cwd=folder)
    assert len(trials("small", folder)) == 7
    assert_mlflow_agrees(folder, "small")


@pytest.mark.usefixtures("shared_ray")
def test_a_trial_that_raises_or_diverges_fails_and_the_search_goes_on(folder: Path) -> None:
    space = """
study: bad
data: {dataset: digits, limit: 200, batch_size: {choice: [1, 16]}}
model:
  depth: {choice: [1, 32]}
  halvings: 0
  width: 4
  basis: none
  base_activation: identity
  normalization: {choice: [batch, none]}
optimizer: {name: adamw, lr: 10.0}
schedule: constant
epochs: 4
search: {sampler: random, scheduler: none, trials: 14, seed: 3}
"""
    (folder / "bad.yaml").write_text(space)
    output = answer("launch", "bad.yaml", cwd=folder)
    records = trials("bad", folder)
    assert len(records) == 14
    failures = [record for record in records if record["state"] == "fail"]
    reasons = {record["reason"].split(":")[0] for record in failures}
    assert reasons == {"TrialDiverged", "ValueError"}
    assert all("\n" not in record["reason"] for record in failures)
    assert any(record["state"] == "complete" for record in records)
    assert f"{len(failures)} of 14 trials failed" in output
    traceback = folder / f"studies/bad/trials/{failures[0]['number']:05d}/error.txt"
    assert "Traceback" in traceback.read_text()
    assert_mlflow_agrees(folder, "bad")


@pytest.mark.usefixtures("shared_ray")
def test_a_search_with_no_complete_trial_says_why(folder: Path) -> None:
    settings = ("--set", "data.batch_size=1", "--set", "model.basis=none", "--trials", "2", *ONE_WORKER)
    done = call("launch", "small.yaml", *settings, cwd=folder)
    assert done.code == 1
    assert "no trial of study 'small' completed" in done.err
    assert "normalization batch needs batch_size >= 2" in done.err
    assert "Traceback" not in done.err


def test_a_signal_stops_cleanly_and_the_search_can_go_on(folder: Path) -> None:
    """One driver is interrupted, the next one is terminated, and the third one ends the search."""
    again: tuple[str, ...] = ("launch", "long.yaml", "--trials", "2", "--epochs", "200", *ONE_WORKER)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = epochs_done(folder / "studies", "small")
        driver = start(*again, cwd=folder)
        wait_until(lambda before=before: epochs_done(folder / "studies", "small") > before)
        training = list(workers(driver.pid))
        for worker in training:
            os.kill(worker, signal.SIGSTOP)  # no trial ends before the signal, however fast the machine is
        assert listening(driver.pid) <= LOOPBACK
        refused = call("resume", "small", cwd=folder)
        for worker in training:
            os.kill(worker, signal.SIGCONT)
        assert refused.code == 1
        assert f"is being run by process {driver.pid} on " in refused.err
        _, stderr = stop(driver, number)
        assert driver.returncode == code
        assert stderr.strip().splitlines()[-1].endswith("go on with `kansearch resume small`")
        assert "Traceback" not in stderr
        assert any(record["state"] == "running" for record in trials("small", folder))
        parent = next(run for run in mlflow_runs(folder, "small") if "kansearch.trial" not in run.data.tags)
        assert parent.info.status == "KILLED"
        again = ("resume", "small")
    succeed("resume", "small", cwd=folder)
    assert [record["state"] for record in trials("small", folder)] == ["complete", "complete"]
    assert_mlflow_agrees(folder, "small")


@pytest.mark.slow
def test_the_time_budget_stops_trials_early_and_says_so(folder: Path) -> None:
    settings = ("--set", "search.max_concurrent=1", "--set", "model.basis=none")
    first = run(
        "launch", "long.yaml", "--trials", "1000", "--epochs", "20", "--time-budget", "40s", *settings, cwd=folder
    )
    assert first.returncode == 0, first.stderr
    records = trials("small", folder)
    assert 1 < len(records) < 1000
    (unfinished,) = [record for record in records if record["state"] != "complete"]
    assert unfinished["state"] == "running" and "trials unfinished: 1; " in first.stdout
    again = run("resume", "small", cwd=folder)
    assert again.returncode == 0
    assert len(trials("small", folder)) == len(records), "the budget is the study's, not the driver's"
    succeed("resume", "small", "--trials", str(len(records)), "--time-budget", "1h", cwd=folder)
    assert all(record["state"] == "complete" for record in trials("small", folder)), "it went on"


@pytest.mark.usefixtures("shared_ray")
def test_no_configuration_over_a_constraint_trains(folder: Path) -> None:
    settings = ("--set", "constraints.parameters=200", "--set", "model.width={int: [2, 40]}", *ONE_WORKER)
    document = json.loads(answer("launch", "small.yaml", *settings, "--json", cwd=folder))
    records = trials("small", folder)
    known = {record["number"]: record for record in records}
    assert document["front"]
    assert all(entry["values"] == known[entry["number"]]["values"] for entry in document["front"])
    infeasible = [record for record in records if record["state"] == "infeasible"]
    assert infeasible, "the seed draws some"
    for record in infeasible:
        assert record["epochs"] == 0
        assert record["reason"].startswith("parameters ")
    trained = [record for record in records if record["state"] == "complete"]
    assert len(trained) == 6
    assert all(record["metrics"]["parameters"] <= 200 for record in trained)
    assert_mlflow_agrees(folder, "small")


def test_a_cluster_that_does_not_answer_is_told_at_once(folder: Path) -> None:
    done = call("launch", "small.yaml", "--address", "127.0.0.1:1", cwd=folder)
    assert done.code == 1
    assert done.err.startswith("kansearch: no Ray cluster answers at '127.0.0.1:1': ")


def test_another_package_named_trials_is_named(folder: Path) -> None:
    (folder / "trials.py").write_text("")
    done = run("launch", "small.yaml", cwd=folder)
    assert done.returncode == 2
    assert str(folder / "trials.py") in done.stderr
