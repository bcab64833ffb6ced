"""Metrics of a trial, one record each: all that measuring, searching, tables, the report and MLflow know of them.

Another metric is a record here, and the code that measures it:

    measured on held-out samples   `trials.measure.scores`
    counted before training        `trials.measure.sizes`
    of an epoch or of the trial    `trials.training.loop`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "COUNTED",
    "EPOCH_METRICS",
    "EXACT",
    "METRICS",
    "ON_TEST",
    "ON_VALIDATION",
    "OWN_METRICS",
    "TEST_PREFIX",
    "Metric",
    "is_dense",
    "main_metric",
]

TEST_PREFIX = "test_"
"""Prefix of the names of the test split's figures, where they stand among others."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """All that is to be known of a metric."""

    meaning: str
    """A sentence that defines it, with its unit."""
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
    counted: bool = False
    """Whether it is a share of samples that are right or wrong, each by itself: it has Wilson's interval."""
    logarithmic: bool = False
    """Whether its ratios matter, not its differences."""
    size: bool = False
    """Whether it is a size of a network, which can be bounded before training, not what the network can do."""
    exact: bool = False
    """Whether it is an integer that is known of a configuration without training it; then it is a size too."""
    varies: bool = False
    """Whether it differs from run to run of one configuration and seed."""
    per_epoch: bool = False
    """Whether it changes from epoch to epoch; the others are the trial's own."""
    per_pixel: bool = False
    """Whether it is measured only where a class is asked of each pixel."""
    regression: bool | None = None
    """True: it is measured only where numbers are predicted; False: only where classes are; None: in both, alike."""
    on_test: str | None = None
    """The name of the same figure on the test split, with `TEST_PREFIX`; None where it is not of held-out samples."""
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
    return (math.log10(min(max(value, 1e-8), 1.0)) + 8.0) / 8.0


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        meaning="Share of the held-out samples, or of their labelled pixels, that are classified rightly, in [0, 1].",
        label="validation accuracy (share of images)",
        short="validation accuracy",
        maximize=True,
        cost=_error,
        share=True,
        counted=True,
        regression=False,
        per_epoch=True,
        on_test="test_accuracy",
        test_label="test accuracy (share of images)",
    ),
    "mean_iou": Metric(
        meaning=(
            "Intersection over union of the held-out pixels with a class in the labels and in the "
            "predictions, averaged over the classes that occur in either, in [0, 1]."
        ),
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
        meaning="Mean cross-entropy on the held-out samples, or on their labelled pixels, nats.",
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
        meaning=(
            "Mean over an epoch's samples of the loss without penalties, nats; under deep supervision of "
            "the output proper."
        ),
        label="training loss (nats)",
        short="training loss (nats)",
        maximize=False,
        cost=_ratio,
        regression=False,
        per_epoch=True,
    ),
    "parameters": Metric(
        meaning="Trainable parameters of the model; with a grid schedule, on its last grids.",
        label="trainable parameters",
        short="trainable parameters",
        maximize=False,
        cost=_logarithmic(1e9),
        logarithmic=True,
        size=True,
        exact=True,
    ),
    "flops": Metric(
        meaning="Multiply-adds times two of one sample's forward pass: convolutions and matrix products.",
        label="FLOPs of one image",
        short="FLOPs of one image",
        maximize=False,
        cost=_logarithmic(1e13),
        logarithmic=True,
        size=True,
        exact=True,
    ),
    "peak_memory_mib": Metric(
        meaning=(
            "Peak memory on the device since the trial began (CUDA), or the process' peak resident set (CPU), MiB."
        ),
        label="peak memory (MiB)",
        short="peak memory (MiB)",
        maximize=False,
        cost=_logarithmic(1e6),
        logarithmic=True,
        size=True,
        varies=True,
    ),
    "seconds": Metric(
        meaning="Device-seconds: of an epoch with its validation; of a trial from its start on.",
        label="device time of a trial (s)",
        short="device time (s)",
        maximize=False,
        cost=lambda value: math.log10(1.0 + value) / 7.0,
        logarithmic=True,
        varies=True,
    ),
    "images_per_second": Metric(
        meaning="Training samples a second, validation excluded.",
        label="training images a second",
        short="images a second",
        maximize=True,
        cost=lambda value: 1.0 - math.log10(1.0 + value) / 8.0,
        logarithmic=True,
        varies=True,
        per_epoch=True,
    ),
    "nrmse": Metric(
        meaning="RMSE over the target's standard deviation in the part that is trained on: 1 is the error of the mean.",
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
        meaning="Root of the mean squared error on the held-out rows, in the target's units.",
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
        meaning="Mean absolute error on the held-out rows, in the target's units.",
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
        meaning="Share of the target's variance on the held-out rows that is explained, at most 1.",
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
"""Each metric by its name, which studies, MLflow and search spaces write: each can be an objective."""

EPOCH_METRICS = (*(name for name, metric in METRICS.items() if metric.per_epoch), "learning_rate")
"""Metrics that change from epoch to epoch, and the learning rate, which does too."""
OWN_METRICS = tuple(name for name, metric in METRICS.items() if not metric.per_epoch)
"""Metrics that a trial has once."""
EXACT = tuple(name for name, metric in METRICS.items() if metric.exact)
"""Integers that are known of a configuration without training it."""
COUNTED = tuple(name for name, metric in METRICS.items() if metric.counted)
"""Shares of held-out samples that are right."""
ON_TEST = {name: metric.on_test for name, metric in METRICS.items() if metric.on_test is not None}
"""Names of figures on the test split, by the metric that is measured on held-out samples."""
ON_VALIDATION = {name: f"validation_{on_test.removeprefix(TEST_PREFIX)}" for name, on_test in ON_TEST.items()}
"""Names of figures on the validation part, beside those of the test split, by the metric."""


def main_metric(objectives: Iterable[str]) -> str:
    """Return the metric that stands for how good a trial is, in a learning curve or a line.

    It is the first of `ON_TEST` that is an objective, and accuracy where none is.
    """
    wanted = set(objectives)
    return next((name for name in ON_TEST if name in wanted), "accuracy")


def is_dense(figures: Mapping[str, object]) -> bool:
    """Whether figures of the test split, by their names without `TEST_PREFIX`, are of pixels, not of samples."""
    return any(
        METRICS[name].per_pixel and on_test.removeprefix(TEST_PREFIX) in figures for name, on_test in ON_TEST.items()
    )
