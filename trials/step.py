"""One optimizer step, and one pass of evaluation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from trials.config import RegularizationConfig
from trials.data.loader import evaluation_batches
from trials.data.splits import Split
from trials.kan.layer import KANLayer

__all__ = ["evaluate_split", "l1_penalty", "predict", "train_step"]

_EVALUATION_BATCH = 512


def train_step(
    model: nn.Module, optimizer: Optimizer, regularization: RegularizationConfig, images: Tensor, labels: Tensor
) -> Tensor:
    """One step of the optimizer; the loss without penalties before it, on the device and without waiting for it.

    A closure, because LBFGS evaluates the loss several times a step.
    """
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        with _autocast(images.device):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=regularization.label_smoothing)
        losses.append(loss.detach())
        if regularization.l1_weight:
            loss = loss + regularization.l1_weight * l1_penalty(model)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return losses[0]


def l1_penalty(model: nn.Module) -> Tensor:
    """Σ|w| over the basis weights of every KAN layer; 0 where there is none."""
    layers = [module for module in model.modules() if isinstance(module, KANLayer)]
    return torch.stack([layer.basis_weight().abs().sum() for layer in layers]).sum() if layers else torch.zeros(())


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
        return torch.cat([model(images).float() for images, _ in evaluation_batches(split, _EVALUATION_BATCH)])


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
