"""Batches that are accumulated make the step of one large batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trials.config import TrialConfig
from trials.data.splits import load_training
from trials.measure.memory import estimate_memory
from trials.measure.sizes import check_batch
from trials.models import build_network
from trials.training.checkpoint import load_checkpoint
from trials.training.optim import build_optimizer
from trials.training.run import run_trial
from trials.training.step import backward, train_step

PENALTIES = {"l1_weight": 1e-4, "l1_activation": 1e-3, "l2_activation": 1e-3, "label_smoothing": 0.1}


def config_of(batch_size: int, accumulate: int, **fields: Any) -> TrialConfig:
    base: dict[str, Any] = {
        "data": {"dataset": "digits", "limit": 200, "augment": "crop_flip", "batch_size": batch_size},
        "model": {"depth": 2, "width": 4, "halvings": 1, "normalization": "layer"},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "regularization": PENALTIES,
        "epochs": 2,
        "accumulate": accumulate,
    }
    return TrialConfig.model_validate({**base, **fields})


OPTIMIZERS = {"adamw": {"name": "adamw", "lr": 3e-3}, "lion": {"name": "lion", "lr": 1e-3}}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_parts_equal_the_larger_batch_to_rounding(optimizer: str, tmp_path: Path) -> None:
    ends = []
    for batch_size, accumulate in ((60, 1), (20, 3), (15, 4)):
        config = config_of(batch_size, accumulate, optimizer=OPTIMIZERS[optimizer])
        path = tmp_path / f"{accumulate}.pt"
        results = list(run_trial(config, device="cpu", checkpoint=path))
        ends.append((load_checkpoint(path)["model"], [result.train_loss for result in results]))
    (whole, losses), *others = ends
    for weights, theirs in others:
        assert theirs == pytest.approx(losses, rel=1e-4)
        for name, each in whole.items():
            differs = (weights[name] - each).abs() > 1e-3 * each.abs() + 1e-4
            assert differs.float().mean() < 0.01, name  # Lion's and AdamW's steps follow the sign of what is nearly 0


def test_the_gradient_of_the_parts_is_the_larger_batchs() -> None:
    config = config_of(60, 1)
    training, _ = load_training(config.data, torch.device("cpu"))
    images, labels = training.normalised(training.images[:58]).double(), training.labels[:58]
    network = build_network(config).double()
    gradients, losses = [], []
    for parts in (1, 3, 58):
        network.zero_grad()
        losses.append(backward(network, config.regularization, images, labels, torch.float32, parts=parts))
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    for parts, loss in zip(gradients[1:], losses[1:], strict=True):
        torch.testing.assert_close(loss, losses[0], atol=1e-6, rtol=1e-6)  # a loss is summed in float32
        for ours, theirs in zip(parts, gradients[0], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-5)


def test_a_step_of_lbfgs_sees_the_larger_batch_at_each_evaluation() -> None:
    """One line search, without kinks in the loss: it makes much of a rounding error."""
    config = config_of(60, 1, optimizer={"name": "lbfgs", "lr": 0.1, "max_iter": 1}, regularization={})
    training, _ = load_training(config.data, torch.device("cpu"))
    images, labels = training.normalised(training.images[:60]).double(), training.labels[:60]
    ends = []
    for parts in (1, 4):
        torch.manual_seed(0)
        network = build_network(config).double()
        optimizer = build_optimizer(config.optimizer, network)
        train_step(network, optimizer, config.regularization, images, labels, parts=parts)
        ends.append([p.detach().clone() for p in network.parameters()])
    for ours, theirs in zip(*ends, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_fewer_images_than_a_step_takes_are_one_step_of_as_few_batches() -> None:
    results = list(run_trial(config_of(50, 100, epochs=1), device="cpu"))
    assert results[0].images_per_second > 0


def test_it_needs_the_memory_of_a_batch_and_not_of_a_step() -> None:
    large, small = (
        estimate_memory(config_of(*each, data={"dataset": "cifar10", "batch_size": each[0]}), "cuda")
        for each in ((4096, 1), (512, 8))
    )
    assert small < large / 2


def test_batches_too_small_for_their_normalisation_are_refused() -> None:
    model = {"depth": 1, "width": 4, "normalization": "batch"}
    with pytest.raises(ValueError, match="batch_size >= 2"):
        check_batch(config_of(1, 8, model=model), 200)
    check_batch(config_of(2, 8, model=model), 200)
