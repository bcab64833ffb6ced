"""From a configuration to a trained model: retrain trains it whole, once, and after a kill too."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kansearch.errors import KansearchError
from kansearch.models import export as exporting
from kansearch.models.pick import pick_trial
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from kansearch.space import load_config, parse_space
from kansearch.study.seeds import SeedRecord
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, run, start, start_trial, stop, succeed
from trials.config import TrialConfig
from trials.results import FILES
from trials.training.run import run_trial

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def finished_study(home: Path, trials: int = 3) -> Study:
    """`trials` complete trials, really trained, and a failed one after them."""
    study = Study.create(home, parse_space(SMALL_SPACE, "small.yaml"))
    for _ in range(trials):
        trial = start_trial(study)
        for result in run_trial(trial.config, device="cpu"):
            study.add_epochs(trial.number, [result.row()])
        study.complete(trial.number)
    trial = start_trial(study)
    study.fail(trial.number, "TrialDiverged: " + "the loss is not finite; " * 12)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return finished_study(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def config(study: Study) -> TrialConfig:
    return study.record(0).config


def export(study: Study, pick: str, path: Path) -> None:
    exporting.export(study, pick_trial(study, pick), path)


def comparable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Without what is measured in seconds, which is another figure each time."""
    own = {key: value for key, value in metrics.items() if key != "timing"}
    return own | ({"runs": [comparable(run) for run in own["runs"]]} if "runs" in own else {})


class Seen:
    """An observer that notes what is known at the start, and each epoch."""

    def __init__(self) -> None:
        self.known: list[tuple[int, str, int]] = []
        self.epochs: list[tuple[int, int]] = []

    def started(self, retraining: Retraining, records: Sequence[SeedRecord]) -> None:
        self.known = [(record.seed, record.state, record.epochs) for record in records]

    def changed(self, record: SeedRecord) -> None:
        self.epochs.append((record.seed, record.epochs))

    def ended(self, outcome: str) -> None:
        assert outcome == "finished"


# -- retrain -------------------------------------------------------------------------------------------------------


def test_retrain_writes_the_folder_it_documents(config: TrialConfig, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    out = tmp_path / "deep" / "model"
    seen = Seen()
    metrics = retrain(Retraining(config, out, 2), [seen])
    assert seen.epochs == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
        *("README.md", "config.yaml", "confusion.png", "curves.png", "metrics.json"),
        *(f"seed-{seed}/{name}" for seed in (0, 1) for name in FILES),
    }
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert load_config(out / "config.yaml") == config
    weights = load_file(out / "seed-0/model.safetensors")
    assert sum(tensor.numel() for tensor in weights.values()) >= metrics["parameters"]


def test_two_seeds_give_a_mean_and_a_deviation(config: TrialConfig, tmp_path: Path) -> None:
    metrics = retrain(Retraining(config, tmp_path / "two", 2))
    first, second = metrics["runs"]
    assert metrics["split"] == "test"
    assert metrics["seeds"] == [0, 1]
    assert first["loss"] != second["loss"], "the seed matters"
    for name in ("accuracy", "loss", "f1", "precision", "recall", "roc_auc_ovr", "roc_auc_ovo", "top5_accuracy"):
        assert metrics[name] == pytest.approx((first[name] + second[name]) / 2)
        assert metrics["standard_deviation"][name] == pytest.approx(statistics.stdev([first[name], second[name]]))
    assert metrics["interval"] is None, "two seeds tell too little"
    card = (tmp_path / "two/README.md").read_text()
    assert "No interval: 2 seeds cannot tell how much others would differ; 3 or more can (--seeds 3)." in card
    assert f"| accuracy | {metrics['accuracy']:.4f} | {first['accuracy']:.4f}, {second['accuracy']:.4f} |" in card
    for name in ("parameters", "flops", "epochs", "images"):
        assert metrics[name] == first[name]
        assert isinstance(metrics[name], int)
    assert metrics["images"] == 360, "a fifth of the digits, none of which a search sees"
    assert len(first["confusion_matrix"]) == 10

    alone = retrain(Retraining(config.model_copy(update={"seed": 1}), tmp_path / "one"))
    assert alone["standard_deviation"] is None
    assert alone["accuracy"] == second["accuracy"]
    assert alone["loss"] == second["loss"]


