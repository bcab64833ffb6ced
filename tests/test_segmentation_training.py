"""A trial on images with a class for each pixel: it learns, resumes, is measured, retrained and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import jaccard_score

from kansearch.commands.delivering import run_retrain
from kansearch.console import front_table
from kansearch.seeds.retraining import Retraining
from kansearch.space import parse_space
from kansearch.study.front import front_of, knee
from kansearch.study.study import Study
from tests.helpers import start_trial
from tests.results import untimed
from trials.config import TrialConfig
from trials.data.images import IGNORED
from trials.data.splits import load_test
from trials.measure.sizes import measure
from trials.measure.timing import epoch_work, time_step
from trials.models import build_network
from trials.training.checkpoint import load_checkpoint
from trials.training.run import evaluate, run_trial
from trials.training.step import predict

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SIDE = 15
DATA: dict[str, Any] = {
    "dataset": "arrays", "dense": True, "size": (SIDE, SIDE), "channels": 3, "classes": 4, "batch_size": 16,
}  # fmt: skip


def shapes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Red squares, green discs and blue bars on noise, (N, 3, H, W), and their classes, (N, H, W), from 1; 0 is the
    ground, and a ring of each disc is not labelled."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 140, (count, 3, SIDE, SIDE))
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for image, mask in zip(images, masks, strict=True):
        (top, left), (y, x) = rng.integers(0, SIDE - 4, 2), rng.integers(3, SIDE - 3, 2)
        distance = np.hypot(rows - y, columns - x)
        mask[top : top + 5, left : left + 5] = 1
        mask[distance < 3] = 2
        mask[rng.integers(0, SIDE)] = 3
        for colour in range(3):
            image[colour][mask == colour + 1] += 90
        mask[(distance >= 3) & (distance < 3.5)] = IGNORED
    return images.astype(np.uint8), masks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shapes")
    for seed, (name, count) in enumerate({"train": 200, "test": 40}.items()):
        x, y = shapes(count, seed)
        np.savez(path / f"{name}.npz", x=x, y=y)
    return path


def config_of(**fields: Any) -> TrialConfig:
    base: dict[str, Any] = {
        "data": DATA,
        "model": {"family": "unet", "size": "small", "depth": 2, "width": 6, "basis": {"name": "none"}},
        "optimizer": {"name": "adamw", "lr": 2e-2},
        "epochs": 4,
    }
    parts = {key: {**base[key], **value} if isinstance(value, dict) and key in base else value
             for key, value in fields.items()}  # fmt: skip
    return TrialConfig.model_validate({**base, **parts})


@pytest.mark.parametrize("basis", ["none", "gram"])
def test_shapes_are_learnt_better_than_the_most_frequent_class(basis: str, folder: Path) -> None:
    masks = np.load(folder / "train.npz")["y"]
    ground = (masks == 0).sum() / (masks != IGNORED).sum()
    config = config_of(model={"basis": {"name": basis}}, regularization={"dice": 0.5, "side_weight": 0.5}, epochs=5)
    results = list(run_trial(config, data_dir=folder, device="cpu"))
    last = results[-1]
    assert last.accuracy is not None and last.mean_iou is not None and last.validation_loss is not None
    assert last.accuracy > ground + 0.5 * (1 - ground)
    assert last.mean_iou > 0.5 > 2 * ground / 4, "the ground alone would have a quarter of its own"
    assert last.train_loss < results[0].train_loss / 2


def test_a_trial_of_u2net_interrupted_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    model = {"family": "u2net", "size": "small", "width": 4, "basis": {"name": "gram", "degree": 2}}
    fields = {**config_of().model_dump(), "model": model, "epochs": 2}
    fields["data"] = {**DATA, "limit": 24, "batch_size": 8, "augment": "crop_flip"}
    config = TrialConfig.model_validate(fields)
    whole = untimed(list(run_trial(config, data_dir=folder, device="cpu", checkpoint=tmp_path / "whole.pt")))
    interrupted = run_trial(config, data_dir=folder, device="cpu", checkpoint=tmp_path / "again.pt")
    next(interrupted)
    interrupted.close()
    torch.manual_seed(9)
    again = untimed(list(run_trial(config, data_dir=folder, device="cpu", checkpoint=tmp_path / "again.pt")))
    assert again == whole
    ours, theirs = (load_checkpoint(tmp_path / name)["model"] for name in ("again.pt", "whole.pt"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_evaluation_is_that_of_all_test_pixels(folder: Path, tmp_path: Path) -> None:
    config, path = config_of(epochs=2), tmp_path / "checkpoint.pt"
    list(run_trial(config, data_dir=folder, device="cpu", checkpoint=path))
    metrics = evaluate(config, path, data_dir=folder, device="cpu")
    json.dumps(metrics, allow_nan=False)
    split = load_test(config.data, torch.device("cpu"), folder)
    model = build_network(config)
    model.load_state_dict(load_checkpoint(path)["model"])
    logits, labels = predict(model, split), split.labels.long()
    known = labels != IGNORED
    predicted = logits.argmax(1)[known]
    assert metrics["accuracy"] == pytest.approx((predicted == labels[known]).double().mean().item())
    assert metrics["mean_iou"] == pytest.approx(jaccard_score(labels[known], predicted, average="macro"))
    loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert np.sum(metrics["confusion_matrix"]) == known.sum() and metrics["images"] == 40
    assert len(metrics["per_class_iou"]) == 4 and 0 < metrics["dice"] <= 1


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # MLflow's own
def test_retraining_writes_and_prints_the_figures_of_pixels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Retraining(config_of(epochs=1, data={"limit": 60}), tmp_path / "out", 2, folder)
    run_retrain(told, tmp_path / "studies", None, "", None, as_json=False)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {"loss", "accuracy", "mean_iou", "dice", "parameters"} <= metrics.keys()
    assert metrics["standard_deviation"]["mean_iou"] >= 0
    assert f"mean IoU {metrics['mean_iou']:.4f}" in capsys.readouterr().out


def test_mean_iou_is_an_objective_from_the_trial_to_the_front(folder: Path, tmp_path: Path) -> None:
    text = f"""
