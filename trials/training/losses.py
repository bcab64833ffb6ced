"""The loss of a batch, which training makes small, for one class a sample and for one class a pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.config import LossConfig, MSEConfig, RegularizationConfig
from trials.data.images import IGNORED
from trials.measure.regression import loss_of

__all__ = ["MSE", "losses", "pixel_losses", "soft_dice_loss"]

MSE = MSEConfig(name="mse")
"""The loss of a regression that names none."""


def losses(
    outputs: Tensor | tuple[Tensor, ...],
    labels: Tensor,
    regularization: RegularizationConfig,
    regression: LossConfig = MSE,
) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy (nats) of the output proper, and what is to be minimised before any penalty.

    outputs: logits (N, classes) for labels (N,), or (N, classes, H, W) for labels (N, H, W), where the soft Dice loss
    is added. With deep supervision they are a tuple that ends with the coarser levels' outputs, whose losses are added
    too.
    Labels that are floats are the targets of a regression, whose mean loss is that of `regression`.
    """
    proper, *sides = (outputs,) if isinstance(outputs, Tensor) else outputs
    if labels.is_floating_point():
        loss = loss_of(proper, labels, regression)
        return loss, loss
    if labels.dim() == 1:
        loss = F.cross_entropy(proper.float(), labels, label_smoothing=regularization.label_smoothing)
        return loss, loss
    loss = _mean_over_pixels(proper, labels, regularization)
    whole = loss + _dice(proper, labels, regularization)
    for side in sides if regularization.side_weight else ():
        of_side = _mean_over_pixels(side, labels, regularization) + _dice(side, labels, regularization)
        whole = whole + regularization.side_weight * of_side
    return loss, whole


def pixel_losses(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (nats) of each pixel, (N, H, W), 0 where it is `IGNORED`; logits (N, classes, H, W).

    Not reduced, because torch sums it in no fixed order on CUDA.
    """
    return F.cross_entropy(
        logits.float(), labels, ignore_index=IGNORED, label_smoothing=label_smoothing, reduction="none"
    )


def soft_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - (2 Σ p·y + 1) / (Σ p + Σ y + 1), averaged over the classes that occur in the labels of the batch.

    p: softmax of the logits (N, classes, H, W), y: one where a pixel has the class (arXiv 1606.04797 with p for p², and
    the 1 against empty sums).
    """
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    counted = (labels != IGNORED)[:, None]
    true = (labels[:, None] == classes).float()  # (N, classes, H, W)
    probable = logits.float().softmax(1) * counted
    shared, both, support = (each.sum((0, 2, 3)) for each in (true * probable, true + probable, true))
    present = (support > 0).float()
    return (present * (1 - (2 * shared + 1) / (both + 1))).sum() / present.sum().clamp(min=1)


def _mean_over_pixels(logits: Tensor, labels: Tensor, regularization: RegularizationConfig) -> Tensor:
    """0 where no pixel is labelled."""
    each = pixel_losses(logits, labels, regularization.label_smoothing)
    return each.sum() / (labels != IGNORED).sum().clamp(min=1)


def _dice(logits: Tensor, labels: Tensor, regularization: RegularizationConfig) -> Tensor | float:
    return regularization.dice * soft_dice_loss(logits, labels) if regularization.dice else 0.0