def test_more_seeds_train_only_those_that_are_missing(config: TrialConfig, tmp_path: Path) -> None:
    retrain(Retraining(config, tmp_path / "model"))
    before = (tmp_path / "model/seed-0/metrics.json").read_bytes()
    metrics = retrain(Retraining(config, tmp_path / "model", 2))
    assert (tmp_path / "model/seed-0/metrics.json").read_bytes() == before
    assert metrics["seeds"] == [0, 1]


def test_another_configuration_is_refused_and_harms_nothing(study: Study, tmp_path: Path) -> None:
    export(study, "0", tmp_path / "a.yaml")
    export(study, "1", tmp_path / "b.yaml")
    retrain(Retraining(load_config(tmp_path / "a.yaml"), tmp_path / "model"))
    before = (tmp_path / "model/metrics.json").read_bytes()
    refused = run("retrain", "b.yaml", "-o", "model", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == "kansearch: model holds a model of another configuration; give an empty folder\n"
    assert (tmp_path / "model/metrics.json").read_bytes() == before


def test_a_damaged_file_in_the_folder_is_told_in_one_line(config: TrialConfig, tmp_path: Path) -> None:
    retrain(Retraining(config, tmp_path / "model"))
    (tmp_path / "model/seed-0/metrics.json").write_text("{")
    with pytest.raises(KansearchError, match=r"cannot train in .*model: "):
        retrain(Retraining(config, tmp_path / "model"))


def test_a_configuration_that_cannot_be_trained_says_why(config: TrialConfig, tmp_path: Path) -> None:
    alone = config.model_copy(update={"data": config.data.model_copy(update={"batch_size": 1})})
    with pytest.raises(KansearchError, match="normalization batch needs batch_size >= 2"):
        retrain(Retraining(alone, tmp_path / "model"))


def test_a_retraining_that_diverges_says_so(config: TrialConfig, tmp_path: Path) -> None:
    model = {**config.model_dump()["model"], "depth": 32, "width": 4, "halvings": 0, "normalization": "none"}
    wild = {
        **config.model_dump(),
        "model": {**model, "basis": {"name": "none"}, "base_activation": "identity"},
        "optimizer": {"name": "adamw", "lr": 10.0},
        "schedule": "constant",
    }
    with pytest.raises(KansearchError, match="loss is nan in epoch 1"):
        retrain(Retraining(TrialConfig.model_validate(wild), tmp_path / "model"))


LONG = 60


@pytest.fixture
def half_way(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A retrain in `tmp_path/model` that has just done its third epoch."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in this process: sums in the same order
    export(study, "0", tmp_path / "best.yaml")
    process = start("retrain", "best.yaml", "--epochs", str(LONG), "-o", "model", cwd=tmp_path)
    assert process.stdout is not None
    assert any(line.startswith(f"seed 0 epoch 3/{LONG}") for line in process.stdout)
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def test_a_killed_retrain_goes_on_to_the_same_numbers(half_way: subprocess.Popen[str], tmp_path: Path) -> None:
    stop(half_way, signal.SIGKILL)
    seed = tmp_path / "model" / "seed-0"
    assert (seed / "checkpoint.pt").exists()
    assert not (seed / "metrics.json").exists(), "the kill came in the middle"

    succeed("retrain", "best.yaml", "--epochs", str(LONG), "-o", "model", cwd=tmp_path)
    config = load_config(tmp_path / "best.yaml").model_copy(update={"epochs": LONG})
    retrain(Retraining(config, tmp_path / "whole"))
    interrupted, whole = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("model", "whole"))
    assert comparable(interrupted) == comparable(whole)
    curves = [json.loads((tmp_path / name / "seed-0/curve.json").read_text()) for name in ("model", "whole")]
    assert [row["epoch"] for row in curves[0]] == list(range(1, LONG + 1))
    assert [row["train_loss"] for row in curves[0]] == [row["train_loss"] for row in curves[1]]
    assert not (seed / "checkpoint.pt").exists()


def test_ctrl_c_says_how_to_go_on(half_way: subprocess.Popen[str], tmp_path: Path) -> None:
    _, stderr = stop(half_way, signal.SIGINT)
    assert half_way.returncode == 130
    assert stderr == "kansearch: stopped by SIGINT; the same command goes on with what is in model\n"
    assert (tmp_path / "model/seed-0/checkpoint.pt").exists()
