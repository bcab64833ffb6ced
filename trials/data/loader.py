"""Batches of a split that lies on the device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trials.data.splits import Split

__all__ = [
    "crop_flip",
    "epoch_seed",
    "evaluation_batches",
    "steps_per_epoch",
    "training_batch",
    "training_batches",
    "training_order",
]


def epoch_seed(seed: int, epoch: int) -> int:
    """One seed for each (seed, epoch), so that an epoch's random numbers do not depend on the epochs before it."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches in an epoch; one, of all images, where there are fewer than `batch_size`."""
    return max(images // batch_size, 1)


def training_batches(
    split: Split, batch_size: int, augment: str, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch of (images (B, C, H, W), labels (B,)), shuffled and augmented by a generator seeded from (seed, epoch).

    Every batch is whole: the up to `batch_size` - 1 images left over are other ones in each epoch.
    """
    generator = torch.Generator(split.images.device).manual_seed(epoch_seed(seed, epoch))
    for chosen in training_order(len(split), batch_size, generator):
        yield training_batch(split, chosen, augment, generator)


def training_order(images: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """The images of each step of an epoch: (steps, B)."""
    steps = steps_per_epoch(images, batch_size)
    order = torch.randperm(images, generator=generator, device=generator.device)
    return order[: steps * batch_size].view(steps, -1)


def training_batch(split: Split, chosen: Tensor, augment: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(images (B, C, H, W), labels (B,)) of the chosen images (B,), augmented."""
    images, labels = split.images[chosen], split.labels[chosen]
    if augment == "crop_flip":
        images = crop_flip(images, generator)
    return split.normalised(images), labels.long()


def evaluation_batches(split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All (images, labels) of a split in their order, never augmented."""
    for start in range(0, len(split), batch_size):
        chosen = slice(start, start + batch_size)
        yield split.normalised(split.images[chosen]), split.labels[chosen].long()


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to 1/8 of its side in each direction, zeros coming in, and mirror half of them: (N, C, H,
    W)."""
    count, _, height, width = images.shape
    device = images.device
    margins = (height // 8, width // 8)
    padded = F.pad(images, (margins[1], margins[1], margins[0], margins[0]))
    top, left = (torch.randint(2 * m + 1, (count, 1), generator=generator, device=device) for m in margins)
    flip = torch.rand((count, 1), generator=generator, device=device) < 0.5
    columns = torch.arange(width, device=device)
    columns = left + torch.where(flip, width - 1 - columns, columns)  # (N, W)
    rows = top + torch.arange(height, device=device)  # (N, H)
    index = torch.arange(count, device=device)[:, None, None]
    return padded.movedim(1, -1)[index, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
