"""The normalisation of a layer's input, by name."""

from __future__ import annotations

import math

from torch import nn

__all__ = ["build_normalization"]


def build_normalization(name: str, channels: int, affine: bool, dims: int = 2) -> nn.Module:
    """A module that normalises (N, C, H, W), (N, C, L) where `dims` is 1, or (N, C) where it is 0.

    batch: over the batch and the pixels, running averages in eval; instance: over the pixels of each channel; layer:
    over the channels and pixels of each image; group: the same in gcd(8, channels) groups of channels; none: the
    identity. A vector has no pixels: "instance" means "layer" there.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(channels, affine=affine) if dims == 2 else nn.BatchNorm1d(channels, affine=affine)
    if name == "instance" and dims:
        return (nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm1d)(channels, affine=affine)
    if name in ("layer", "instance"):
        return nn.GroupNorm(1, channels, affine=affine)
    if name == "group":
        return nn.GroupNorm(_groups(channels, dims > 0), channels, affine=affine)
    raise ValueError(f"normalization must be batch, instance, layer, group or none, got {name!r}")


def _groups(channels: int, spatial: bool) -> int:
    """gcd(8, channels), but no group of one number, which would be normalised to zero."""
    groups = math.gcd(8, channels)
    return groups if spatial or channels > groups else 1