study: pixels
data: {{dataset: arrays, dense: true, size: [{SIDE}, {SIDE}], channels: 3, classes: 4, limit: 60, batch_size: 16}}
model: {{family: unet, size: small, depth: 1, width: {{int: [2, 4]}}, basis: none}}
epochs: 1
objectives: {{mean_iou: maximize, parameters: minimize}}
"""
    study = Study.create(tmp_path, parse_space(text, "pixels.yaml"))
    for _ in range(2):
        trial = start_trial(study)
        for result in run_trial(trial.config, data_dir=folder, device="cpu"):
            study.add_epochs(trial.number, [result.row()])
        record = study.complete(trial.number)
        assert record.values["mean_iou"] == record.metrics["mean_iou"] == result.mean_iou
    front = front_of(study.records(), study.objectives)
    table = front_table(front, study.objectives, knee(front, study.objectives))
    assert [column.header for column in table.columns][:3] == ["trial", "mean iou", "parameters"]


def test_sizes_and_times_are_estimated_without_files() -> None:
    data = {"dataset": "segmentation", "image_size": 20, "classes": 3, "samples": 100, "batch_size": 1}
    model = {"family": "unet", "size": "small", "width": 4, "basis": {"name": "gram"}}
    config = TrialConfig.model_validate({"data": data, "model": model})
    sizes = measure(config, device="cpu")
    network = build_network(config)
    assert sizes["parameters"] == sum(p.numel() for p in network.parameters())
    assert sizes["flops"] > 0 and sizes["peak_memory_mib"] > 0
    more = measure(config.model_copy(update={"data": config.data.model_copy(update={"image_size": 40})}), device="cpu")
    assert more["flops"] == pytest.approx(4 * sizes["flops"], rel=0.05)
    assert more["peak_memory_mib"] > 1.5 * sizes["peak_memory_mib"]
    assert time_step(config, device="cpu").synthetic and epoch_work(config).evaluated == 10
