"""Images and signals from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.config import SyntheticDataConfig
from trials.data.images import Images

__all__ = ["read_synthetic"]

_WAVES = 3
_BLOCKS = 4


def read_synthetic(config: SyntheticDataConfig) -> tuple[Images, Images]:
    """A training split of `samples`, and a test split of a quarter as many, of the same patterns."""
    rng = np.random.default_rng(config.make_seed)
    patterns = _patterns(config, rng)  # (classes, C, *size)
    make = _dense if config.dense else _whole
    training, test = (make(config, patterns, count, rng) for count in (config.samples, -(-config.samples // 4)))
    return training, test


def _patterns(config: SyntheticDataConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """A sum of waves for each class and channel, of mean 0 and deviation 1, (classes, C, *size)."""
    axes = np.meshgrid(*(np.arange(side) / side for side in config.size), indexing="ij")
    shape = (config.classes, config.channels, _WAVES)
    total = np.zeros((config.classes, config.channels, *config.size))
    frequencies = rng.integers(0, 4, (*shape, len(axes)))
    frequencies[..., 0] += frequencies.sum(-1) == 0
    phases = rng.uniform(0, 2 * np.pi, shape)
    for index in np.ndindex(*shape):
        angle = sum(2 * np.pi * f * axis for f, axis in zip(frequencies[index], axes, strict=True))
        total[index[:2]] += np.sin(angle + phases[index])
    flat = total.reshape(config.classes, config.channels, -1)
    deviation = np.maximum(flat.std(-1, keepdims=True), 1e-6)
    scaled: NDArray[np.float64] = ((flat - flat.mean(-1, keepdims=True)) / deviation).reshape(total.shape)
    return scaled


def _whole(config: SyntheticDataConfig, patterns: NDArray[np.float64], count: int, rng: np.random.Generator) -> Images:
    """Each sample the pattern of its class, shifted by up to an eighth of a side, under noise; classes are balanced."""
    labels = rng.permutation(np.arange(count) % config.classes).astype(np.int64)
    images = np.empty((count, config.channels, *config.size), np.uint8)
    axes = tuple(range(1, 1 + len(config.size)))
    for i, label in enumerate(labels):
        shift = [int(rng.integers(-(side // 8), side // 8 + 1)) for side in config.size]
        images[i] = _bytes(np.roll(patterns[label], shift, axes), config.noise, rng)
    return Images(images, labels)


def _dense(config: SyntheticDataConfig, patterns: NDArray[np.float64], count: int, rng: np.random.Generator) -> Images:
    """Each image a patchwork of blocks of one class: its pattern, brighter the higher the class, under noise."""
    images = np.empty((count, config.channels, *config.size), np.uint8)
    masks = np.empty((count, *config.size), np.uint8)
    level = np.linspace(-2, 2, config.classes)
    for i in range(count):
        blocks: NDArray[Any] = rng.integers(0, config.classes, [_BLOCKS] * len(config.size))
        for axis, side in enumerate(config.size):
            blocks = blocks.repeat(-(-side // _BLOCKS), axis).take(np.arange(side), axis)
        masks[i] = blocks
        clean = np.take_along_axis(patterns, blocks[None, None], 0)[0] / 2 + level[blocks]  # (C, *size)
        images[i] = _bytes(clean, config.noise, rng)
    return Images(images, masks)


def _bytes(clean: NDArray[np.float64], noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    noisy = clean + noise * rng.standard_normal(clean.shape)
    return np.clip(np.rint(127.5 + 40 * noisy), 0, 255).astype(np.uint8)
