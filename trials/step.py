"""One optimizer step, and one pass of evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from trials.config import RegularizationConfig
from trials.data.loader import evaluation_batches
from trials.data.splits import Split
from trials.kan.layer import KANLayer
from trials.kan.mixture import MixtureKANConv

__all__ = ["EVALUATION_BATCH", "activation_penalties", "evaluate_split", "l1_penalty", "predict", "train_step"]

EVALUATION_BATCH = 512
"""Images at once where nothing is learned."""


def train_step(
    model: nn.Module, optimizer: Optimizer, regularization: RegularizationConfig, images: Tensor, labels: Tensor
) -> Tensor:
    """One step of the optimizer; the loss without penalties before it, on the device and without waiting for it.

    A closure, because LBFGS evaluates the loss several times a step.
    """
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        with _autocast(images.device), activation_penalties(model, regularization) as penalties:
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=regularization.label_smoothing)
        losses.append(loss.detach())
        if regularization.l1_weight:
            loss = loss + regularization.l1_weight * l1_penalty(model)
        for penalty in penalties:
            loss = loss + penalty
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return losses[0]


def l1_penalty(model: nn.Module) -> Tensor:
    """Σ|w| over the basis weights of every KAN layer; 0 where there is none."""
    layers = [module for module in model.modules() if isinstance(module, KANLayer)]
    return torch.stack([layer.basis_weight().abs().sum() for layer in layers]).sum() if layers else torch.zeros(())


@contextmanager
def activation_penalties(model: nn.Module, regularization: RegularizationConfig) -> Iterator[list[Tensor]]:
    """A list that the forward passes inside fill with the penalties on activations, each times its coefficient.

    Of each KAN layer the mean |y| and the mean y² of its outputs, of each mixture of experts its load-balance loss.
    """
    penalties: list[Tensor] = []
    l1, l2, balance = regularization.l1_activation, regularization.l2_activation, regularization.load_balance

    def of_layer(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        penalties.extend([l1 * y.float().abs().mean()] if l1 else [])
        penalties.extend([l2 * y.float().square().mean()] if l2 else [])

    def of_mixture(mixture: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        assert isinstance(mixture, MixtureKANConv)
        penalties.append(balance * mixture.load_balance(inputs[0]))
        of_layer(mixture, inputs, y)

    modules = list(model.modules())
    layers = [module for module in modules if isinstance(module, KANLayer)] if l1 or l2 else []
    mixtures = [module for module in modules if isinstance(module, MixtureKANConv)]
    handles = [layer.register_forward_hook(of_layer) for layer in layers]
    handles += [mixture.register_forward_hook(of_mixture) for mixture in mixtures]
    try:
        yield penalties
    finally:
        for handle in handles:
            handle.remove()


def evaluate_split(model: nn.Module, split: Split) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy of the model in eval mode."""
    logits = predict(model, split)
    loss = F.cross_entropy(logits, split.labels)
    accuracy = (logits.argmax(1) == split.labels).float().mean()
    return loss.item(), accuracy.item()


@torch.no_grad()
def predict(model: nn.Module, split: Split) -> Tensor:
    """Logits (N, classes), float32, of every image of the split, the model in eval mode."""
    model.eval()
    with _autocast(split.images.device):
        return torch.cat([model(images).float() for images, _ in evaluation_batches(split, EVALUATION_BATCH)])


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
