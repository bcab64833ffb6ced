"""Batches of a split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trials.data.augment import Augmentation, build_augmentation
from trials.data.splits import Split
from trials.training.distributed import ALONE, Processes

__all__ = [
    "epoch_seed",
    "evaluation_batches",
    "seed_generators",
    "steps_per_epoch",
    "training_batch",
    "training_batches",
    "training_order",
]

_ROWS_AT_ONCE = 2**15


def epoch_seed(seed: int, epoch: int, *stream: int) -> int:
    """One seed for each (seed, epoch), so that an epoch's random numbers do not depend on the epochs before it.

    stream: `Processes.stream`.
    """
    return int(np.random.SeedSequence((seed, epoch, *stream)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators: all of them, or where a trial is on the CPU the CPU's, with the same numbers.

    `torch.manual_seed` also notes the seed, with a stack trace, for each kind of device that the machine lacks.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches in an epoch; one, of all images, where there are fewer than `batch_size`."""
    return max(images // batch_size, 1)


def training_batches(
    split: Split, batch_size: int, augment: str, seed: int, epoch: int, processes: Processes = ALONE
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch of (samples (B, C, *size), labels (B,) or (B, *size)), shuffled and augmented by a generator seeded from
    (seed, epoch).

    Every batch is whole: the up to `batch_size` - 1 samples left over are other ones in each epoch. Of several
    processes each is given its part of the same batches, augmented by a generator of its own. Rows of numbers are never
    augmented: those of many batches are normalised together.
    """
    augmentation = build_augmentation(augment, split)
    generator = torch.Generator(split.device).manual_seed(epoch_seed(seed, epoch))
    order = processes.part(training_order(len(split), batch_size, generator))
    if processes.stream:
        generator.manual_seed(epoch_seed(seed, epoch, *processes.stream))
    if split.rows is None and split.images.dim() == 2:
        for some in torch.split(order, max(_ROWS_AT_ONCE // order.shape[1], 1)):
            rows = split.normalised(split.images[some.flatten()]).view(*some.shape, -1)  # (steps, B, F)
            yield from zip(rows, split.labels[some], strict=True)
        return
    for samples, labels in split.batches(order):
        yield training_batch(split, samples, labels, augmentation, generator)


def training_order(images: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """The samples of each step of an epoch: (steps, B)."""
    steps = steps_per_epoch(images, batch_size)
    order = torch.randperm(images, generator=generator, device=generator.device)
    return order[: steps * batch_size].view(steps, -1)


def training_batch(
    split: Split, samples: Tensor, labels: Tensor, augment: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Raw samples (B, C, *size) and labels of a batch, augmented and normalised; classes int64."""
    if not split.dense:
        return split.normalised(augment(samples, None, generator)[0]), labels
    samples, masks = augment(samples, labels, generator)
    assert masks is not None
    return split.normalised(samples), masks.long()


def evaluation_batches(split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All (samples, labels) of a split in their order, never augmented."""
    starts = range(0, len(split), batch_size)
    if split.rows is None:
        for start in starts:
            chosen = slice(start, start + batch_size)
            yield split.normalised(split.images[chosen]), _classes(split.labels[chosen])
        return
    places = torch.arange(len(split), device=split.device)
    for samples, labels in split.batches([places[start : start + batch_size] for start in starts]):
        yield split.normalised(samples), _classes(labels)


def _classes(labels: Tensor) -> Tensor:
    """Classes as int64; the targets of a regression as they are."""
    return labels if labels.is_floating_point() else labels.long()
