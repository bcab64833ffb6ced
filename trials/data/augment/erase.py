"""Augmentations that cover a part of an image; a mask is ignored there."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from trials.data.augment.geometry import uniform
from trials.data.images import IGNORED

__all__ = ["cutout", "random_erasing"]


def cutout(images: Tensor, masks: Tensor | None, generator: Generator, colour: Tensor) -> tuple[Tensor, Tensor | None]:
    """Cover a square of half the shorter side, anywhere, its middle within the image (arXiv 1708.04552)."""
    height, width = images.shape[2:]
    side = torch.full((len(images),), float(min(height, width) // 2), device=images.device)
    middle_y = torch.floor(uniform(images, 0, height, generator))
    middle_x = torch.floor(uniform(images, 0, width, generator))
    top, left = middle_y - torch.floor(side / 2), middle_x - torch.floor(side / 2)
    return _cover(images, masks, colour, top, left, side, side)


def random_erasing(
    images: Tensor, masks: Tensor | None, generator: Generator, colour: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Cover a rectangle in half of the images. It has 2 % to 33 % of the area, and sides 0.3 to 3.3 times each other,
    as far as the image is large enough (arXiv 1708.04896)."""
    height, width = images.shape[2:]
    area = uniform(images, 0.02, 0.33, generator) * height * width
    ratio = torch.exp(uniform(images, math.log(0.3), math.log(3.3), generator))
    chosen = uniform(images, 0, 1, generator) < 0.5
    tall = torch.round(torch.sqrt(area * ratio)).clamp(1, height) * chosen
    wide = torch.round(torch.sqrt(area / ratio)).clamp(1, width)
    top = torch.floor(uniform(images, 0, 1, generator) * (height - tall + 1))
    left = torch.floor(uniform(images, 0, 1, generator) * (width - wide + 1))
    return _cover(images, masks, colour, top, left, tall, wide)


def _cover(
    images: Tensor, masks: Tensor | None, colour: Tensor, top: Tensor, left: Tensor, tall: Tensor, wide: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Rows top to top + tall, columns left to left + wide, all (N,), in `colour`, (C,)."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    inside = ((rows >= 0) & (rows < tall[:, None]))[:, :, None] & ((columns >= 0) & (columns < wide[:, None]))[:, None]
    fill = (colour.round() if images.dtype == torch.uint8 else colour).to(images.dtype).view(1, -1, 1, 1)
    covered = torch.where(inside[:, None], fill, images)
    return covered, None if masks is None else masks.masked_fill(inside, IGNORED)
