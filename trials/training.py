"""The training loop: a generator that yields one `EpochResult` an epoch."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.optim import Optimizer

from trials.capture import drop_pools, give_back, shared_pool
from trials.config import TrialConfig
from trials.data.loader import steps_per_epoch
from trials.data.splits import Split
from trials.distributed import ALONE, Processes
from trials.epoch import GraphedEpoch, build_epoch
from trials.lbfgs_epoch import LineSearchEpoch
from trials.optim import learning_rate
from trials.results import EpochResult
from trials.validation import build_validation

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
    graphs: bool | None = None,
    save: Callable[[EpochResult], None] = lambda result: None,
    processes: Processes = ALONE,
) -> Iterator[EpochResult]:
    """Train from `epochs_done` to `config.epochs`. `save(result)` is called at the end of each epoch, before
    its result is yielded. graphs: replay each step from a CUDA graph; None: wherever it can be captured.
    processes: those that train together; each measures the whole held-out part, with the same result.

    CUDA graphs and their memory are given back when the last result is asked for, or the generator is closed.

    All random numbers of an epoch come from generators seeded with (config.seed, epoch), torch's global one included,
    and the learning rate is a function of the step alone: an epoch depends on nothing but the model, the optimizer and
    its number. Raises TrialDiverged where an epoch's loss is not finite.
    """
    device = training.device
    steps = steps_per_epoch(len(training), config.data.batch_size)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    alone = graphs is not False and processes.size == 1
    pool = shared_pool(device) if device.type == "cuda" and alone else None
    train_epoch = build_epoch(config, model, optimizer, training, graphs, processes, pool)
    if not isinstance(train_epoch, (GraphedEpoch, LineSearchEpoch)):
        pool = None
        drop_pools()  # memory that it can allocate, but not from there
    validation = build_validation(config, model, held_out, graphs, pool) if held_out else None
    try:
        for epoch in range(epochs_done, config.epochs):
            start = time.perf_counter()
            rates = [
                learning_rate(config.schedule, config.optimizer.lr, step, config.epochs * steps)
                for step in range(epoch * steps, (epoch + 1) * steps)
            ]
            train_loss = train_epoch(epoch, rates).item()  # the one wait for the device in an epoch
            trained = time.perf_counter()
            measured = validation() if validation else {}
            for name, loss in (("training", train_loss), ("validation", measured.get("validation_loss"))):
                if loss is not None and not math.isfinite(loss):
                    raise TrialDiverged(f"{name} loss is {loss} in epoch {epoch + 1}")
            result = EpochResult(
                epoch=epoch + 1,
                train_loss=train_loss,
                validation_loss=measured.get("validation_loss"),
                accuracy=measured.get("accuracy"),
                mean_iou=measured.get("mean_iou"),
                images_per_second=steps * min(config.data.batch_size, len(training)) / (trained - start),
                seconds=time.perf_counter() - start,
                learning_rate=rates[-1],
                parameters=parameters,
                flops=flops,
                peak_memory_mib=_peak_memory_mib(device),
            )
            save(result)
            yield result
    finally:
        train_epoch.release()
        if validation:
            validation.release()
        if device.type == "cuda":
            give_back(device)


def _peak_memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts it in KiB
