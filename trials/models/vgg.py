"""The model family `vgg`: stages of 3x3 convolutions, each ended by a pooling (arXiv 1409.1556)."""

from __future__ import annotations

from torch import Tensor, nn

from trials.config import VGGConfig
from trials.data.shape import DataShape
from trials.models.layers import build_block, build_head
from trials.models.network import Network

__all__ = ["VGG"]

LAYERS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each stage, by the depth that counts them and the three layers of the original classifier."""


class VGG(Network):
    """Five stages of 1, 2, 4, 8 and 8 times `width` channels, each followed by a 2x2 max pooling, then a head.

    A pooling that would leave a side of less than one pixel is left out, so that small images pass. `sixth_stage` adds
    two convolutions without pooling, as torch-conv-kan's variants v2 (1) and v4 (2) do.
    """

    def __init__(self, config: VGGConfig, shape: DataShape) -> None:
        super().__init__()
        size, channels = shape.size, shape.channels
        blocks: list[nn.Module] = []
        for layers, factor in zip(LAYERS[config.depth], (1, 2, 4, 8, 8), strict=True):
            for _ in range(layers):
                blocks.append(build_block(config, channels, config.width * factor, first=not blocks, kernel_size=3))
                channels = config.width * factor
            if min(size) >= 2:
                blocks.append(nn.MaxPool2d(2))
                size = tuple(side // 2 for side in size)
        for _ in range(2 if config.sixth_stage else 0):
            blocks.append(build_block(config, channels, 8 * config.width * config.sixth_stage, kernel_size=3))
            channels = 8 * config.width * config.sixth_stage
        self.blocks = nn.Sequential(*blocks)
        flatten, kan = config.head == "flatten", config.classifier == "kan"
        self.head = build_head(config, channels, size, shape.classes, flatten=flatten, kan=kan)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))  # (N, C, H, W) -> (N, classes)
        return logits
