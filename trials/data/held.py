"""How much memory a trial's data take."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import torch

from trials.config import DataConfig
from trials.data.augment import build_augmentation
from trials.data.datasets import data_shape, value_bytes
from trials.data.shape import DataShape
from trials.data.splits import random_split
from trials.data.stream import AHEAD, does_not_fit
from trials.measure.live import LiveBytes

__all__ = ["augmentation_bytes", "held_bytes"]

_TRIED = 4


def held_bytes(config: DataConfig, images: int, device: torch.device, data_dir: Path | None = None) -> int:
    """Bytes of `images` samples on the device: as they are, with their labels and an epoch's order. Where they are
    streamed it is the batches being read, which on a GPU wait on the host but for two."""
    shape = data_shape(config)
    sample = shape.channels * math.prod(shape.size) * value_bytes(config, data_dir)
    label = math.prod(shape.size) if shape.dense else 8 * (shape.classes if shape.regression else 1)
    if not does_not_fit(images * (sample + label), device):
        return images * (sample + label + 8)
    under_way = (2 if device.type == "cuda" else AHEAD) * min(config.batch_size, images) * (sample + label)
    return under_way + images * (8 if shape.dense else 8 + 8)


def augmentation_bytes(config: DataConfig, samples: int, data_dir: Path | None = None) -> float:
    """Bytes that augmenting `samples` samples takes for a moment, normalisation included: tried on a few of them."""
    dtype = torch.uint8 if value_bytes(config, data_dir) == 1 else torch.float32
    try:
        return _each(config.augment, data_shape(config), dtype) * samples
    except ValueError:
        return 0.0  # what cannot be augmented will say so


@cache
def _each(augment: str, shape: DataShape, dtype: torch.dtype) -> float:
    with torch.random.fork_rng(devices=[]):  # an estimate changes nobody's random numbers
        split = random_split(shape, _TRIED, torch.device("cpu"), dtype)
    augmentation, generator = build_augmentation(augment, split), torch.Generator()
    with LiveBytes(split.images, split.labels) as live:
        samples, _ = augmentation(split.images, split.labels if shape.dense else None, generator)
        split.normalised(samples)
    return float(live.peak / _TRIED)
