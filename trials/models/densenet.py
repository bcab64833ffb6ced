"""The model family `densenet`: DenseNet-BC (arXiv 1608.06993)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trials.config import DenseNetConfig
from trials.data.shape import DataShape
from trials.models.layers import build_block, build_head
from trials.models.network import Network
from trials.models.stem import build_stem

__all__ = ["DenseNet"]

BLOCKS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
"""Dense layers in each block, by depth."""
WIDENING = 4
"""Channels of a dense layer's 1x1 convolution over those that the layer adds."""


class DenseNet(Network):
    """A stem, then four dense blocks, with a transition between two: a 1x1 convolution to half the channels and a 2x2
    average pooling.

    Each convolution is a `build_block`; the head is the global average's. A pooling that would leave nothing of the
    image is left out.
    """

    def __init__(self, config: DenseNetConfig, shape: DataShape) -> None:
        super().__init__()
        stem, size = build_stem(config, config.stem, shape.channels, config.width, shape.size)
        parts: list[nn.Module] = [stem]
        channels = config.width
        for index, count in enumerate(BLOCKS[config.depth]):
            if index:
                transition = build_block(config, channels, channels // 2, kernel_size=1)
                channels //= 2
                if min(size) >= 2:
                    transition.append(nn.AvgPool2d(2))
                    size = tuple(side // 2 for side in size)
                parts.append(transition)
            for _ in range(count):
                parts.append(Dense(config, channels))
                channels += config.growth
        self.blocks = nn.Sequential(*parts)
        self.head = build_head(config, channels, size, shape.classes, flatten=False, kan=config.classifier == "kan")

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))  # (N, C, H, W) -> (N, classes)
        return logits


class Dense(nn.Module):
    """x beside what a 1x1 and a 3x3 convolution make of it: (N, C, H, W) -> (N, C + growth, H, W)."""

    def __init__(self, config: DenseNetConfig, channels: int) -> None:
        super().__init__()
        middle = WIDENING * config.growth
        narrow = build_block(config, channels, middle, kernel_size=1)
        self.branch = nn.Sequential(narrow, build_block(config, middle, config.growth, kernel_size=3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], dim=1)
