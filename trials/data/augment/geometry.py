"""Augmentations that move pixels: of an image and its mask alike."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from trials.data.images import IGNORED

__all__ = ["affine20", "affine_map", "crop_flip", "flip", "random_affine", "uniform", "warp"]

_DEGREES, _SHEAR, _SCALE, _SHIFT = 15.0, 10.0, 0.1, 0.1


def crop_flip(images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
    """Shift each image by up to 1/8 of its side in each direction, zeros coming in, and mirror half of them: (N, C, H,
    W)."""
    count, _, height, width = images.shape
    device = images.device
    margins = (height // 8, width // 8)
    top, left = (torch.randint(2 * m + 1, (count, 1), generator=generator, device=device) for m in margins)
    flip = torch.rand((count, 1), generator=generator, device=device) < 0.5
    columns = torch.arange(width, device=device)
    columns = left + torch.where(flip, width - 1 - columns, columns)  # (N, W)
    rows = top + torch.arange(height, device=device)  # (N, H)
    index = (torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :])
    border = (margins[1], margins[1], margins[0], margins[0])
    moved = F.pad(images, border).movedim(1, -1)[index].movedim(-1, 1)
    return moved, None if masks is None else F.pad(masks, border, value=IGNORED)[index]


def flip(images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
    """Mirror half of the images: (N, C, H, W)."""
    chosen = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    moved = torch.where(chosen[:, None, None, None], images.flip(3), images)
    return moved, None if masks is None else torch.where(chosen[:, None, None], masks.flip(2), masks)


def random_affine(images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
    """Turn by up to 15°, shear by up to 10°, scale by 0.9 to 1.1 and shift by up to a tenth of the side, zeros coming
    in."""
    height, width = images.shape[2:]
    angle = uniform(images, -_DEGREES, _DEGREES, generator)
    shear = uniform(images, -_SHEAR, _SHEAR, generator)
    scale = uniform(images, 1 - _SCALE, 1 + _SCALE, generator)
    x = uniform(images, -_SHIFT * width, _SHIFT * width, generator)
    y = uniform(images, -_SHIFT * height, _SHIFT * height, generator)
    return warp(images, masks, affine_map(angle, shear, scale, x, y))


def affine20(images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
    """Turn by up to 20°, scale by 0.9 to 1.1 and shift by up to a tenth of the side in whole pixels, zeros coming in.

    The nearest pixel is taken, as torchvision's `RandomAffine(20, (0.1, 0.1), (0.9, 1.1))` does.
    """
    height, width = images.shape[2:]
    angle = uniform(images, -20.0, 20.0, generator)
    scale = uniform(images, 1 - _SCALE, 1 + _SCALE, generator)
    x = torch.round(uniform(images, -_SHIFT * width, _SHIFT * width, generator))
    y = torch.round(uniform(images, -_SHIFT * height, _SHIFT * height, generator))
    return warp(images, masks, affine_map(angle, torch.zeros_like(angle), scale, x, y), nearest=True)


def uniform(images: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """A number between `low` and `high` for each image: (N,)."""
    return low + (high - low) * torch.rand(len(images), generator=generator, device=images.device)


def affine_map(angle: Tensor, shear: Tensor, scale: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The place that each pixel of the result comes from, (N, 2, 3), `warp`'s argument. Images are sheared along x,
    turned clockwise (both in degrees), scaled, and shifted by (x, y) pixels, as torchvision's `affine` does."""
    turn, tangent = angle * (math.pi / 180), torch.tan(shear * (math.pi / 180))
    cos, sin = torch.cos(turn), torch.sin(turn)
    a, b, c, d = cos, -cos * tangent - sin, sin, cos - sin * tangent  # rotation · shear, of determinant 1
    inverse = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2) / scale[:, None, None]
    offset = -(inverse * torch.stack([x, y], -1)[:, None, :]).sum(-1)
    return torch.cat([inverse, offset[:, :, None]], -1)


def warp(images: Tensor, masks: Tensor | None, source: Tensor, nearest: bool = False) -> tuple[Tensor, Tensor | None]:
    """Images whose pixel at p = (x, y), from the middle, is the one at source · (x, y, 1): (N, C, H, W), (N, 2, 3).

    Between pixels images are interpolated, unless `nearest`, and masks are not; zeros come in from outside, into a mask
    the label that is ignored.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    each = source[:, :, :, None, None]
    place = each[:, :, 0] * x + each[:, :, 1] * y[:, None] + each[:, :, 2]  # (N, 2, H, W)
    grid = torch.stack([place[:, 0] * (2 / width), place[:, 1] * (2 / height)], -1)
    mode = "nearest" if nearest else "bilinear"
    moved = F.grid_sample(images.float(), grid, mode=mode, padding_mode="zeros", align_corners=False)
    if images.dtype == torch.uint8:
        moved = moved.round().clamp(0, 255)
    if masks is not None:
        raised = masks[:, None].float() + 1  # so that 0 means outside
        raised = F.grid_sample(raised, grid, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0]
        masks = (raised - 1).masked_fill(raised == 0, IGNORED).to(masks.dtype)
    return moved.to(images.dtype), masks
