"""Brightness and contrast, of bytes and of floats."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from trials.data.augment.geometry import uniform
from trials.data.augment.operations import grey

__all__ = ["adjust_colour", "colour_jitter", "jitter"]

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


def colour_jitter(images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
    """Change brightness and contrast by factors in 1 ± 0.2, in either order: torchvision's `ColorJitter(0.2, 0.2)`."""
    bright = uniform(images, 1 - _STRENGTH, 1 + _STRENGTH, generator)
    contrast = uniform(images, 1 - _STRENGTH, 1 + _STRENGTH, generator)
    first = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return adjust_colour(images, bright, contrast, first), masks


def adjust_colour(images: Tensor, bright: Tensor, contrast: Tensor, bright_first: Tensor) -> Tensor:
    """Images (N, C, H, W) times `bright`, and their distance from their mean grey times `contrast`, each (N,).

    bright_first: (N,), which comes first. After each of the two, bytes are cut off at 0 and 255 and below the point.
    """
    each = (slice(None), None, None, None)

    def whole(values: Tensor) -> Tensor:
        return values.clamp(0, 255).floor() if images.dtype == torch.uint8 else values

    def contrasted(values: Tensor) -> Tensor:
        shade = grey(values).floor() if images.dtype == torch.uint8 else grey(values)
        mean = shade.mean((1, 2, 3), keepdim=True)
        return whole(contrast[each] * values + (1 - contrast[each]) * mean)

    values = images.float()
    values = torch.where(bright_first[each], whole(values * bright[each]), values)
    values = contrasted(values)
    values = torch.where(bright_first[each], values, whole(values * bright[each]))
    return values.to(images.dtype)
