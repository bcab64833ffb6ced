"""Figures of a network on a labelled split that no training has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trials.config import LossConfig
from trials.data.splits import Split
from trials.measure.quality import classification_metrics, segmentation_metrics
from trials.measure.regression import predict_numbers, regression_metrics
from trials.measure.scores import PIXEL_SCORES, SAMPLE_SCORES
from trials.metrics import ON_TEST, TEST_PREFIX
from trials.training.losses import MSE
from trials.training.step import EVALUATION_BATCH, measure_pixels, predict

__all__ = ["measure_split"]


def measure_split(
    network: nn.Module, split: Split, precision: torch.dtype = torch.float32, regression: LossConfig = MSE
) -> dict[str, Any]:
    """Return `classification_metrics`, `segmentation_metrics` or `regression_metrics` of a split, JSON-able.

    Each other score that `trials.metrics` names on the test split is there too, by that name without its prefix. Raises
    ValueError where the outputs are not finite.
    """
    if split.targets is not None:
        outputs = predict_numbers(network, split, EVALUATION_BATCH).cpu().numpy()
        return regression_metrics(outputs, split, regression)
    if split.dense:
        loss, counts = measure_pixels(network, split, precision)
        figures = segmentation_metrics(float(loss), counts.cpu().numpy(), len(split))
        return figures | _others(PIXEL_SCORES, figures, loss, counts.double())
    logits = predict(network, split, precision)
    figures = classification_metrics(logits.cpu().numpy(), split.labels.cpu().numpy())
    return figures | _others(SAMPLE_SCORES, figures, logits, split.labels)


def _others(
    scores: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
    figures: Mapping[str, Any],
    *measured: Tensor,
) -> dict[str, float]:
    names = {name: ON_TEST[name].removeprefix(TEST_PREFIX) for name in scores if name in ON_TEST}
    return {names[name]: float(scores[name](*measured)) for name in names if names[name] not in figures}
