"""Scores of a network on held-out samples, by their names in `trials.metrics`.

Each is computed on the device without waiting for it, and in fixed shapes, so that a CUDA graph can hold it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["PIXEL_SCORES", "SAMPLE_SCORES", "pixel_scores", "sample_accuracy", "sample_scores"]


def sample_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of logits (N, classes) whose largest is at the label, float32."""
    return (logits.argmax(1) == labels).float().mean()


SAMPLE_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "validation_loss": F.cross_entropy,
    "accuracy": sample_accuracy,
}
"""Scores of logits (N, classes) for labels (N,)."""


def _pixel_accuracy(loss: Tensor, counts: Tensor) -> Tensor:
    return counts.diagonal().sum() / counts.sum().clamp(min=1)


def _mean_iou(loss: Tensor, counts: Tensor) -> Tensor:
    """The mean goes over the classes that occur in the labels or the predictions."""
    hits = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - hits
    return (hits / union.clamp(min=1)).sum() / (union > 0).sum().clamp(min=1)


PIXEL_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "validation_loss": lambda loss, counts: loss.double(),
    "accuracy": _pixel_accuracy,
    "mean_iou": _mean_iou,
}
"""Scores of the mean cross-entropy over the labelled pixels, nats, and of the confusion matrix in `pixels`, float64."""


def sample_scores(logits: Tensor, labels: Tensor) -> Tensor:
    """`SAMPLE_SCORES` in their order, float32."""
    return torch.stack([score(logits, labels) for score in SAMPLE_SCORES.values()])


def pixel_scores(loss: Tensor, matrix: Tensor) -> Tensor:
    """`PIXEL_SCORES` in their order, float64."""
    counts = matrix.double()
    return torch.stack([score(loss, counts) for score in PIXEL_SCORES.values()])
