"""The first layer of deep families."""

from __future__ import annotations

from torch import nn

from trials.config import LayerConfig
from trials.models.layers import build_block

__all__ = ["build_stem"]

Size = tuple[int, ...]


def build_stem(config: LayerConfig, kind: str, channels: int, out: int, size: Size) -> tuple[nn.Sequential, Size]:
    """(N, channels, H, W) -> (N, out, H', W'), and its size: a 3x3 convolution, or a 7x7 of stride 2 and a 3x3 max
    pooling of stride 2."""
    if kind == "cifar":
        return build_block(config, channels, out, first=True, kernel_size=3), size
    stem = build_block(config, channels, out, first=True, kernel_size=7, stride=2)
    stem.append(nn.MaxPool2d(3, stride=2, padding=1))
    return stem, tuple(-(-side // 4) for side in size)
