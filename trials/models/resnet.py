"""The model family `resnet`: residual blocks in their pre-activation form (arXiv 1603.05027)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from trials.config import ResNetConfig
from trials.data.shape import DataShape
from trials.models.layers import build_block, build_head
from trials.models.network import Network
from trials.models.stem import build_stem

__all__ = ["ResNet"]

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks in each stage, by depth."""


class ResNet(Network):
    """A stem, then four stages of 1, 2, 4 and 8 times `width` channels, the last three of which halve the image.

    A basic block has two 3x3 convolutions; from depth 50 on a bottleneck block has 1x1, 3x3, 1x1, and puts out four
    times the stage's channels. Each convolution is a `build_block`; the head is the global average's.
    """

    def __init__(self, config: ResNetConfig, shape: DataShape) -> None:
        super().__init__()
        stem, size = build_stem(config, config.stem, shape.channels, config.width, shape.size)
        blocks, channels = [], config.width
        for stage, count in enumerate(BLOCKS[config.depth]):
            for index in range(count):
                stride = 2 if stage and index == 0 else 1
                block = Residual(config, channels, config.width * 2**stage, stride)
                blocks.append(block)
                channels = block.channels
            size = tuple(-(-side // 2) for side in size) if stage else size
        self.blocks = nn.Sequential(stem, *blocks)
        self.head = build_head(config, channels, size, shape.classes, flatten=False, kan=config.classifier == "kan")

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))  # (N, C, H, W) -> (N, classes)
        return logits


class Residual(nn.Module):
    """y = shortcut(x) + branch(x): (N, C, H, W) -> (N, self.channels, H/stride, W/stride).

    The shortcut is the identity, or a 1x1 convolution where the shape changes.
    """

    def __init__(self, config: ResNetConfig, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = config.depth >= 50
        self.channels = 4 * width if wide else width
        plan = [(width, 3, stride), (width, 3, 1)]
        if wide:
            plan = [(width, 1, 1), (width, 3, stride), (self.channels, 1, 1)]
        layers, inputs = [], channels
        for out, kernel_size, by in plan:
            layers.append(build_block(config, inputs, out, kernel_size=kernel_size, stride=by))
            inputs = out
        self.branch = nn.Sequential(*layers)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != self.channels:
            projection = partial(build_block, config, channels, self.channels, kernel_size=1)
            self.shortcut = projection(stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.shortcut(x) + self.branch(x)
        return y
