"""How well a network finds each pixel's class: counted on the device, batch by batch, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trials.data.images import IGNORED
from trials.data.loader import evaluation_batches
from trials.data.splits import Split
from trials.training.losses import pixel_losses

__all__ = ["confusion", "count_batch", "count_pixels", "evaluation_batch"]

_EVALUATED_PIXELS = 2**20


def evaluation_batch(images: int, size: tuple[int, ...]) -> int:
    """Images at once where nothing is learned, of at most `images`: as many as have about a million pixels."""
    return max(1, min(images, _EVALUATED_PIXELS // (size[0] * size[1])))


@torch.no_grad()
def count_pixels(model: nn.Module, split: Split, most: int) -> tuple[Tensor, Tensor]:
    """Measure a model in eval mode on a split, at most `most` images at once.

    Returns the mean cross-entropy (nats) over the labelled pixels, float64, and the confusion matrix of `confusion`.
    """
    height, width = split.labels.shape[1:]
    total = matrix = torch.zeros((), dtype=torch.int64, device=split.device)
    for images, labels in evaluation_batches(split, evaluation_batch(most, (height, width))):
        loss, counts = count_batch(model(images), labels)
        total, matrix = total + loss, matrix + counts
    return total / matrix.sum().clamp(min=1), matrix


def count_batch(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the cross-entropy (nats) over the labelled pixels, float64, and `confusion`."""
    loss = pixel_losses(logits, labels).sum(dtype=torch.float64)
    return loss, confusion(logits.argmax(1), labels, logits.shape[1])


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(classes, classes) int64: pixels by label (row) and prediction (column), those to be ignored left out.

    predicted, labels: (N, H, W), int64. Counted for each image first, so that few additions meet at one address;
    integers add up to the same in any order.
    """
    cell = (labels * classes + predicted).masked_fill(labels == IGNORED, classes * classes).flatten(1)  # (N, H*W)
    counts = cell.new_zeros(len(cell), classes * classes + 1)
    counts.scatter_add_(1, cell, cell.new_ones(()).expand_as(cell))
    return counts[:, :-1].sum(0).view(classes, classes)
