"""A trial learns, repeats itself, resumes exactly, tells of divergence, and never looks at the test split."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.results import untimed
from trials.config import DataConfig, PlainModelConfig, RegularizationConfig, TrialConfig
from trials.data import datasets, splits
from trials.data.datasets import data_shape, read
from trials.kan import BASES
from trials.kan.layer import KANLayer
from trials.measure.quality import classification_metrics
from trials.measure.sizes import count_flops, count_parameters
from trials.models import build_model
from trials.training import run
from trials.training.checkpoint import CheckpointError, load_checkpoint
from trials.training.loop import TrialDiverged
from trials.training.run import evaluate, run_trial
from trials.training.step import l1_penalty, train_step

DIGITS = data_shape(DataConfig(dataset="digits"))


def config_of(**fields: Any) -> TrialConfig:
    """A small, quick trial on digits; `fields` go over its parts."""
    base: dict[str, Any] = {
        "data": {"dataset": "digits", "batch_size": 64},
        "model": {"depth": 2, "width": 8, "halvings": 1, "basis": {"name": "rbf", "grid_size": 4}},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "epochs": 3,
    }
    parts = {
        key: {**base[key], **value} if isinstance(value, dict) and key in base else value
        for key, value in fields.items()
    }
    return TrialConfig.model_validate({**base, **parts})


@pytest.mark.parametrize("basis", [*sorted(BASES), "none"])
def test_digits_are_learnt_in_a_few_epochs(basis: str) -> None:
    config = config_of(model={"basis": {"name": basis}, "width": 16}, epochs=6)
    results = list(run_trial(config, device="cpu"))
    assert [result.epoch for result in results] == [1, 2, 3, 4, 5, 6]
    assert results[-1].accuracy is not None and results[-1].accuracy > 0.9
    assert results[-1].train_loss < results[0].train_loss / 3
    assert results[-1].learning_rate < results[0].learning_rate <= 1e-2


@pytest.mark.parametrize("optimizer", ["lion", "lbfgs"])
def test_every_optimizer_learns(optimizer: str) -> None:
    options, batch_size, epochs = {
        "lion": ({"name": "lion", "lr": 5e-3}, 64, 6),
        "lbfgs": ({"name": "lbfgs", "lr": 0.5}, 256, 8),  # so many steps until the norms know what they see
    }[optimizer]
    fields = {
        "epochs": epochs,
        "optimizer": options,
        "data": {"dataset": "digits", "batch_size": batch_size, "limit": 700},
    }
    results = list(run_trial(TrialConfig.model_validate({**config_of().model_dump(), **fields}), device="cpu"))
    assert results[-1].accuracy is not None and results[-1].accuracy > 0.6
    assert results[-1].train_loss < results[0].train_loss


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "lbfgs"])
def test_a_trial_interrupted_after_any_epoch_goes_on_bit_for_bit(optimizer: str, tmp_path: Path) -> None:
    fields = {
        "data": {"dataset": "digits", "batch_size": 64, "limit": 200, "augment": "crop_flip"},
        "model": {**config_of().model.model_dump(), "dropout": 0.2},
        "optimizer": {"name": optimizer, "lr": 5e-3},
        "schedule": "one_cycle",
        "epochs": 4,
    }
    config = TrialConfig.model_validate(fields)
    whole = untimed(list(run_trial(config, device="cpu", checkpoint=tmp_path / "whole.pt")))
    for done in (1, 2, 3):
        path = tmp_path / f"after-{done}.pt"
        first = run_trial(config, device="cpu", checkpoint=path)
        noted = [next(first) for _ in range(done)]
        first.close()
        torch.manual_seed(12345)
        results = list(run_trial(config, device="cpu", checkpoint=path))
        assert results[:done] == noted
        assert untimed(results) == whole
        ours, theirs = load_checkpoint(path)["model"], load_checkpoint(tmp_path / "whole.pt")["model"]
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert list(run_trial(config, device="cpu", checkpoint=path)) == results, "all done: only told again"


def test_the_same_configuration_gives_the_same_numbers_and_another_seed_does_not() -> None:
    config = config_of(epochs=2, model={"dropout": 0.1})
    first, second = (untimed(list(run_trial(config, device="cpu"))) for _ in range(2))
    assert first == second
    assert untimed(list(run_trial(config.model_copy(update={"seed": 1}), device="cpu"))) != first


def test_float32_is_the_default_on_a_cpu_and_bfloat16_learns_too(tmp_path: Path) -> None:
    path = tmp_path / "half.pt"
    auto, single = (untimed(list(run_trial(config_of(precision=p), device="cpu"))) for p in ("auto", "float32"))
    half = untimed(list(run_trial(config_of(precision="bfloat16"), device="cpu", checkpoint=path)))
    assert auto == single != half
    assert half[-1].train_loss == pytest.approx(single[-1].train_loss, rel=0.1)
    assert all(value.dtype != torch.bfloat16 for value in load_checkpoint(path)["model"].values())


def test_cudnn_is_on_and_deterministic_while_a_trial_trains() -> None:
    trial = run_trial(config_of(), device="cpu")
    next(trial)
    assert torch.backends.cudnn.enabled and torch.backends.cudnn.deterministic
    trial.close()
    assert torch.backends.cudnn.enabled and not torch.backends.cudnn.deterministic


def test_a_checkpoint_is_written_before_its_result(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for result in run_trial(config_of(), device="cpu", checkpoint=path):
        assert load_checkpoint(path)["results"][-1] == result.row()


def test_a_damaged_checkpoint_is_logged_and_the_trial_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pt"
    whole = untimed(list(run_trial(config_of(), device="cpu", checkpoint=path)))
    path.write_bytes(path.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        assert untimed(list(run_trial(config_of(), device="cpu", checkpoint=path))) == whole
    assert "checkpoint.pt" in caplog.text and "starts anew" in caplog.text


@pytest.mark.parametrize("change", [{"model": {"width": 9}}, {"optimizer": {"name": "lion", "lr": 1e-3}}])
def test_another_configurations_checkpoint_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    next(run_trial(config_of(), device="cpu", checkpoint=path))
    changed = TrialConfig.model_validate({**config_of().model_dump(), **change})
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: was written by"):
        next(run_trial(changed, device="cpu", checkpoint=path))
    assert path.read_bytes() == before


def test_a_diverged_trial_says_where_and_leaves_its_last_good_checkpoint(tmp_path: Path) -> None:
    config = config_of(model={"normalization": "none"}, schedule="constant")
    path = tmp_path / "checkpoint.pt"
    trial = run_trial(config, device="cpu", checkpoint=path)
    next(trial)
    state = load_checkpoint(path)
    state["model"]["head.2.weight"].fill_(torch.inf)
    torch.save(state, path)
    with pytest.raises(TrialDiverged, match=r"^training loss is (nan|inf) in epoch 2$"):
        list(run_trial(config, device="cpu", checkpoint=path))
    assert len(load_checkpoint(path)["results"]) == 1


def test_without_hold_out_the_whole_training_split_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = run.load_training

    def spy(*args: Any) -> Any:
        loaded = original(*args)
        sizes.append(len(loaded[0]))
        return loaded

    monkeypatch.setattr(run, "load_training", spy)
    result = next(run_trial(config_of(), device="cpu", hold_out=False))
    assert result.validation_loss is None and result.accuracy is None
    next(run_trial(config_of(), device="cpu"))
    assert sizes == [1437, 1293]


def test_a_trial_never_touches_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    training, test = read(DataConfig(dataset="digits"), None)
    expected = untimed(list(run_trial(config_of(epochs=1), device="cpu")))
    poisoned = dataclasses.replace(test, images=255 - test.images, labels=(test.labels + 1) % 10)
    for pair in ((training, poisoned), (training, None)):
        monkeypatch.setattr(splits, "_READ", {("digits", None): pair})
        assert untimed(list(run_trial(config_of(epochs=1), device="cpu"))) == expected


def test_evaluate_measures_the_checkpoint_on_the_test_split(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    config = config_of(epochs=5)
    results = list(run_trial(config, device="cpu", checkpoint=path))
    metrics = evaluate(config, path, device="cpu")
    json.dumps(metrics, allow_nan=False)
    assert metrics["images"] == 360 and np.sum(metrics["confusion_matrix"]) == 360
    assert abs(metrics["accuracy"] - (results[-1].accuracy or 0)) < 0.1
    assert metrics == evaluate(config, path, device="cpu")
    with pytest.raises(FileNotFoundError):
        evaluate(config, tmp_path / "none.pt")


def test_saved_weights_are_those_of_the_last_checkpoint(tmp_path: Path) -> None:
    path, weights = tmp_path / "checkpoint.pt", tmp_path / "weights.safetensors"
    for result in run_trial(config_of(), device="cpu", checkpoint=path, weights=weights):
        assert weights.exists() == (result.epoch == config_of().epochs)
    model = build_model(config_of().model, DIGITS)
    model.load_state_dict(load_file(weights))
    state = load_checkpoint(path)["model"]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dataset", ["digits", "fashion_mnist"])
@pytest.mark.parametrize("basis", ["bspline", "none"])
def test_sizes_are_counted_without_data_or_memory(dataset: str, basis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "locate", lambda *args: pytest.fail("looked for files"))
    config = config_of(data={"dataset": dataset}, model={"basis": {"name": basis}, "head": "flatten"})
    model = build_model(config.model, data_shape(DataConfig(dataset=dataset)))
    assert count_parameters(config) == sum(p.numel() for p in model.parameters())
    huge = config.model_copy(
        update={"model": config.model.model_copy(update={"width": 4096, "depth": 20, "growth": 1})}
    )
    assert count_parameters(huge) > 1e9


def test_flops_are_two_for_each_multiplication() -> None:
    config = config_of(model={"basis": {"name": "none"}, "depth": 1, "halvings": 0, "width": 4})
    assert count_flops(config) == 2 * (8 * 8 * 4 * 9 + 4 * 10)
    expanded = config_of(
        model={"basis": {"name": "gram", "degree": 4}, "base_branch": False, "depth": 1, "halvings": 0, "width": 4}
    )
    assert count_flops(expanded) == 2 * (8 * 8 * 4 * 9 * 4 + 4 * 10)


def test_a_mixture_of_experts_trains_counts_and_resumes(tmp_path: Path) -> None:
    config = config_of(model={"depth": 3, "experts": 3, "bottleneck": 2, "noise": 0.1}, epochs=2)
    one = config_of(model={"depth": 3, "bottleneck": 2})
    assert count_parameters(config) > count_parameters(one)
    assert count_flops(config) >= count_flops(one)
    path = tmp_path / "checkpoint.pt"
    whole = untimed(list(run_trial(config, device="cpu", checkpoint=path)))
    interrupted = run_trial(config, device="cpu", checkpoint=tmp_path / "again.pt")
    next(interrupted)
    assert untimed(list(run_trial(config, device="cpu", checkpoint=tmp_path / "again.pt"))) == whole
    assert evaluate(config, path, device="cpu")["accuracy"] > 0.3


def test_batch_normalisation_of_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size >= 2, got 1"):
        next(run_trial(config_of(data={"dataset": "digits", "batch_size": 1}), device="cpu"))


@pytest.mark.parametrize("bottleneck", [None, 2])
def test_the_l1_penalty_pulls_at_every_weight_of_a_layer_the_head_included(bottleneck: int | None) -> None:
    torch.manual_seed(0)
    model = build_model(PlainModelConfig(depth=3, width=8, classifier="kan", halvings=1, bottleneck=bottleneck), DIGITS)
    images, labels = torch.randn(16, 1, 8, 8), torch.arange(16) % 10

    def gradients(l1_weight: float) -> dict[str, torch.Tensor]:
        model.eval()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        train_step(model, optimizer, RegularizationConfig(l1_weight=l1_weight), images, labels)
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    with_penalty, without = gradients(0.01), gradients(0.0)
    kinds = (KANLayer, nn.Conv2d)
    layers = {f"{name}.weight": each for name, each in model.named_modules() if isinstance(each, kinds)}
    assert len(layers) == (4 if bottleneck is None else 8)
    for name in without:
        difference = with_penalty[name] - without[name]
        expected = torch.zeros_like(difference)
        if name in layers:
            expected = 0.01 * layers[name].get_parameter("weight").detach().sign()
        torch.testing.assert_close(difference, expected, atol=1e-6, rtol=0, msg=name)


def test_the_penalty_is_not_in_the_reported_loss() -> None:
    torch.manual_seed(0)
    model = build_model(PlainModelConfig(depth=1, width=4), DIGITS)
    images, labels = torch.randn(16, 1, 8, 8), torch.arange(16) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    losses = [train_step(model, optimizer, RegularizationConfig(l1_weight=w), images, labels) for w in (0.0, 1.0)]
    assert torch.equal(losses[0], losses[1])
    assert l1_penalty(model).item() > 1
    assert l1_penalty(nn.BatchNorm2d(2)).item() == 0


def test_metrics_of_known_predictions() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    logits = 10.0 * np.eye(3)[[0, 1, 1, 1, 2, 0]]
    metrics = classification_metrics(logits, labels)
    assert metrics["accuracy"] == pytest.approx(4 / 6)
    assert metrics["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert metrics["per_class_accuracy"] == [0.5, 1.0, 0.5]
    assert metrics["precision"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert metrics["recall"] == pytest.approx(2 / 3)
    assert metrics["f1"] == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    assert metrics["loss"] == pytest.approx(
        (4 * np.log(1 + 2 * np.exp(-10)) + 2 * (10 + np.log(1 + 2 * np.exp(-10)))) / 6
    )
    assert metrics["top5_accuracy"] is None


@pytest.mark.parametrize("present", [[0, 1, 2], [4, 7], [3]])
def test_metrics_live_with_missing_classes(present: list[int]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(present, 50)
    metrics = classification_metrics(rng.normal(size=(50, 10)).astype(np.float32), labels)
    json.dumps(metrics, allow_nan=False)
    assert [value is not None for value in metrics["per_class_accuracy"]] == [c in present for c in range(10)]
    assert (metrics["roc_auc_ovo"] is None) == (metrics["roc_auc_ovr"] is None) == (len(present) == 1)
    assert 0 < metrics["top5_accuracy"] < 1


def test_a_perfect_model_has_perfect_metrics() -> None:
    labels = np.arange(30) % 10
    metrics = classification_metrics(5.0 * np.eye(10)[labels], labels)
    names = ["accuracy", "top5_accuracy", "precision", "recall", "f1", "roc_auc_ovo", "roc_auc_ovr"]
    assert [metrics[name] for name in names] == [1.0] * 7


def test_logits_that_are_not_finite_are_told() -> None:
    with pytest.raises(ValueError, match="not finite"):
        classification_metrics(np.full((4, 3), np.nan), np.zeros(4, np.int64))
