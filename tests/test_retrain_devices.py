"""`retrain` in several processes, on CPUs where there are no GPUs: two for one model, or one for each of two seeds."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from kansearch.errors import InputError, KansearchError
from kansearch.seeds.processes import _jobs, train_in_processes
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from kansearch.seeds.worker import Job
from tests.helpers import command_line, descendants, listening, run, start, stop, succeed
from tests.nodes import local_cluster
from tests.test_deliver import comparable
from trials import load_model
from trials.config import TrialConfig
from trials.results import FILES, TEST

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

DOCUMENT = {
    "data": {"dataset": "digits", "batch_size": 50},
    "model": {"depth": 2, "width": 8, "basis": {"name": "rbf", "grid_size": 4}, "normalization": "layer"},
    "optimizer": {"name": "adamw", "lr": 5e-3},
    "epochs": 8,
}
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, and the same as an IPv6 address."""


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    (tmp_path / "best.yaml").write_text(json.dumps({"config": DOCUMENT}))
    return tmp_path


def test_two_processes_train_the_model_that_one_trains(folder: Path) -> None:
    succeed("retrain", "best.yaml", "-o", "two", "--gpus", "2", "--tracking-uri", "http://127.0.0.1:9", cwd=folder)
    two = json.loads((folder / "two/metrics.json").read_text())
    one = retrain(Retraining(TrialConfig.model_validate(DOCUMENT), folder / "one"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3), "the same batches, weighted and summed"
    assert two["accuracy"] == pytest.approx(one["accuracy"], abs=0.006) and one["accuracy"] > 0.9
    assert {path.name for path in (folder / "two/seed-0").iterdir()} == {
        path.name for path in (folder / "one/seed-0").iterdir()
    }
    model, config = load_model(folder / "two")
    assert config == TrialConfig.model_validate(DOCUMENT) and len(model.classes) == 10
    assert "Trained by 2 processes" in (folder / "two/README.md").read_text()


@pytest.mark.slow
def test_killed_with_two_processes_it_goes_on_from_the_last_epoch_and_listens_on_loopback_alone(folder: Path) -> None:
    command = ("retrain", "best.yaml", "-o", "m", "--gpus", "2", "--epochs", "60")
    process = start(*command, cwd=folder)
    assert process.stdout is not None
    assert any(line.startswith("seed 0 epoch 3/60") for line in process.stdout)
    addresses = listening(process.pid)
    stop(process, signal.SIGKILL)
    assert addresses <= LOOPBACK
    assert (folder / "m/seed-0/checkpoint.pt").exists() and not (folder / "m/seed-0/metrics.json").exists()
    succeed(*command, cwd=folder)
    curve = json.loads((folder / "m/seed-0/curve.json").read_text())
    assert [row["epoch"] for row in curve] == list(range(1, 61))
    whole = run("retrain", "best.yaml", "-o", "whole", "--gpus", "2", "--epochs", "60", cwd=folder)
    assert whole.returncode == 0
    other = json.loads((folder / "whole/seed-0/curve.json").read_text())
    assert [row["train_loss"] for row in curve] == [row["train_loss"] for row in other]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_all_processes_in_one_line_and_the_same_command_goes_on(
    folder: Path, number: signal.Signals, code: int
) -> None:
    command = ("retrain", "best.yaml", "-o", "m", "--gpus", "2", "--epochs", "400")
    process = start(*command, cwd=folder)
    assert process.stdout is not None
    assert any(line.startswith("seed 0 epoch 3/400") for line in process.stdout)
    workers = [each for each in descendants(process.pid) if "seeds.worker" in command_line(each)]
    assert len(workers) == 2
    _, stderr = stop(process, number)
    assert process.returncode == code
    assert stderr == f"kansearch: stopped by {number.name}; the same command goes on with what is in m\n"
    assert not any(command_line(each) for each in workers)
    assert {path.name for path in (folder / "m/seed-0").iterdir()} == {"checkpoint.pt"}
    process = start(*command, cwd=folder)
    assert process.stdout is not None
    assert any(line.startswith("seed 0 epoch 4/400") for line in process.stdout)
    stop(process)


def test_a_process_that_is_killed_is_told_in_one_line_and_takes_the_others_with_it(folder: Path) -> None:
    process = start("retrain", "best.yaml", "-o", "m", "--gpus", "2", "--epochs", "400", cwd=folder)
    assert process.stdout is not None
    assert any(line.startswith("seed 0 epoch 2/400") for line in process.stdout)
    workers = [each for each in descendants(process.pid) if "seeds.worker" in command_line(each)]
    os.kill(workers[1], signal.SIGKILL)
    _, stderr = process.communicate(timeout=100)
    assert stderr == "kansearch: a training process ended by SIGKILL; the same command goes on\n"
    assert process.returncode == 1 and not any(command_line(each) for each in workers)


def test_seeds_side_by_side_leave_the_folder_that_they_leave_one_after_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrialConfig.model_validate(DOCUMENT | {"epochs": 2})
    one, two = Retraining(config, folder / "one", 3), Retraining(config, folder / "two", 3)
    retrain(one)
    (folder / "two").mkdir()
    for seed in two.numbers:
        two.folder(seed).mkdir()
    threads = torch.get_num_threads()
    jobs = [(0, Job(two, 0, "cpu", threads, "")), (1, Job(two, 0, "cpu", threads, ""))]
    monkeypatch.setattr("kansearch.seeds.processes._jobs", lambda *_: iter(jobs))
    told = list[tuple[int, int, bool]]()
    train_in_processes(two, [0, 1, 2], lambda seed, result: told.append((seed, result["epoch"], TEST in result)))
    assert sorted(told) == [(seed, epoch, epoch == 2) for seed in (0, 1, 2) for epoch in (1, 2)]
    for seed in (0, 1, 2):
        assert (one.folder(seed) / "model.safetensors").read_bytes() == (
            two.folder(seed) / "model.safetensors"
        ).read_bytes()
        ours, theirs = (json.loads((each.folder(seed) / "metrics.json").read_text()) for each in (one, two))
        assert comparable(ours) == comparable(theirs)


@pytest.mark.parametrize(
    ("gpus", "seeds", "together", "expected"),
    [
        (4, 3, 1, [(0, 0, "cuda:0"), (1, 0, "cuda:1"), (2, 0, "cuda:2")]),
        (2, 5, 1, [(0, 0, "cuda:0"), (1, 0, "cuda:1")]),
        (4, 2, 2, [(0, 0, "cuda:0"), (0, 1, "cuda:1"), (1, 0, "cuda:2"), (1, 1, "cuda:3")]),
        (3, 4, 2, [(0, 0, "cuda:0"), (0, 1, "cuda:1")]),
        (0, 4, 2, [(0, 0, "cpu"), (0, 1, "cpu")]),
    ],
)
def test_each_process_has_a_gpu_of_its_own(
    gpus: int, seeds: int, together: int, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.training.run.gpus", lambda: gpus)
    told = Retraining(TrialConfig.model_validate(DOCUMENT), Path("m"), seeds, processes=together)
    jobs = list(_jobs(told, list(told.numbers), "/meet"))
    assert [(group, job.rank, job.device) for group, job in jobs if isinstance(job, Job)] == expected
    meetings = {(group, job.meeting) for group, job in jobs if isinstance(job, Job)}
    assert len(meetings) == len({group for group, _, _ in expected})


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.training.run.gpus", lambda: 2)
    told = Retraining(TrialConfig.model_validate(DOCUMENT), Path("m"), processes=3)
    with pytest.raises(InputError, match="--gpus 3: there are 2"):
        list(_jobs(told, [0], ""))


@pytest.mark.slow
def test_a_training_that_fails_in_its_processes_says_why_in_one_line(folder: Path) -> None:
    wild = {**DOCUMENT, "optimizer": {"name": "adamw", "lr": 10.0}, "schedule": "constant", "precision": "float32"}
    wild["model"] = {"depth": 32, "width": 4, "halvings": 0, "normalization": "none", "basis": "none"}
    wild["model"] |= {"base_activation": "identity", "basis": {"name": "none"}}
    config = TrialConfig.model_validate(wild)
    with pytest.raises(KansearchError, match="loss is nan in epoch 1"):
        retrain(Retraining(config, folder / "m", processes=2))


@pytest.mark.slow
def test_on_a_cluster_processes_and_seeds_may_be_on_several_hosts_and_a_signal_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_cluster() as cluster:
        cluster.add()
        monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray leaves 127.0.0.1 as it is
        monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
        there = ("--address", cluster.address)
        succeed("retrain", "best.yaml", "-o", "m", "--gpus", "2", *there, cwd=folder)
        succeed("retrain", "best.yaml", "-o", "seeds", "--seeds", "2", "--epochs", "2", *there, cwd=folder)
        process = start("retrain", "best.yaml", "-o", "s", "--gpus", "2", "--epochs", "400", *there, cwd=folder)
        assert process.stdout is not None
        assert any(line.startswith("seed 0 epoch 3/400") for line in process.stdout)
        _, stderr = stop(process, signal.SIGTERM)
    assert process.returncode == 143
    assert stderr == "kansearch: stopped by SIGTERM; the same command goes on with what is in s\n"
    metrics = json.loads((folder / "m/metrics.json").read_text())
    assert metrics["accuracy"] > 0.9 and metrics["epochs"] == DOCUMENT["epochs"]
    for seed in (0, 1):
        assert {path.name for path in (folder / f"seeds/seed-{seed}").iterdir()} == set(FILES)
