"""Results of a trial, one `EpochResult` an epoch; and what trials gain by sharing a GPU, `Sharing`. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["EpochResult", "Sharing"]


@dataclass(frozen=True)
class EpochResult:
    """Measurements at the end of one epoch.

    `validation_loss`, `accuracy` and `mean_iou` are None when nothing is held out (retraining on the whole training
    split).
    """

    epoch: int
    """Epochs trained so far, from 1."""
    train_loss: float
    """Mean over the epoch's images of the loss without penalties, nats; of the output proper under deep supervision."""
    validation_loss: float | None
    """Mean cross-entropy on the held-out images, or their labelled pixels, nats; of a regression its mean loss."""
    accuracy: float | None
    """Share of held-out images, or of their labelled pixels, classified rightly, in [0, 1]; None of a regression."""
    images_per_second: float
    """Training images a second, validation excluded."""
    seconds: float
    """Device-seconds of this epoch, validation included."""
    learning_rate: float
    """Learning rate at the epoch's last step."""
    parameters: int
    """Trainable parameters of the model."""
    flops: int
    """Multiply-adds times two, forward, one image (torch.utils.flop_counter: convolutions and matrix products)."""
    peak_memory_mib: float
    """Peak memory on the device since the trial began (CUDA), or the process' peak resident set (CPU), MiB."""
    mean_iou: float | None = None
    """Segmentation: intersection over union of the held-out pixels with a class in the labels and in the predictions,
    averaged over the classes that occur in either, in [0, 1]. None for one class a sample."""
    rmse: float | None = None
    """Regression: root mean squared error on the held-out rows, in the target's units. None where classes are asked."""
    mae: float | None = None
    """Regression: mean absolute error, likewise."""
    r2: float | None = None
    """Regression: coefficient of determination, at most 1."""
    nrmse: float | None = None
    """Regression: root mean squared error over the target's standard deviation in the part that is trained on."""


@dataclass(frozen=True)
class Sharing:
    """The gain of some configurations from sharing a GPU."""

    gpu: str
    """The device's name."""
    memory_mib: float
    """All of its memory, MiB."""
    trial_mib: Sequence[float]
    """Estimated peak memory of each configuration, MiB."""
    speed_ups: Mapping[int, float]
    """How much faster the timed configurations are done with so many of them at a time than one by one."""
    step_seconds: Sequence[float]
    """Seconds of a step of each timed configuration alone; empty where none could be timed, and `speed_ups` with it."""
    waiting: int
    """Configurations that wait for the host in each step, and are not timed: L-BFGS."""
