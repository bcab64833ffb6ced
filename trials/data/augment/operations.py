"""The operations of AutoAugment and its successors, one for each image of a batch of bytes.

    moves   shear, translate, rotate: one warp for all
    tables  a new value for each of the 256: brightness, contrast, posterize, solarize, autocontrast, equalize, invert
    blends  with another image: colour (with its grey), sharpness (with its blur)

Each image passes all three, and two of them leave it alone. Values are those of torchvision's functions of the names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from trials.data.augment.geometry import warp

__all__ = ["OPERATIONS", "SIGNED", "grey", "operate"]

OPERATIONS = (
    "Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate",
    "Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert",
)  # fmt: skip
SIGNED = OPERATIONS[1:10]
"""Those whose strength is as often negative as positive."""

_GREY = (0.2989, 0.587, 0.114)


def operate(images: Tensor, masks: Tensor | None, operation: Tensor, strength: Tensor) -> tuple[Tensor, Tensor | None]:
    """Do to each image (C, H, W), bytes, the operation of index `operation`, (N,), with `strength`, (N,)."""
    chosen = {name: operation == index for index, name in enumerate(OPERATIONS)}
    images, masks = warp(images, masks, _source(chosen, strength, images.shape[2:]), nearest=True)
    table = _table(images, chosen, strength)
    images = table.gather(2, images.flatten(2).long()).view_as(images)
    return _blended(images, chosen, 1 + strength), masks


def _source(chosen: Mapping[str, Tensor], strength: Tensor, size: torch.Size) -> Tensor:
    """`warp`'s argument, (N, 2, 3). Shears keep the upper left corner where it is, rotations the middle."""
    height, width = size
    nothing = torch.zeros_like(strength)
    shear_x = torch.where(chosen["ShearX"], strength, nothing)
    shear_y = torch.where(chosen["ShearY"], strength, nothing)
    x = torch.where(chosen["TranslateX"], torch.trunc(strength), nothing)
    y = torch.where(chosen["TranslateY"], torch.trunc(strength), nothing)
    turn = torch.where(chosen["Rotate"], strength, nothing) * (math.pi / 180)
    cos, sin = torch.cos(turn), torch.sin(turn)
    upper = torch.stack([cos, shear_x - sin, shear_x * (height / 2) - x], -1)
    lower = torch.stack([shear_y + sin, cos, shear_y * (width / 2) - y], -1)
    return torch.stack([upper, lower], 1)


def _table(images: Tensor, chosen: Mapping[str, Tensor], strength: Tensor) -> Tensor:
    """The new value of each value in each channel of each image: (N, C, 256), bytes."""
    count, channels = images.shape[:2]
    value = torch.arange(256, device=images.device, dtype=torch.float32).expand(count, channels, 256)
    strength = strength[:, None, None]
    factor, step = 1 + strength, torch.exp2(8 - torch.trunc(strength))
    mean = grey(images).floor().mean((1, 2, 3))[:, None, None]
    histogram = _histogram(images)
    tables = {
        "Brightness": factor * value,
        "Contrast": factor * value + (1 - factor) * mean,
        "Posterize": torch.floor(value / step) * step,
        "Solarize": torch.where(value < strength, value, 255 - value),
        "AutoContrast": _stretched(images, value),
        "Equalize": _equalised(histogram, value),
        "Invert": 255 - value,
    }
    for name, table in tables.items():
        value = torch.where(chosen[name][:, None, None], table, value)
    return value.clamp(0, 255).to(torch.uint8)


def _histogram(images: Tensor) -> Tensor:
    """How often each value occurs in each channel: (N, C, 256), int64."""
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    return counts.scatter_add_(2, flat, torch.ones_like(flat))


def _stretched(images: Tensor, value: Tensor) -> Tensor:
    """Map a channel's least and greatest value to 0 and 255."""
    flat = images.flatten(2).float()
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    flat_channel = low == high
    scale = (255 / (high - low)).masked_fill(flat_channel, 1.0)
    return (value - low.masked_fill(flat_channel, 0.0)) * scale


def _equalised(histogram: Tensor, value: Tensor) -> Tensor:
    """So that all values are about as frequent; a channel of too few pixels or values stays as it is."""
    places = torch.arange(256, device=histogram.device)
    last = (places * (histogram > 0)).amax(2, keepdim=True)
    step = (histogram.sum(2, keepdim=True) - histogram.gather(2, last)).div(255, rounding_mode="floor")
    safe = step.clamp(min=1)
    before = histogram.cumsum(2) - histogram  # pixels of smaller values
    spread = (before + safe.div(2, rounding_mode="floor")).div(safe, rounding_mode="floor")
    spread = spread.masked_fill(places == 0, 0)
    return torch.where(step == 0, value, spread.clamp(0, 255).float())


def grey(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W), floats: red, green and blue by their brightness, other channels alike."""
    if images.shape[1] != 3:
        return images.float().mean(1, keepdim=True)
    red, green, blue = images.float().unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[:, None]


def _blended(images: Tensor, chosen: Mapping[str, Tensor], factor: Tensor) -> Tensor:
    """Away from the grey image, or from the blurred one, where `factor` is above 1; towards it below."""
    each, values = (slice(None), None, None, None), images.float()
    other = torch.where(chosen["Color"][each], grey(images).floor(), values)
    other = torch.where(chosen["Sharpness"][each], _blurred(values), other)
    blend = other + factor[each] * (values - other)
    changed = (chosen["Color"] | chosen["Sharpness"])[each]
    return torch.where(changed, blend.clamp(0, 255), values).to(torch.uint8)


def _blurred(values: Tensor) -> Tensor:
    """The mean of each pixel, 5 times, and its 8 neighbours; the border stays as it is."""
    height, width = values.shape[2:]
    if height < 3 or width < 3:
        return values
    around = sum(values[:, :, y : y + height - 2, x : x + width - 2] for y in range(3) for x in range(3))
    blurred = values.clone()
    blurred[:, :, 1:-1, 1:-1] = torch.round((around + 4 * values[:, :, 1:-1, 1:-1]) / 13)
    return blurred
