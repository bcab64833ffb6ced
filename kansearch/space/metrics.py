"""The metrics that can be objectives, one record each: what the space checker, the search, the report, the terminal and
MLflow need to know of them.

Another metric is a name of `ObjectiveName`, for the schema, a record here, and a field that trials measure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """All that is to be known of a metric."""

    label: str
    """The label of an axis, with its unit."""
    short: str
    """The same on a small plot."""
    maximize: bool
    """Whether more of it is better by its nature."""
    cost: Callable[[float], float]
    """Cost in [0, 1] of a value when it is wanted in its natural direction; 0 is best, 1 the reference."""
    share: bool = False
    """Whether it is a share of 1 that is right."""
    logarithmic: bool = False
    """Whether its ratios matter, not its differences."""
    size: bool = False
    """Whether it is a size of a network, not what the network can do."""
    exact: bool = False
    """Whether it is an integer that is known of a configuration without training it."""
    varies: bool = False
    """Whether it differs from run to run of one configuration and seed."""
    per_epoch: bool = False
    """Whether it changes from epoch to epoch; the others are the trial's own."""
    per_pixel: bool = False
    """Whether it is measured only where a class is asked of each pixel."""
    regression: bool | None = None
    """True: it is measured only where numbers are predicted; False: only where classes are; None: in both, alike."""
    on_test: str | None = None
    """The name of the same figure on the test split; None where there is none."""
    test_label: str | None = None
    """The label of that figure on an axis, with its unit."""


def _logarithmic(largest: float) -> Callable[[float], float]:
    return lambda value: math.log10(max(value, 1.0)) / math.log10(largest)


def _error(value: float) -> float:
    return 1.0 - value


def _ratio(value: float) -> float:
    return value / (1.0 + value)


def _decades(value: float) -> float:
    """0 for 1e-8 and less, 1 for 1 and more."""
    return (math.log10(max(value, 1e-8)) + 8.0) / 8.0


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        label="validation accuracy (share of images)",
        short="validation accuracy",
        maximize=True,
        cost=_error,
        share=True,
        regression=False,
        per_epoch=True,
        on_test="test_accuracy",
        test_label="test accuracy (share of images)",
    ),
    "mean_iou": Metric(
        label="validation mean IoU",
        short="validation mean IoU",
        maximize=True,
        cost=_error,
        share=True,
        regression=False,
        per_epoch=True,
        per_pixel=True,
        on_test="test_mean_iou",
        test_label="test mean IoU",
    ),
    "validation_loss": Metric(
        label="validation loss (nats)",
        short="validation loss (nats)",
        maximize=False,
        cost=_ratio,
        regression=False,
        per_epoch=True,
        on_test="test_loss",
        test_label="test loss (nats)",
    ),
    "train_loss": Metric(
        label="training loss (nats)",
        short="training loss (nats)",
        maximize=False,
        cost=_ratio,
        regression=False,
        per_epoch=True,
    ),
    "parameters": Metric(
        label="trainable parameters",
        short="trainable parameters",
        maximize=False,
        cost=_logarithmic(1e9),
        logarithmic=True,
        size=True,
        exact=True,
    ),
    "flops": Metric(
        label="FLOPs of one image",
        short="FLOPs of one image",
        maximize=False,
        cost=_logarithmic(1e13),
        logarithmic=True,
        size=True,
        exact=True,
    ),
    "peak_memory_mib": Metric(
        label="peak memory (MiB)",
        short="peak memory (MiB)",
        maximize=False,
        cost=_logarithmic(1e6),
        logarithmic=True,
        size=True,
        varies=True,
    ),
    "seconds": Metric(
        label="device time of a trial (s)",
        short="device time (s)",
        maximize=False,
        cost=lambda value: math.log10(1.0 + value) / 7.0,
        logarithmic=True,
        varies=True,
    ),
    "images_per_second": Metric(
        label="training images a second",
        short="images a second",
        maximize=True,
        cost=lambda value: 1.0 - math.log10(1.0 + value) / 8.0,
        logarithmic=True,
        varies=True,
        per_epoch=True,
    ),
    "nrmse": Metric(
        label="validation RMSE / standard deviation of the target",
        short="validation nRMSE",
        maximize=False,
        cost=_decades,
        logarithmic=True,
        regression=True,
        per_epoch=True,
        on_test="test_nrmse",
        test_label="test RMSE / standard deviation of the target",
    ),
    "rmse": Metric(
        label="validation RMSE (units of the target)",
        short="validation RMSE",
        maximize=False,
        cost=_ratio,
        logarithmic=True,
        regression=True,
        per_epoch=True,
        on_test="test_rmse",
        test_label="test RMSE (units of the target)",
    ),
    "mae": Metric(
        label="validation mean absolute error (units of the target)",
        short="validation MAE",
        maximize=False,
        cost=_ratio,
        logarithmic=True,
        regression=True,
        per_epoch=True,
        on_test="test_mae",
        test_label="test mean absolute error (units of the target)",
    ),
    "r2": Metric(
        label="validation R² (share of the variance)",
        short="validation R²",
        maximize=True,
        cost=_error,
        share=True,
        regression=True,
        per_epoch=True,
        on_test="test_r2",
        test_label="test R² (share of the variance)",
    ),
}
"""The record of each metric that the schema accepts for an objective."""
