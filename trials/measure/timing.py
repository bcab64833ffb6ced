"""How long a step takes here, and how many there are: for an estimate of a search's time before it starts. And how
fast a trained network is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from trials.config import DataConfig, TrialConfig
from trials.config.data import MOST_AT_ONCE
from trials.data.datasets import data_shape, training_images
from trials.data.errors import DataError
from trials.data.files import locate
from trials.data.functions import check_trusted
from trials.data.loader import steps_per_epoch, training_batches
from trials.data.splits import Split, load_training, random_split
from trials.models import build_network
from trials.training.optim import build_optimizer, optimizer_record
from trials.training.step import measure, train_step, working_precision

__all__ = ["EpochWork", "StepTime", "epoch_work", "inference_rate", "time_step"]

_SECONDS = 0.5
_STEPS = 5


@dataclass(frozen=True)
class EpochWork:
    """The work of one epoch of a configuration."""

    passes: float
    """Forward and backward passes: the steps, times the evaluations of the loss in each."""
    batch: int
    """Images of each pass."""
    evaluated: int
    """Images that pass forwards alone, to measure the trial."""


@dataclass(frozen=True)
class StepTime:
    """A measured step."""

    seconds: float
    """Seconds of one forward and backward pass, with its share of the optimizer's work."""
    batch: int
    """Images in it."""
    synthetic: bool
    """Whether the images were random, because the data set's files are not here."""


def epoch_work(config: TrialConfig, data_dir: Path | None = None) -> EpochWork:
    """Counted without data files, where `training_images` can do without."""
    images = training_images(config.data, data_dir)
    held_out = math.ceil(images * config.data.validation)
    training, batch = images - held_out, config.data.batch_size
    passes = optimizer_record(config.optimizer).passes(config.optimizer)
    return EpochWork(steps_per_epoch(training, batch) * passes, min(batch, training), held_out)


def time_step(
    config: TrialConfig,
    *,
    data_dir: Path | None = None,
    device: str | None = None,
    threads: int = 1,
    most_images: int | None = None,
) -> StepTime:
    """Train a few steps of a configuration, after one to warm up, with `threads` CPU threads, and take the fastest.

    At most 5 steps, and no more once half a second is spent. most_images: a smaller batch where the configuration's is
    larger. Where the files of its data set are not here the images are random. On CUDA the steps are not replayed from
    a graph, as a trial's are: a bound from above there. Seeds torch's global generators. Raises what training the
    configuration raises.
    """
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    split, synthetic = _images(config.data, target, data_dir)
    batch = min(config.data.batch_size, len(split), most_images or config.data.batch_size)
    images, labels = next(training_batches(split, batch, config.data.augment, config.seed, 0))
    torch.manual_seed(config.seed)
    model = build_network(config).to(target).train()
    optimizer = build_optimizer(config.optimizer, model)
    with _threads(threads), torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        precision = working_precision(config.numbers, target)
        batch_of = (config.regularization, images, labels, precision)
        seconds = _fastest(model, lambda: train_step(model, optimizer, *batch_of, regression=config.loss).item())
    return StepTime(seconds, batch, synthetic)


def inference_rate(model: nn.Module, split: Split, precision: torch.dtype) -> float:
    """Samples a second of a split that pass a network in eval mode, in batches of `EVALUATION_BATCH`: the fastest of
    some passes, after one to warm up. At most 5 of them, and no more once half a second is spent."""
    rates: list[float] = []
    spent = 0.0
    for _ in range(1 + _STEPS):
        start = time.perf_counter()
        measure(model, split, precision).cpu()  # waits for the device
        seconds = time.perf_counter() - start
        rates.append(len(split) / seconds)
        spent += seconds
        if len(rates) > 1 and spent > _SECONDS:
            break
    return max(rates[1:])


def _fastest(model: nn.Module, step: Callable[[], object]) -> float:
    """Seconds of a pass in the fastest step."""
    passes = 0

    def called(*call: object) -> None:
        nonlocal passes
        passes += 1

    model.register_forward_hook(called)
    step()
    fastest, spent = math.inf, 0.0
    for _ in range(_STEPS):
        passes, start = 0, time.perf_counter()
        step()
        seconds = time.perf_counter() - start
        fastest, spent = min(fastest, seconds / passes), spent + seconds
        if spent > _SECONDS:
            break
    return fastest


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _images(config: DataConfig, device: torch.device, data_dir: Path | None) -> tuple[Split, bool]:
    """Training images, and whether they are random ones: as many as a batch has."""
    try:
        locate(config.source, data_dir, download=False)
        check_trusted(config)
    except DataError:
        return random_split(data_shape(config), min(config.batch_size, MOST_AT_ONCE), device), True
    return load_training(config, device, data_dir)[0], False
