"""Brightness and contrast, of bytes and of floats."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from trials.data.augment.geometry import uniform

__all__ = ["jitter"]

_STRENGTH = 0.2


def jitter(
    images: Tensor, masks: Tensor | None, generator: Generator, strength: float = _STRENGTH
) -> tuple[Tensor, Tensor | None]:
    """Multiply each image, and its distance from its mean, by factors in 1 ± strength; bytes stay in their range."""
    bright = uniform(images, 1 - strength, 1 + strength, generator)[:, None, None, None]
    contrast = uniform(images, 1 - strength, 1 + strength, generator)[:, None, None, None]
    values = images.float() * bright
    mean = values.mean((1, 2, 3), keepdim=True)
    values = mean + contrast * (values - mean)
    if images.dtype == torch.uint8:
        values = values.round().clamp(0, 255)
    return values.to(images.dtype), masks
