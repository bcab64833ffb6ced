"""The training loop: a generator that yields one `EpochResult` an epoch."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.optim import Optimizer

from trials.config import TrialConfig
from trials.data.loader import epoch_seed, steps_per_epoch, training_batches
from trials.data.splits import Split
from trials.optim import learning_rate, set_learning_rate
from trials.results import EpochResult
from trials.step import evaluate_split, train_step

__all__ = ["TrialDiverged", "train"]


class TrialDiverged(ArithmeticError):
    """The loss of an epoch is not finite."""


def train(
    config: TrialConfig,
    model: nn.Module,
    optimizer: Optimizer,
    training: Split,
    held_out: Split | None,
    *,
    flops: int,
    epochs_done: int = 0,
    save: Callable[[EpochResult], None] = lambda result: None,
) -> Iterator[EpochResult]:
    """Train from `epochs_done` to `config.epochs`. `save(result)` is called at the end of each epoch, before
    its result is yielded.

    All random numbers of an epoch come from generators seeded with (config.seed, epoch), torch's global one included,
    and the learning rate is a function of the step alone: an epoch depends on nothing but the model, the optimizer and
    its number. Raises TrialDiverged where an epoch's loss is not finite.
    """
    device = training.images.device
    batch_size = config.data.batch_size
    steps = steps_per_epoch(len(training), batch_size)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for epoch in range(epochs_done, config.epochs):
        start = time.perf_counter()
        torch.manual_seed(epoch_seed(config.seed, epoch))
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=device)
        lr = config.optimizer.lr
        images_seen = 0
        batches = training_batches(training, batch_size, config.data.augment, config.seed, epoch)
        for step, (images, labels) in enumerate(batches, start=epoch * steps):
            lr = learning_rate(config.schedule, config.optimizer.lr, step, config.epochs * steps)
            set_learning_rate(optimizer, lr)
            total += train_step(model, optimizer, config.regularization, images, labels) * len(labels)
            images_seen += len(labels)
        train_loss = total.item() / images_seen  # the one wait for the device in an epoch
        trained = time.perf_counter()
        validation_loss, accuracy = evaluate_split(model, held_out) if held_out else (None, None)
        for name, loss in (("training", train_loss), ("validation", validation_loss)):
            if loss is not None and not math.isfinite(loss):
                raise TrialDiverged(f"{name} loss is {loss} in epoch {epoch + 1}")
        result = EpochResult(
            epoch=epoch + 1,
            train_loss=train_loss,
            validation_loss=validation_loss,
            accuracy=accuracy,
            images_per_second=images_seen / (trained - start),
            seconds=time.perf_counter() - start,
            learning_rate=lr,
            parameters=parameters,
            flops=flops,
            peak_memory_mib=_peak_memory_mib(device),
        )
        save(result)
        yield result


def _peak_memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts it in KiB
