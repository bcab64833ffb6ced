"""The training loop: a generator that yields one `EpochResult` an epoch."""

from __future__ import annotations

import gc
import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trials.config import TrialConfig
from trials.config.optimizer import AdamWThenLBFGSConfig
from trials.data.loader import epoch_seed, steps_per_epoch, training_order
from trials.data.splits import Split
from trials.results import EpochResult
from trials.training.capture import drop_pools, give_back, shared_pool
from trials.training.distributed import ALONE, Processes
from trials.training.epoch import EagerEpoch, GraphedEpoch, build_epoch
from trials.training.grids import change_grids, changes_grids
from trials.training.lbfgs_epoch import LineSearchEpoch
from trials.training.optim import build_optimizer, learning_rate, optimizer_record
from trials.training.phases import Phase, phase_of
from trials.training.step import EVALUATION_BATCH
from trials.training.validation import EagerValidation, build_validation

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
    sizes: Mapping[str, int],
    epochs_done: int = 0,
    graphs: bool | None = None,
    save: Callable[[EpochResult, Optimizer], None] = lambda result, optimizer: None,
    processes: Processes = ALONE,
) -> Iterator[EpochResult]:
    """Train from `epochs_done` to `config.epochs`.

    Args:
        sizes: of the model, by their names in `trials.metrics`; each result has them.
        graphs: replay each step from a CUDA graph; None: wherever it can be captured.
        save: called with the result and the optimizer at the end of each epoch, before its result is yielded.
        processes: those that train together; each measures the whole held-out part, with the same result.

    CUDA graphs and their memory are given back when the last result is asked for, or the generator is closed.

    All random numbers of an epoch come from generators seeded with (config.seed, epoch), torch's global one included.
    The learning rate is a function of the step alone. So an epoch depends on nothing but the model, the optimizer and
    its number. The model's grids are those of the last epoch that was trained (see `grids`). Where they change CUDA
    graphs are captured anew, and L-BFGS goes on without its history. `optimizer` is that of the last epoch that
    was trained; `phases` says where another one follows. Raises TrialDiverged where an epoch's loss is not finite.
    """
    device = training.device
    steps = steps_per_epoch(len(training), config.images_per_step)
    phase = phase_of(config, max(epochs_done - 1, 0))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    memory = _PeakMemory(device)
    train_epoch: EagerEpoch | None = None
    validation: EagerValidation | None = None
    try:
        for epoch in range(epochs_done, config.epochs):
            if changes_grids(config, epoch):
                _release(train_epoch, validation)
                train_epoch = None
                if processes.size > 1:
                    gc.collect()  # what averaged the old weights' gradients is a cycle, and would go on
                images = partial(_some, training, config.seed, epoch)
                change_grids(config, model, optimizer, epoch, images, lambda each: processes.sum(each) / processes.size)
                if not optimizer_record(phase.config.optimizer).survives_grids:
                    optimizer = build_optimizer(phase.config.optimizer, model)
            if epoch == phase.last:
                _release(train_epoch, validation)
                train_epoch, phase = None, phase_of(config, epoch)
                optimizer = build_optimizer(phase.config.optimizer, model)
            if train_epoch is None:
                train_epoch, validation = _build(phase.config, model, optimizer, training, held_out, graphs, processes)
            start = time.perf_counter()
            rates = _rates(phase, epoch, steps)
            train_loss = train_epoch(epoch, rates).item()  # the one wait for the device in an epoch
            trained = time.perf_counter()
            scores = validation() if validation else {}
            for name, loss in (("training", train_loss), ("validation", scores.get("validation_loss"))):
                if loss is not None and not math.isfinite(loss):
                    raise TrialDiverged(f"{name} loss is {loss} in epoch {epoch + 1}")
            measured = {
                "train_loss": train_loss,
                "images_per_second": steps * min(config.images_per_step, len(training)) / (trained - start),
                "seconds": time.perf_counter() - start,
                "peak_memory_mib": memory(),
            }
            result = EpochResult(epoch + 1, rates[-1], {**sizes, **scores, **measured})
            save(result, optimizer)
            yield result
    finally:
        _release(train_epoch, validation)
        if device.type == "cuda":
            give_back(device)


def _rates(phase: Phase, epoch: int, steps: int) -> list[float]:
    """The learning rate of each step of an epoch."""
    config, done = phase.config, epoch - phase.first
    assert not isinstance(config.optimizer, AdamWThenLBFGSConfig)
    warmed = {"warmup": config.warmup, "power": config.power}
    return [
        learning_rate(config.schedule, config.optimizer.lr, step, (phase.last - phase.first) * steps, **warmed)
        for step in range(done * steps, (done + 1) * steps)
    ]


def _build(
    config: TrialConfig,
    model: nn.Module,
    optimizer: Optimizer,
    training: Split,
    held_out: Split | None,
    graphs: bool | None,
    processes: Processes,
) -> tuple[EagerEpoch, EagerValidation | None]:
    """Build the objects that train an epoch and that measure it, for the model as it is now."""
    device = training.device
    alone = graphs is not False and processes.size == 1
    pool = shared_pool(device) if device.type == "cuda" and alone else None
    train_epoch = build_epoch(config, model, optimizer, training, graphs, processes, pool)
    if not isinstance(train_epoch, (GraphedEpoch, LineSearchEpoch)):
        pool = None
        drop_pools()  # memory that it can allocate, but not from there
    return train_epoch, build_validation(config, model, held_out, graphs, pool) if held_out else None


def _release(*graphed: EagerEpoch | EagerValidation | None) -> None:
    for each in graphed:
        if each is not None:
            each.release()


def _some(training: Split, seed: int, epoch: int) -> Tensor:
    """Images of the training split, as many as are evaluated at once, drawn by (seed, epoch); never augmented."""
    generator = torch.Generator(training.device).manual_seed(epoch_seed(seed, epoch))
    order = training_order(len(training), min(EVALUATION_BATCH, len(training)), generator)[:1]
    return training.normalised(next(training.batches(order))[0])


class _PeakMemory:
    """Called, the most memory in use so far, MiB: torch's on CUDA, else the process', asked for ten times a second."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._value, self._again = device, 0.0, 0.0

    def __call__(self) -> float:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        if time.perf_counter() >= self._again:
            self._value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts it in KiB
            self._again = time.perf_counter() + 0.1
        return self._value
