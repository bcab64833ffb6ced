"""`retrain --gpus 2`: two processes of Ray Train, on CPUs where there are no GPUs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from kansearch.deliver.retrain import retrain
from kansearch.deliver.retraining import Retraining
from kansearch.errors import KansearchError
from tests.helpers import listening, run, start, stop, succeed
from tests.nodes import local_cluster
from trials import load_model
from trials.config import TrialConfig

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


@pytest.mark.slow
def test_a_training_that_fails_in_its_processes_says_why_in_one_line(folder: Path) -> None:
    wild = {**DOCUMENT, "optimizer": {"name": "adamw", "lr": 10.0}, "schedule": "constant", "precision": "float32"}
    wild["model"] = {"depth": 32, "width": 4, "halvings": 0, "normalization": "none", "basis": "none"}
    wild["model"] |= {"base_activation": "identity", "basis": {"name": "none"}}
    config = TrialConfig.model_validate(wild)
    with pytest.raises(KansearchError, match="loss is nan in epoch 1"):
        retrain(Retraining(config, folder / "m", processes=2))


@pytest.mark.slow
def test_the_processes_may_be_on_several_hosts_of_a_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_cluster() as cluster:
        cluster.add()
        monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray leaves 127.0.0.1 as it is
        monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
        succeed("retrain", "best.yaml", "-o", "m", "--gpus", "2", "--address", cluster.address, cwd=folder)
    metrics = json.loads((folder / "m/metrics.json").read_text())
    assert metrics["accuracy"] > 0.9 and metrics["epochs"] == DOCUMENT["epochs"]
