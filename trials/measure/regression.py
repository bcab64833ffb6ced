"""Losses and figures of a regression. Losses are of standardised targets, figures in the targets' own units.

    rmse    √ mean (ŷ - y)²
    mae     mean |ŷ - y|
    r2      1 - Σ (ŷ - y)² / Σ (y - ȳ)²,   of several targets the mean
    nrmse   √ mean ((ŷ - y) / s)²,         s: the target's standard deviation over what was trained on

Means are over rows and targets alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from trials.config.loss import HuberConfig, LossConfig, MAEConfig, QuantileConfig
from trials.data.loader import evaluation_batches
from trials.data.splits import Split

__all__ = ["PAIRS", "SCORES", "loss_of", "predict_numbers", "regression_metrics", "regression_scores"]

PAIRS = 250
"""Samples of which a true and a predicted value are kept."""
SCORES = ("validation_loss", "rmse", "mae", "r2", "nrmse")
"""Scores of a regression, by their names in `trials.metrics`."""


def loss_of(outputs: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """The mean loss of outputs (N, outputs) for standardised targets of the same shape, in the outputs' precision."""
    targets = targets.to(outputs.dtype)
    if isinstance(config, MAEConfig):
        return F.l1_loss(outputs, targets)
    if isinstance(config, HuberConfig):
        return F.huber_loss(outputs, targets, delta=config.delta)
    if isinstance(config, QuantileConfig):
        missing = targets - outputs
        return torch.maximum(config.quantile * missing, (config.quantile - 1) * missing).mean()
    return F.mse_loss(outputs, targets)


@torch.no_grad()
def predict_numbers(model: nn.Module, split: Split, batch: int) -> Tensor:
    """Outputs (N, outputs), standardised, float64, of every sample, the model in eval mode."""
    model.eval()
    return torch.cat([model(samples).double() for samples, _ in evaluation_batches(split, batch)])


@torch.no_grad()
def regression_scores(outputs: Tensor, split: Split, config: LossConfig) -> Tensor:
    """`SCORES` of standardised outputs (N, outputs), float64, for the targets of a split: (5,), on the device."""
    assert split.targets is not None
    errors = outputs - split.labels
    own = errors * split.targets.std
    spread = (split.labels - split.labels.mean(0)).square().sum(0)
    r2 = 1 - errors.square().sum(0) / spread
    figures = [own.square().mean().sqrt(), own.abs().mean(), r2.mean(), errors.square().mean().sqrt()]
    return torch.stack([loss_of(outputs, split.labels, config), *figures])


def regression_metrics(outputs: NDArray[np.float64], split: Split, config: LossConfig) -> dict[str, Any]:
    """Figures of standardised outputs (N, outputs) for the targets of a split, JSON-able.

    loss, rmse, mae, r2, nrmse; images: the number of samples; per_target: rmse, mae, r2 and nrmse of each by itself,
    and `pairs`: of at most `PAIRS` samples, evenly spaced over the split, the true value and the predicted one.
    Raises ValueError for outputs that are not finite.
    """
    if not np.isfinite(outputs).all():
        raise ValueError("the outputs are not finite: the model has diverged")
    given = torch.from_numpy(outputs).to(split.device)
    values = dict(zip(("loss", *SCORES[1:]), regression_scores(given, split, config).tolist(), strict=True))
    values["r2"] = values["r2"] if np.isfinite(values["r2"]) else None
    return {**values, "images": len(split), "per_target": _per_target(given, split)}


def _per_target(outputs: Tensor, split: Split) -> list[dict[str, Any]]:
    assert split.targets is not None
    rows = []
    some = torch.linspace(0, len(split) - 1, min(PAIRS, len(split)), dtype=torch.float64).round().long()
    for index, name in enumerate(split.targets.names):
        error, truth = outputs[:, index] - split.labels[:, index], split.labels[:, index]
        scale, spread = float(split.targets.std[index]), float((truth - truth.mean()).square().sum())
        square = error.square()
        own = torch.stack([truth[some], outputs[some, index]], 1) * scale + split.targets.mean[index]
        rows.append(
            {
                "target": name,
                "rmse": float(square.mean().sqrt()) * scale,
                "mae": float(error.abs().mean()) * scale,
                "r2": 1 - float(square.sum()) / spread if spread else None,
                "nrmse": float(square.mean().sqrt()),
                "pairs": [[float(f"{value:.6g}") for value in pair] for pair in own.tolist()],
            }
        )
    return rows
